"""Records of detached studies: the process, when and how it started, and its output."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home, folder_name

TAIL_BYTES = 64_000
_ERROR = "error: "
_RECORD = ".json"


@dataclass(frozen=True, slots=True)
class Launch:
    """A process that was started to run a study; ``log`` has its output, from the byte ``begins`` on."""

    study: str
    process: int
    started_at: float  # seconds since 1970
    command: str
    log: str
    begins: int

    def runs(self, home: Home) -> bool:
        """Whether the process is running the study or preparing its data."""
        folder = StudyFolder(home.study(self.study))
        return self.process in (folder.coordinator(), folder.staging(self.process).coordinator())

    @property
    def last_lines(self) -> list[str]:
        """The last lines of its output, at most TAIL_BYTES; empty where the log is gone."""
        try:
            with Path(self.log).open("rb") as file:
                file.seek(max(self.begins, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                return file.read().decode(errors="replace").splitlines()
        except OSError:
            return []

    @property
    def error(self) -> str:
        """The error that it ended with; "" where there is none."""
        lines = self.last_lines
        first = max((number for number, line in enumerate(lines) if line.startswith(_ERROR)), default=None)
        return "" if first is None else "\n".join(lines[first:]).removeprefix(_ERROR)

    def keep(self, home: Home) -> None:
        """Save it as the latest launch of its study."""
        path = launch_file(home, self.study, _RECORD)
        part = path.with_suffix(f".{self.process}")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(path)


def launch_file(home: Home, study: str, ending: str) -> Path:
    """The path of a study's launch file with this suffix; creates its folder. Raises RequestError."""
    home.make()
    home.launched.mkdir(exist_ok=True)
    return _file(home, study, ending)


def latest_launch(home: Home, study: str) -> Launch | None:
    """The last detached launch of a study; None where there is no record of one."""
    return _read(_file(home, study, _RECORD))


def launches(home: Home) -> list[Launch]:
    """The latest launch of every detached study, newest first."""
    found = filter(None, map(_read, home.launched.glob(f"*{_RECORD}")))
    return sorted(found, key=lambda launch: -launch.started_at)


def _file(home: Home, study: str, ending: str) -> Path:
    return home.launched / f"{folder_name(study) or 'unnamed'}{ending}"


def _read(path: Path) -> Launch | None:
    try:
        return Launch(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
