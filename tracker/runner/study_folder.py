"""A study's folder: its frozen description, its attempts' event logs, and its coordinator's lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tracker.errors import RequestError, StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import DataCard, Role
from tracker.study.document import StudyDocument, StudyFile
from tracker.training.events import Event, EventReader

DESCRIPTION = "study.json"
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
        """Move the folder to its final name. Raises StudyExistsError where another process was first."""
        try:
            self.path.rename(final)
        except OSError:
            StudyFolder(final).refuse_existing()
            raise
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
        content = {"content": document.content, "file": None if document.file is None else asdict(document.file)}
        part = self.path / f"{DESCRIPTION}.part"
        part.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
        part.replace(self.path / DESCRIPTION)

    def document(self) -> StudyDocument:
        """The frozen description. Raises StudyNotFoundError, StoreError."""
        path = self.path / DESCRIPTION
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            file = saved.get("file")  # older studies have none
            return StudyDocument(f"stored copy '{path}'", saved["content"], file=StudyFile(**file) if file else None)
        except FileNotFoundError:
            raise StudyNotFoundError(f"there is no study in '{self.path}'") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"study description '{path}' cannot be read: {error}") from None

    def save_evidence(self, rows: list[dict[str, Any]]) -> None:
        """Save the evidence of earlier studies: the study can be resumed without them."""
        if rows:
            (self.path / "evidence.json").write_text(json.dumps(rows), encoding="utf-8")

    def evidence(self) -> list[dict[str, Any]]:
        """What ``save_evidence`` saved. Raises StoreError."""
        path = self.path / "evidence.json"
        try:
            rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
            return rows
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StoreError(f"'{path}' cannot be read: {error}") from None

    @property
    def started_at(self) -> float:
        """When the study was started, in seconds since 1970: when its preparation was requested."""
        events = EventReader(self.trials / Role.PREPARATION / "1.jsonl").new_events()
        return float(events[0]["time"]) if events else time.time()

    def attempts(self) -> list[tuple[Path, list[Event]]]:
        """Every attempt's log with its events, in the order of their requests."""
        logs = [(path, EventReader(path).new_events()) for path in self.path.glob("trials/*/*.jsonl")]
        return sorted(((path, events) for path, events in logs if events), key=lambda log: float(log[1][0]["time"]))

    def data_card(self) -> DataCard:
        """The data card that the preparation reported. Raises StoreError."""
        events = EventReader(self.trials / Role.PREPARATION / "1.jsonl").new_events()
        cards: list[dict[str, Any]] = [event["card"] for event in events if event["event"] == "data"]
        if not cards:
            raise StoreError(f"the preparation of the study in '{self.path}' never ended; start it under another name")
        return DataCard(**cards[-1])

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
