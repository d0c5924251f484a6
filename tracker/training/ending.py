"""How an attempt ended, and which of its files may be deleted: the one place that decides it."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tracker.errors import TrackerError
from tracker.records import AttemptRecord, PhaseSeconds, TrialState
from tracker.training.events import EventLog

CODE_CHANGED = "code_changed"
"""Why a trial is paused again: the training code has changed and cannot read its state."""


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


def vanished(record: AttemptRecord, exit_code: int, *, starved: bool, time_limit_seconds: float | None) -> Ending:
    """The ending of an attempt whose process vanished without reporting one.

    ``starved`` is whether the system killed some process to get memory back meanwhile.
    """
    asked_to = record.reason
    if asked_to == "time_limit":
        message_text = f"it did not stop at its time limit of {time_limit_seconds:g} seconds"
        return Ending(TrialState.KILLED, asked_to, message_text)
    if exit_code < 0:
        if exit_code == -signal.SIGKILL and starved and not asked_to:
            return Ending(TrialState.FAILED, "out_of_memory", "the system killed the process to get memory back")
        name = signal.Signals(-exit_code).name
        hint = " (often: the machine ran out of memory)" if name == "SIGKILL" else ""
        return Ending(TrialState.KILLED, asked_to or "killed", f"the process was killed by {name}{hint}")
    if exit_code:
        return Ending(TrialState.FAILED, "exit", f"the training ended its process with exit code {exit_code}")
    if record.checkpoints:
        return Ending(TrialState.COMPLETED, "", "the training ended its process itself, with exit code 0")
    return Ending(
        TrialState.FAILED, "no_report", "the training ended its process with exit code 0, and had reported nothing"
    )


LOST = Ending(TrialState.KILLED, "killed", "the process and its coordinator vanished")
"""The ending of an attempt that vanished without a trace."""


def write_dropped(log_path: Path, why: str) -> None:
    """Write that a trial, whose last attempt's log this is, will not be resumed: its saved state is deleted."""
    EventLog(log_path).write("dropped", {"message": why})


def write_ending(log_path: Path, record: AttemptRecord, ending: Ending, wall_seconds: float) -> None:
    """Write the end of a worker that could not do it itself; all the time until then was paid for."""
    startup_seconds = record.phases.startup_seconds or wall_seconds
    phases = PhaseSeconds(startup_seconds, max(0.0, wall_seconds - startup_seconds), 0.0)
    fields = {
        "state": ending.state,
        "reason": ending.reason,
        "message": ending.message,
        "usage": replace(record.usage, wall_seconds=wall_seconds, startup_seconds=startup_seconds),
        "phases": phases,
        "summary": {},
    }
    EventLog(log_path).write("ended", fields)
