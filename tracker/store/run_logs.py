"""The logs of runs: whatever is logged is kept until MLflow has it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tracker.databases.connections import reason
from tracker.errors import RefusedError, StoreError
from tracker.records import Behind, DataCard, Settings, TrialState
from tracker.store.entries import RUNS_AT_ONCE, Entries, Writer
from tracker.store.names import logged_name, name_tags
from tracker.store.setting_texts import setting_text
from tracker.store.tags import RUN_STATUS

_TAG_CHARACTERS, _PARAM_CHARACTERS = 5000, 6000


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run that MLflow has: its status, its end in milliseconds since 1970, and those of its tags that are in TAGS."""

    run_id: str
    status: str
    ended_at_ms: int | None
    tags: Mapping[str, str]

    TAGS: ClassVar = ("tracker.attempts", "mlflow.parentRunId")


class Outbox:
    """The runs with entries that MLflow does not have yet. Safe from several threads."""

    def __init__(self, writer: Writer, name: str) -> None:
        self.writer = writer
        self.lock = threading.RLock()
        self._name = name
        self._waiting: dict[RunLog, float] = {}
        self._writing = threading.Lock()

    def changed(self, log: RunLog) -> None:
        """A run has new entries."""
        self._waiting.setdefault(log, time.monotonic())

    def flush(self) -> None:
        """Write everything that waits.

        Raises StoreError, and keeps what is not written, where MLflow does not take it now; RefusedError where it
        would not take some of it later either: the rest is written.
        """
        with self._writing:
            refused = None
            with self.lock:
                waiting = list(self._waiting)
            for begin in range(0, len(waiting), RUNS_AT_ONCE):
                try:
                    self._write(waiting[begin : begin + RUNS_AT_ONCE])
                except RefusedError as error:
                    refused = error
            if refused is not None:
                raise refused

    def _write(self, logs: Sequence[RunLog]) -> None:
        with self.lock:
            since = {log: self._waiting.pop(log) for log in logs}
            taken = {log: log.take() for log in logs}
        try:
            self.writer.write(list(taken.values()))
        except RefusedError as error:
            raise RefusedError(f"MLflow did not accept all of '{self._name}': {reason(error, '')}") from error
        except Exception as error:
            raise StoreError(f"MLflow did not accept '{self._name}': {reason(error, '')}") from error
        finally:
            with self.lock:
                for log, entries in taken.items():
                    log.put_back(entries)
                    if entries:
                        self._waiting[log] = min(since[log], self._waiting.get(log, since[log]))

    @property
    def behind(self) -> Behind | None:
        """How far MLflow is behind; None where it has everything."""
        with self.lock:
            entries = sum(log.unwritten for log in self._waiting)
            oldest = min(self._waiting.values(), default=0.0)
        return Behind(entries, time.monotonic() - oldest) if entries else None


class RunLog:
    """The log of one run: entries are kept until they are written (Outbox.flush)."""

    def __init__(
        self,
        outbox: Outbox,
        experiment_id: str,
        label: str,
        tags: Mapping[str, str],
        started_at: float,
        settings: Settings | None = None,
        run_id: str = "",
    ) -> None:
        self.outbox = outbox
        self.label = label
        self._names: set[str] = set()
        self._new = Entries(
            experiment_id, label, int(started_at * 1000), run_id or outbox.writer.new_run_id(), is_new=not run_id
        )
        self._new.params = [
            (logged_name(name), setting_text(value)[:_PARAM_CHARACTERS]) for name, value in (settings or {}).items()
        ]
        self.tag({**tags, **name_tags(settings or {})})

    @property
    def run_id(self) -> str:
        """Its id in MLflow; "" where a server has not chosen it yet."""
        return self._new.run_id

    @property
    def unwritten(self) -> int:
        """How many entries are not written."""
        return len(self._new)

    def add(self, values: Mapping[str, float], *, step: int, timestamp: float) -> None:
        """Metrics of one step. The timestamp is the event's own, so that a replay changes nothing."""
        time_ms = int(timestamp * 1000)
        with self.outbox.lock:
            if new := values.keys() - self._names:
                self._names |= new
                self._new.tags.update(name_tags(new))
            self._new.metrics += [(logged_name(name), float(value), time_ms, step) for name, value in values.items()]
            self.outbox.changed(self)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        with self.outbox.lock:
            self._new.tags |= {name: value[:_TAG_CHARACTERS] for name, value in tags.items()}
            self.outbox.changed(self)

    def input(self, card: DataCard) -> None:
        """Name the data set that the run used."""
        with self.outbox.lock:
            self._new.data = card
            self.outbox.changed(self)

    def resume(self) -> None:
        """Mark an ended run as running again."""
        self._stands(TrialState.RUNNING, None)

    def end(self, state: TrialState, ended_at: float) -> None:
        """The run has ended."""
        self._stands(state, int(ended_at * 1000))

    def _stands(self, state: TrialState, ended_at_ms: int | None) -> None:
        with self.outbox.lock:
            self._new.status = RUN_STATUS[state], ended_at_ms
            self.outbox.changed(self)

    def forget(self, logged: LoggedRun) -> None:
        """Drop all entries where MLflow has them: they are written in order, so it has all where it has the last."""
        with self.outbox.lock:
            same_tags = all(self._new.tags.get(name) == logged.tags.get(name) for name in LoggedRun.TAGS)
            if same_tags and self._new.status == (logged.status, logged.ended_at_ms):
                self._new.clear()

    def take(self) -> Entries:
        """The entries to write; ``put_back`` takes what of them was not written."""
        taken, self._new = (
            self._new,
            Entries(self._new.experiment_id, self.label, self._new.started_at_ms, self._new.run_id, is_new=False),
        )
        return taken

    def put_back(self, entries: Entries) -> None:
        """What was taken: what is left in it was not written."""
        entries.put_before(self._new)
