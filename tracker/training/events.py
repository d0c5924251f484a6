"""The durable log of one attempt: a file of JSON objects, one a line, that only ever grows.

A line that cannot be read costs itself alone. A line that is the same as the one before it is that event again, and
counts once; a checkpoint whose epoch does not rise, or a usage that is less than one before it, is no news.

Events, each with ``event``, ``time`` (seconds since 1970, by the machine's clock) and ``steady`` (seconds of a clock
that is never set and stands still while the machine is suspended; differences within one log are durations):

| event      | written by  | fields                                                               |
|------------|-------------|----------------------------------------------------------------------|
| asked      | coordinator | role, label, attempt, settings, seed, last_epoch,                    |
|            |             | cores, accelerators, price_point, price_book,                        |
|            |             | format and tracker (see study.formats), node where it is another     |
|            |             | machine than the coordinator's, and nodes where there are several:   |
|            |             | cores and accelerators are those of all, one node's after another's  |
| started    | worker      | pid                                                                  |
| meeting    | worker      | line, store: the ports on which an attempt's other machines reach it |
| progress   | worker      | message                                                              |
| ready      | worker      | startup_seconds                                                      |
| checkpoint | worker      | epoch, metrics, usage, evaluation_seconds                            |
| heartbeat  | worker      | usage                                                                |
| figures    | worker      | figures: numbers about the run by name, as soon as they are known    |
| note       | worker      | message: a sentence for the person who runs the study                |
| stop_asked | coordinator | reason                                                               |
| saved      | worker      | epoch: training can be resumed after it                          |
| restored   | worker      | epoch: training was resumed after it                                 |
| state_lost | worker      | message: training restarts                                           |
| data       | worker      | the data card                                                        |
| ended      | worker, or the coordinator when the worker vanished | state, reason, message, usage, phases, summary, |
|            |             | kept_epoch where its machine was lost                                |
| dropped    | coordinator | message: why this trial, which had ended, is never resumed           |
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

from tracker.errors import StoreError
from tracker.records import AttemptRecord, Checkpoint, EnergySource, PhaseSeconds, TrialState, Usage
from tracker.study.formats import EVENT_LOG
from tracker.training.event_lines import Event as Event
from tracker.training.event_lines import read_line

DURABLE = ("started", "checkpoint", "data", "stop_asked", "ended", "dropped")
"""Events that are forced onto the disk, with all before them: the worker does it for its request, before it trains."""


class EventLog:
    """Appends events to a file; safe from several threads and processes.

    A full or broken disk raises nothing: lines that cannot be written are kept and tried again with the next event.
    A line that was torn by it, whoever wrote it, costs itself alone: what comes next starts on a line of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []
        self._unsynced = False
        self._failing_since = 0.0
        self.problem = ""
        """Why the last event could not be written; "" where it is in the file, and on the disk where it must be."""

    def write(self, event: str, *fields: Mapping[str, Any]) -> bool:
        """Append an event, or one for each of several ``fields``; those of DURABLE are on the disk then.

        Returns whether all events until now are in the file.
        """
        stamp = {"event": event, "time": time.time(), "steady": time.monotonic()}
        if event == "asked":
            stamp |= EVENT_LOG.stamp
        lines = [json.dumps({**stamp, **each}, default=_plain) for each in fields or ({},)]
        with self._lock:
            self._unwritten += [f"{line}\n".encode() for line in lines]
            self._unsynced |= event in DURABLE
        return self.flush()

    def flush(self) -> bool:
        """Try again to write what could not be written; the same answer as that of ``write``."""
        with self._lock:
            try:
                self._append()
            except OSError as error:
                self._failed(error.strerror or str(error))
            else:
                self.problem = ""
            return not self.problem

    @property
    def failing_seconds(self) -> float:
        """For how long no event could be written."""
        return time.monotonic() - self._failing_since if self.problem else 0.0

    def _append(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            while (torn := _is_torn(descriptor)) or self._unwritten:
                written = os.write(descriptor, b"\n" * torn + b"".join(self._unwritten)) - torn
                # Of a line that is in the file but for its end, the end is written next; one that was torn is repeated.
                while self._unwritten and written >= len(self._unwritten[0]) - 1:
                    written -= len(self._unwritten.pop(0))
            if self._unsynced:
                os.fsync(descriptor)
                self._unsynced = False
        finally:
            os.close(descriptor)

    def _failed(self, problem: str) -> None:
        if self.problem:
            return
        self.problem, self._failing_since = problem, time.monotonic()
        with contextlib.suppress(OSError):  # what this process prints may go to the same disk
            print(f"event log {self._path}: {problem}; keeping it for later", file=sys.stderr)


def _is_torn(descriptor: int) -> bool:
    """Whether a file's last line has no end."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a value that an event can hold")


class EventReader:
    """Reads a log as it grows: each call to ``new_events`` gives what came since the last one.

    ``unreadable`` are the lines so far that hold no event, each with its number and why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read_bytes = 0
        """How much of the log was read: whole lines."""
        self._lines = 0
        self._last = b""
        self.unreadable: list[str] = []

    def new_events(self) -> list[Event]:
        """The events written since the last call; a line that is still being written is left for the next.

        Raises StoreError where the log cannot be read, or is of a format that only a newer tracker knows.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self.read_bytes)
                text = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"event log '{self._path}' cannot be read: {error.strerror}") from None
        return self.events_in(text)

    def events_in(self, text: bytes) -> list[Event]:
        """The events of what the log has from ``read_bytes`` on, for who has just written it. Raises StoreError."""
        whole = text[: text.rfind(b"\n") + 1]
        self.read_bytes += len(whole)
        return [event for line in whole.split(b"\n")[:-1] if (event := self._event(line)) is not None]

    def _event(self, line: bytes) -> Event | None:
        self._lines += 1
        if not line or line == self._last:
            return None
        self._last = line
        try:
            event = read_line(line)
        except ValueError as error:
            self.unreadable.append(f"line {self._lines} cannot be read: {error}")
            return None
        if event["event"] == "asked":
            EVENT_LOG.check(self._path, event)
        return event


def set_aside(path: Path) -> None:
    """Rename a log that is there before its attempt starts: nobody could read it, so its number is given again."""
    if path.exists():
        path.rename(path.with_name(f"{path.name}.{time.time():.0f}.unreadable"))


def follow(record: AttemptRecord, events: Iterable[Event]) -> AttemptRecord:
    """The record of an attempt after some more of its events."""
    known = {name: getattr(record, name) for name in AttemptRecord.__slots__}
    known["checkpoints"] = list(record.checkpoints)
    for event in events:
        _enter(known, event)
    return AttemptRecord(**{**known, "checkpoints": tuple(known["checkpoints"])})


def read_attempt(path: Path, number: int) -> AttemptRecord:
    """The record of the attempt whose log is ``path``, as far as it goes."""
    return follow(new_attempt(number), EventReader(path).new_events())


def seconds_seen(events: Sequence[Event]) -> float:
    """Seconds from an attempt's request to the last sign of life in its log, whatever the clock was set to."""
    used = max((event["usage"]["wall_seconds"] for event in events if "usage" in event), default=0.0)
    if all("steady" in event for event in events):
        on_node = events[1:] if events[0].get("node") else events  # the coordinator's clock is not the node's
        readings = [event["steady"] for event in on_node]
        return float(max(used, max(readings, default=0.0) - min(readings, default=0.0)))
    # Older logs have the machine's clock alone.
    return float(used or max(0.0, events[-1]["time"] - events[0]["time"]))


def new_attempt(number: int, started_at: float = 0.0, cores: int = 0) -> AttemptRecord:
    """The record of an attempt before its first event."""
    return AttemptRecord(number, TrialState.RUNNING, started_at, Usage(0.0, 0.0, cores))


def _enter(known: dict[str, Any], event: Event) -> None:
    """Enter an event into the fields of a record."""
    match event["event"]:
        case "checkpoint":
            _enter_checkpoint(known, event)
        case "heartbeat":
            known["usage"] = _later(known["usage"], _usage(event["usage"]))
        case "saved" | "restored":
            known["saved_epoch"] = event["epoch"]
        case "asked":
            known["started_at"] = event["time"]
            cores, accelerators = len(event["cores"]), len(_accelerators(event))
            known["usage"] = replace(known["usage"], cores=cores, accelerators=accelerators)
        case "ready":
            known["phases"] = PhaseSeconds(startup_seconds=event["startup_seconds"])
        case "stop_asked" if known["ended_at"] is None:  # else it came too late
            known["reason"] = event["reason"]
        case "figures":
            known["summary"] = {**known["summary"], **event["figures"]}
        case "note":
            known["notes"] = (*known["notes"], event["message"])
        case "state_lost":
            known["saved_epoch"] = None
        case "ended":
            known |= {
                "state": TrialState(event["state"]),
                "usage": _later(known["usage"], _usage(event["usage"])),
                "phases": PhaseSeconds(**_known(PhaseSeconds, event["phases"])),
                "summary": {**known["summary"], **event["summary"]},
                "reason": reason_of_end(known["reason"], event["state"], event["reason"]),
                "message": event["message"],
                "ended_at": max(known["started_at"], event["time"]),  # the clock may have been set back
                "kept_epoch": event.get("kept_epoch"),
            }
        case "dropped":
            known |= {"state": TrialState.STOPPED, "reason": "dropped", "message": event["message"]}


def _enter_checkpoint(known: dict[str, Any], event: Event) -> None:
    checkpoints = known["checkpoints"]
    if not checkpoints or event["epoch"] > checkpoints[-1].epoch:
        usage, evaluation_seconds = _usage(event["usage"]), event.get("evaluation_seconds", 0.0)
        checkpoints.append(Checkpoint(event["epoch"], event["metrics"], usage, event["time"], evaluation_seconds))
        known["usage"] = _later(known["usage"], usage)


def reason_of_end(asked_for: str, state: str, reason: str) -> str:
    """Why an attempt ended as ``state``: what its end says, or else what it was asked to stop for, "" for nothing.

    One that completed while it was asked to stop has none.
    """
    return "" if state == TrialState.COMPLETED else reason or asked_for


def _accelerators(asked: Event) -> list[int]:
    """The GPUs of an attempt; older events have one or none."""
    single = asked.get("accelerator")
    gpus: list[int] = asked.get("accelerators", [] if single is None else [single])
    return gpus


def _usage(given: Mapping[str, Any]) -> Usage:
    return Usage(**{**_known(Usage, given), "energy_source": EnergySource(given["energy_source"])})


def _later(before: Usage, now: Usage) -> Usage:
    """What was used by now: time never goes back."""
    return now if now.wall_seconds >= before.wall_seconds else before


def _known(record: type[Usage | PhaseSeconds], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a record has; a newer tracker may have written others."""
    return {name: given[name] for name in record.__slots__ if name in given}
