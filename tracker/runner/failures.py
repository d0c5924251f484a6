"""When to give up: on settings whose processes are killed again and again, and on a study whose trials all fail."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tracker.records import BOOKED_METRICS, AttemptRecord, TrialState
from tracker.training.ending import (
    CODE_CHANGED,
    CRASHED,
    DISK_FAILED,
    NODE_LOST,
    NODE_REFUSED,
    PROCESS_DIED,
    STATE_AWAY,
)

MOST_KILLS = 3
"""A trial whose process was killed so often is not resumed again."""
MOST_ALIKE = 3
"""The study ends after this many trials that fail alike before any has a checkpoint."""
MOST_ALIKE_IN_A_ROW = 8
"""Later, it ends after this many failures in a row."""
MOST_OF_SETTINGS = 20
"""It ends after so many trials that fail alike by what the search learns to avoid, where no other one ended well."""
_OF_THEIR_SETTINGS = ("out_of_memory", "not_finite", "time_limit")
"""Failures that the search learns to avoid: they are about settings, not about the study."""
_UNASKED = ("killed", CRASHED, "forkserver_died", NODE_LOST, NODE_REFUSED, PROCESS_DIED, STATE_AWAY)
"""Why a process was killed that nobody asked to end."""
_NOT_ITS_DOING = (NODE_LOST, STATE_AWAY)
"""Those that say nothing of the trial, however often it happens."""
_REMEDIES = {
    CODE_CHANGED: "The states are kept: restore the code and resume, or start another study",
    DISK_FAILED: "Make room, then resume: saved states are kept",
}
"""What to do about what ends a study at once, by its reason."""
_ADVICE = {
    "bad_report": "correct what the training reports, or the names in the study file",
    "no_report": "have the training report a checkpoint (`run.report`), or say in [report] where it logs",
    "command_failed": "try the command by hand; the trial's own output is in its .log file",
}
"""What to do about a failure of every trial, by its reason."""


class Failures:
    """Counts failures since the study was started or resumed.

    ``checkpoints`` is whether any trial had one before; ``limited`` are the metrics of [limits], without which no trial
    can be on the frontier.
    """

    def __init__(self, *, checkpoints: bool = False, limited: Iterable[str] = ()) -> None:
        self.verdict = ""
        """Why nothing more may start; "" while something may."""
        self._kills: Counter[int] = Counter()
        self._alike: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._last = ""
        self._in_a_row = 0
        self._checkpoints = checkpoints
        self._ended_well = checkpoints
        self._missing = set(limited).difference(BOOKED_METRICS)
        self._complete = 0

    def ended(self, record: AttemptRecord, trial: int) -> None:
        """Record the end of an attempt at a trial."""
        self._kills[trial] += record.state is TrialState.KILLED and record.reason not in _NOT_ITS_DOING
        if remedy := _REMEDIES.get(record.reason):
            self.verdict = f"{record.message}. {remedy}"
            return
        self._checkpoints |= bool(record.checkpoints)
        self._missing.difference_update(*(checkpoint.metrics for checkpoint in record.checkpoints))
        self._complete += record.state is TrialState.COMPLETED
        if self._missing and self._complete >= MOST_ALIKE:
            self.verdict = (
                f"[limits]: {self._complete} trials were trained to their end, none reported '{min(self._missing)}': "
                "no trial can keep to that limit; report the metric, or take the limit out of the study file"
            )
        if record.state is not TrialState.FAILED and record.reason != CRASHED:
            self._ended_well |= record.state is not TrialState.KILLED
            self._last, self._in_a_row = "", 0
            return
        kind = f"{record.reason}: {re.sub(r'[0-9]+', '#', record.message)}"
        self._alike[kind] += 1
        self._first.setdefault(kind, record.message)
        self._in_a_row = self._in_a_row + 1 if kind == self._last else 1
        self._last = kind
        alike = self._alike[kind]
        if record.reason in _OF_THEIR_SETTINGS:
            too_many = alike >= MOST_OF_SETTINGS and not self._ended_well
        else:
            too_many = (alike >= MOST_ALIKE and not self._checkpoints) or self._in_a_row >= MOST_ALIKE_IN_A_ROW
        if too_many:
            advice = _ADVICE.get(record.reason, "correct that, then resume")
            self.verdict = f"{max(alike, self._in_a_row)} trials failed in the same way: {record.message}; {advice}"

    def retries(self, trial: int, record: AttemptRecord) -> bool:
        """Whether a trial is resumed after this end, where it has a saved state: nobody asked for it."""
        unasked = record.state is TrialState.KILLED and record.reason in _UNASKED
        return unasked and self._kills[trial] < MOST_KILLS

    @property
    def all_failed(self) -> str:
        """A sentence where every trial failed, with the commonest reason; else ""."""
        if self._checkpoints or not self._alike:
            return ""
        kind, count = self._alike.most_common(1)[0]
        return f"every trial failed; {count} of {self._alike.total()}: {self._first[kind]}"
