"""What is kept of studies that were started in a process of their own: who, when, how, and what the process says."""

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
    """A process that was started to run a study; ``log`` has what it says, from the byte ``begins`` on."""

    study: str
    process: int
    started_at: float  # seconds since 1970
    command: str
    log: str
    begins: int

    def runs(self, home: Home) -> bool:
        """Whether the process is at work on the study, or prepares its data."""
        folder = StudyFolder(home.study(self.study))
        return self.process in (folder.coordinator(), folder.staging(self.process).coordinator())

    @property
    def said(self) -> list[str]:
        """The last lines that it said, as far as TAIL_BYTES reach; none where the log is gone."""
        try:
            with Path(self.log).open("rb") as file:
                file.seek(max(self.begins, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                return file.read().decode(errors="replace").splitlines()
        except OSError:
            return []

    @property
    def error(self) -> str:
        """The sentence that it ended with where it could not go on, "" where there is none."""
        lines = self.said
        first = max((number for number, line in enumerate(lines) if line.startswith(_ERROR)), default=None)
        return "" if first is None else "\n".join(lines[first:]).removeprefix(_ERROR)

    def keep(self, home: Home) -> None:
        """Keep it as the latest of its study."""
        path = made_file(home, self.study, _RECORD)
        part = path.with_suffix(f".{self.process}")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(path)


def made_file(home: Home, study: str, ending: str) -> Path:
    """The file of a study with this ending among those of launches; its folder is made. Raises RequestError."""
    home.make()
    home.launched.mkdir(exist_ok=True)
    return _file(home, study, ending)


def latest_launch(home: Home, study: str) -> Launch | None:
    """How a study was started on its own the last time; None where it never was, or that is not known any more."""
    return _read(_file(home, study, _RECORD))


def launches(home: Home) -> list[Launch]:
    """The latest launch of every study that was started on its own, the newest first."""
    found = filter(None, map(_read, home.launched.glob(f"*{_RECORD}")))
    return sorted(found, key=lambda launch: -launch.started_at)


def _file(home: Home, study: str, ending: str) -> Path:
    return home.launched / f"{folder_name(study) or 'unnamed'}{ending}"


def _read(path: Path) -> Launch | None:
    try:
        return Launch(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
