"""How an attempt ended, and which of its files may be deleted: the one place that decides it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.errors import TrackerError
from tracker.records import AttemptRecord, PhaseSeconds, TrialState
from tracker.training.events import Event, EventLog, reason_of_end, seconds_seen

CODE_CHANGED = "code_changed"
"""Why a trial is paused again: the training code has changed and cannot read its state."""
CRASHED = "crashed"
"""Why the system killed a process: for what it did itself, such as a segmentation fault."""
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS")
NODE_LOST = "node_lost"
"""Why an attempt was killed: the machine that it ran on vanished, or says nothing any more."""
NODE_REFUSED = "node_refused"
"""Why an attempt was killed before it started: its machine could not take it."""
PROCESS_DIED = "process_died"
"""Why an attempt ended: one of its processes did, with no word of its own."""
STATE_AWAY = "state_away"
"""Why an attempt was killed before it started: the store that has its trial's state could not be reached."""
NODE_DRAINS = "node_drains"
"""Why an attempt was asked to pause: its machine goes away soon."""
DISK_FAILED = "disk_failed"
"""Why a trial is paused, or stopped where it saved no state: nobody would know what it spends from here on."""
NO_EVENTS = "its events could not be written any more: the disk of the study's folder is full, read-only or broken"
_KILLED_FOR = {
    "time_limit": "it did not stop at its time limit of {:g} seconds",
    "no_heartbeat": "it hung: its process had done nothing for ten minutes, and did not stop when it was asked to",
    NODE_LOST: "one of its machines is lost: it was killed on the first, which waited for that one",
    NODE_REFUSED: "one of its machines could not take its part: it was killed on the first, which waited for that one",
    PROCESS_DIED: "its part on another machine ended or never came: it was killed on the first, which waited for it",
}
"""What is said of a worker that was killed, by why: it did not stop when it was asked to, or nobody could ask it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended: ``reason`` is one word for anything but a plain end, ``message`` says it in a sentence."""

    state: TrialState
    reason: str = ""
    message: str = ""

    @property
    def for_good(self) -> bool:
        """Whether the trial needs nothing of what it saved any more: its states are of no use to a later attempt."""
        return self.state not in (TrialState.RUNNING, TrialState.PAUSED, TrialState.KILLED)


def ending_of(record: AttemptRecord) -> Ending:
    """The ending of an attempt whose log has one."""
    return Ending(record.state, record.reason, record.message)


def failure(error: BaseException) -> Ending:
    """The ending of an attempt that raised this exception."""
    if isinstance(error, TrackerError):
        reason = getattr(error, "reason", type(error).__name__)
        return Ending(TrialState.PAUSED if reason == CODE_CHANGED else TrialState.FAILED, reason, str(error))
    import torch  # a coordinator, which raises nothing of it, does without

    text = str(error)
    lacks_memory = "can't allocate memory" in text or "not enough memory" in text  # what torch says of a CPU's
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or lacks_memory:
        return Ending(TrialState.FAILED, "out_of_memory", text.splitlines()[0] if text else "out of memory")
    if isinstance(error, SystemExit):
        code = error.code
        said = code if isinstance(code, str) else f"the training ended itself with sys.exit({code})"
        return Ending(TrialState.FAILED, "exit", said.strip() or "sys.exit()")
    return Ending(TrialState.FAILED, "error", f"{type(error).__name__}: {text}")


def ends_well(leaving: SystemExit) -> bool:
    """Whether this is how a script says that it is done."""
    return leaving.code in (None, 0, False)


def vanished(
    record: AttemptRecord, exit_code: int | None, *, starved: bool, time_limit_seconds: float | None
) -> Ending:
    """The ending of an attempt whose process vanished without reporting one.

    ``exit_code`` is None where nobody knows it: the forkserver died. ``starved`` is whether the system killed some
    process to get memory back meanwhile.
    """
    asked_to = record.reason
    if asked_to in _KILLED_FOR:
        return Ending(TrialState.KILLED, asked_to, _KILLED_FOR[asked_to].format(time_limit_seconds))
    if exit_code is None:
        return Ending(
            TrialState.KILLED, asked_to or "killed", "the process ended with the forkserver, which was killed"
        )
    if exit_code == os.EX_IOERR:
        saved = record.saved_epoch is not None
        return Ending(TrialState.PAUSED if saved else TrialState.STOPPED, DISK_FAILED, NO_EVENTS)
    if exit_code < 0:
        if exit_code == -signal.SIGKILL and starved and not asked_to:
            return Ending(TrialState.FAILED, "out_of_memory", "the system killed the process to get memory back")
        name = signal.Signals(-exit_code).name
        hint = " (often: the machine ran out of memory)" if name == "SIGKILL" and not asked_to else ""
        reason = CRASHED if name in _CRASHES else "killed"
        return Ending(TrialState.KILLED, asked_to or reason, f"the process was killed by {name}{hint}")
    if exit_code:
        return Ending(TrialState.FAILED, "exit", f"the training ended its process with exit code {exit_code}")
    if record.checkpoints:
        return Ending(TrialState.COMPLETED, "", "the training ended its process itself, with exit code 0")
    return Ending(
        TrialState.FAILED, "no_report", "the training ended its process with exit code 0, and had reported nothing"
    )


_LOST = Ending(TrialState.KILLED, "killed", "the process and its coordinator vanished")


def write_dropped(log_path: Path, why: str) -> None:
    """Write that a trial, whose last attempt's log this is, will not be resumed: its saved state is deleted."""
    EventLog(log_path).write("dropped", {"message": why})


def write_ending(
    log_path: Path,
    record: AttemptRecord,
    ending: Ending,
    wall_seconds: float,
    ended_at: float | None = None,
    kept_epoch: int | None = None,
) -> AttemptRecord:
    """Write the end of a worker that could not do it itself, and return the record with it.

    All the time until then was paid for; evaluation is kept apart from training until the last checkpoint. ``ended_at``
    is in seconds since 1970, None for now; ``kept_epoch`` is as in AttemptRecord. A disk that takes no event costs the
    event, not the record.
    """
    startup_seconds = record.phases.startup_seconds or wall_seconds
    running_seconds = max(0.0, wall_seconds - startup_seconds)
    evaluation_seconds = min(running_seconds, record.checkpoints[-1].evaluation_seconds if record.checkpoints else 0.0)
    ended = replace(
        record,
        state=ending.state,
        reason=reason_of_end(record.reason, ending.state, ending.reason),
        message=ending.message,
        usage=replace(record.usage, wall_seconds=wall_seconds, startup_seconds=startup_seconds),
        phases=PhaseSeconds(startup_seconds, running_seconds - evaluation_seconds, evaluation_seconds),
        ended_at=max(record.started_at, time.time() if ended_at is None else ended_at),
        kept_epoch=kept_epoch,
    )
    fields = {name: getattr(ended, name) for name in ("state", "reason", "message", "usage", "phases", "summary")}
    lost = {} if kept_epoch is None else {"kept_epoch": kept_epoch}
    EventLog(log_path).write("ended", {**fields, **lost, "time": ended.ended_at})
    return ended


def end_lost(log_path: Path, record: AttemptRecord, events: Sequence[Event]) -> AttemptRecord:
    """End an attempt that vanished together with its coordinator; it is billed until its last sign of life."""
    return write_ending(log_path, record, _LOST, seconds_seen(events), float(events[-1]["time"]))
