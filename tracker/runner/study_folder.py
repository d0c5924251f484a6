"""A study's folder: its frozen description, its attempts' event logs, and its coordinator's lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tracker.errors import RequestError, StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import DataCard, Role, TrialState
from tracker.study import formats
from tracker.study.document import StudyDocument, StudyFile
from tracker.training.event_lines import is_number, is_settings
from tracker.training.events import Event, EventReader

DESCRIPTION = "study.json"
EVIDENCE = "evidence.json"
END = "end.json"
Attempts = Sequence[tuple[Path, Sequence[Event]]]
"""Logs of attempts, each with its events, the request first."""
_RUNNING_ALREADY = "this study is running already, in process {}"
_LOOKS = 100


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """``study.json``, ``coordinator.lock``, and ``trials/<trial>/<attempt>.jsonl`` below ``path``."""

    path: Path

    @classmethod
    @contextlib.contextmanager
    def staged(cls, final: Path) -> Iterator[StudyFolder]:
        """A folder that appears under its final name once ``commit`` is called, and is deleted otherwise.

        Raises StudyExistsError where the final name is taken.
        """
        cls(final).refuse_existing()
        folder = cls(final).staging(os.getpid())
        folder.path.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder.path, ignore_errors=True)

    def staging(self, process: int) -> StudyFolder:
        """The folder where a process keeps this study until its data are prepared."""
        return StudyFolder(self.path.with_name(f".{self.path.name}.{process}"))

    def commit(self, final: Path) -> StudyFolder:
        """Move the folder to its final name, for good. Raises StudyExistsError where another process was first."""
        try:
            self.path.rename(final)
        except OSError:
            StudyFolder(final).refuse_existing()
            raise
        formats.keep_names(final.parent)
        return StudyFolder(final)

    @property
    def is_there(self) -> bool:
        """Whether it holds a study."""
        return (self.path / DESCRIPTION).is_file()

    def refuse_existing(self) -> None:
        """Raise StudyExistsError where the folder exists, with a study in it or not."""
        if self.is_there:
            raise StudyExistsError(
                "a study of this name already exists; resume it with `tracker resume NAME`, or choose another --name"
            )
        if self.path.exists():
            raise StudyExistsError(
                f"folder '{self.path}' exists and holds no study (it has no {DESCRIPTION}): move it away, or"
                " choose another --name"
            )

    def remove(self) -> None:
        """Delete the whole folder; its name is free at once, even where this process is killed meanwhile."""
        removed = self.staging(os.getpid()).path
        with contextlib.suppress(OSError):
            self.path.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    @property
    def trials(self) -> Path:
        """The parent of one folder for each trial and baseline, and one for the preparation."""
        return self.path / "trials"

    def save(self, document: StudyDocument) -> None:
        """Freeze the study's description."""
        file = None if document.file is None else asdict(document.file)
        formats.DESCRIPTION.write(self.path / DESCRIPTION, {"content": document.content, "file": file}, indent=2)

    def document(self) -> StudyDocument:
        """The frozen description. Raises StudyNotFoundError, StoreError."""
        path = self.path / DESCRIPTION
        try:
            saved = formats.DESCRIPTION.read(path)
        except FileNotFoundError:
            raise StudyNotFoundError(f"there is no study in '{self.path}'") from None
        if not isinstance(saved, dict) or not isinstance(saved.get("content"), dict):
            raise StoreError(f"study description '{path}' cannot be read: it has no table 'content'")
        return StudyDocument(f"stored copy '{path}'", saved["content"], file=_study_file(path, saved.get("file")))

    def save_end(self, state: TrialState, ended_at: float) -> None:
        """Keep how the study ended, for whoever logs it later. A full disk costs only that."""
        with contextlib.suppress(OSError):
            formats.END.write(self.path / END, {"state": state, "ended_at": ended_at})

    def forget_end(self) -> None:
        """The study is resumed."""
        with contextlib.suppress(OSError):
            (self.path / END).unlink()

    def end(self) -> tuple[TrialState, float] | None:
        """How the study ended, and when in seconds since 1970; None where it did not, or nobody knows."""
        with contextlib.suppress(StoreError, FileNotFoundError, KeyError, TypeError, ValueError):
            saved = formats.END.read(self.path / END)
            return TrialState(saved["state"]), float(saved["ended_at"])
        return None

    def save_evidence(self, rows: list[dict[str, Any]]) -> None:
        """Save the evidence of earlier studies: the study can be resumed without them."""
        if rows:
            formats.EVIDENCE.write(self.path / EVIDENCE, {"rows": rows})

    def evidence(self) -> list[dict[str, Any]]:
        """What ``save_evidence`` saved. Raises StoreError."""
        path = self.path / EVIDENCE
        try:
            saved = formats.EVIDENCE.read(path)
        except FileNotFoundError:
            return []
        rows: Any = saved.get("rows") if isinstance(saved, dict) else saved
        if not isinstance(rows, list) or not all(map(_is_evidence, rows)):
            raise StoreError(
                f"{formats.EVIDENCE.name} '{path}' cannot be read: a row has not settings, checkpoints and failure;"
                " move the file away to resume without it"
            )
        return rows

    @property
    def started_at(self) -> float:
        """When the study was started, in seconds since 1970: when its preparation was requested."""
        events = EventReader(self._preparation).new_events()
        return float(events[0]["time"]) if events else time.time()

    def attempts(self, notify: Callable[[str], None] = lambda _: None) -> Attempts:
        """Every attempt's log with its events, the request first, in the order of their requests.

        ``notify`` receives a sentence for each log with lines that cannot be read. One whose request is among them is
        left out. Raises StoreError as EventReader does.
        """
        logs = []
        for paths in self.logs().values():
            last = 0.0
            for path, events in read_attempts(paths, notify):
                last = max(last, float(events[0]["time"]))  # a clock may be set back between two attempts
                logs.append((last, path, events))
        return [(path, events) for _, path, events in sorted(logs, key=lambda log: log[0])]

    def logs(self) -> Mapping[Path, Sequence[Path]]:
        """The event logs of each run's attempts, in order, by the run's folder."""
        found = {}
        for folder in sorted(self.trials.glob("*/")):
            numbered = {int(path.stem): path for path in folder.glob("*.jsonl") if path.stem.isdecimal()}
            found[folder] = [path for _, path in sorted(numbered.items())]
        return found

    def data_card(self) -> DataCard:
        """The data card that the preparation reported. Raises StoreError."""
        reader = EventReader(self._preparation)
        cards: list[dict[str, Any]] = [event["card"] for event in reader.new_events() if event["event"] == "data"]
        if not cards and reader.unreadable:
            raise StoreError(f"event log '{self._preparation}' has no data card: {'; '.join(reader.unreadable)}")
        if not cards:
            raise StoreError(f"the preparation of the study in '{self.path}' never ended; start it under another name")
        return DataCard(**{name: cards[-1][name] for name in DataCard.__slots__ if name in cards[-1]})

    @property
    def _preparation(self) -> Path:
        return self.trials / Role.PREPARATION / "1.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be this study's only coordinator. Raises RequestError where another one runs."""
        with (self.path / "coordinator.lock").open("a+") as file:
            self._take(file)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            file.truncate(0)

    def _take(self, lock: TextIO) -> None:
        """Take the lock; waits for processes that hold it only for a moment, to see whether there is a coordinator."""
        for _ in range(_LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self.refuse_running()
                time.sleep(0.01)
        raise RequestError(_RUNNING_ALREADY.format("of unknown number"))

    def refuse_running(self) -> None:
        """Raise RequestError where there is a coordinator, as ``locked`` does."""
        if (process := self.coordinator()) is not None:
            raise RequestError(_RUNNING_ALREADY.format(process))

    def coordinator(self) -> int | None:
        """The process id of its coordinator; None where it is not running."""
        path = self.path / "coordinator.lock"
        try:
            with path.open("r") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0) or None
        except (OSError, ValueError):
            pass
        return None

    def stop(self) -> bool:
        """Ask the coordinator to stop, as Ctrl-C does; False where none is running. Raises StudyNotFoundError."""
        self.document()
        coordinator = self.coordinator()
        if coordinator is None:
            return False
        os.kill(coordinator, signal.SIGTERM)
        return True


def read_attempts(logs: Sequence[Path], notify: Callable[[str], None] = lambda _: None) -> Attempts:
    """The events of attempts by their logs, the request first; what StudyFolder.attempts says holds of damaged ones.

    Raises StoreError as EventReader does.
    """
    found = []
    for path in logs:
        reader = EventReader(path)
        events = sorted(reader.new_events(), key=lambda event: event["event"] != "asked")
        asked = bool(events) and events[0]["event"] == "asked"
        if reader.unreadable:
            notify(_damaged(path, reader.unreadable, asked=asked))
        if asked:
            found.append((path, events))
    return found


def _study_file(path: Path, saved: Any) -> StudyFile | None:
    """The file that a study was started from; older studies have none. Raises StoreError."""
    if not saved:
        return None
    if (
        not isinstance(saved, dict)
        or not isinstance(saved.get("path"), str)
        or not isinstance(saved.get("content"), dict)
    ):
        raise StoreError(f"study description '{path}' cannot be read: 'file' has not a path and a table 'content'")
    return StudyFile(saved["path"], saved["content"], smoke=saved.get("smoke") is True)


def _is_evidence(row: Any) -> bool:
    """Whether it is a trial of an earlier study: its settings, checkpoints (epoch and values), why it failed."""
    return (
        isinstance(row, dict)
        and is_settings(row.get("settings"))
        and isinstance(row.get("failure"), str)
        and isinstance(row.get("checkpoints"), list)
        and all(
            isinstance(each, list)
            and len(each) == 2
            and isinstance(each[0], int)
            and isinstance(each[1], dict)
            and all(map(is_number, each[1].values()))
            for each in row["checkpoints"]
        )
    )


def _damaged(path: Path, lines: Sequence[str], *, asked: bool) -> str:
    """What is said of a log with lines that cannot be read."""
    more = f" and {len(lines) - 3} more lines" if len(lines) > 3 else ""
    lost = "" if asked else "; without its request the attempt and its price are not counted"
    return f"event log '{path}': {'; '.join(lines[:3])}{more}{lost}"
