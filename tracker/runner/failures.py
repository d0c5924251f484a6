"""When to give up on a study whose trials fail: no more of them are paid for then."""

from __future__ import annotations

import re
from collections import Counter

from tracker.records import AttemptRecord, TrialState
from tracker.training.ending import CODE_CHANGED

MOST_ALIKE = 3
"""The study ends after this many trials that fail alike before any has a checkpoint."""
MOST_ALIKE_IN_A_ROW = 8
"""Later, it ends after this many failures in a row."""
_OF_THEIR_SETTINGS = ("out_of_memory", "not_finite", "time_limit")
"""Failures that the search learns to avoid: they are about settings, not about the study."""


class Failures:
    """Counts failures since the study was started or resumed; ``checkpoints`` is whether any trial had one before."""

    def __init__(self, *, checkpoints: bool = False) -> None:
        self.verdict = ""
        """Why nothing more may start; "" while something may."""
        self._alike: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._last = ""
        self._in_a_row = 0
        self._checkpoints = checkpoints

    def ended(self, record: AttemptRecord) -> None:
        """Record the end of an attempt at a trial."""
        if record.reason == CODE_CHANGED:
            self.verdict = f"{record.message}. The states are kept: restore the code and resume, or start another study"
            return
        self._checkpoints |= bool(record.checkpoints)
        if record.checkpoints or record.state is not TrialState.FAILED:
            self._last, self._in_a_row = "", 0
            return
        kind = f"{record.reason}: {re.sub(r'[0-9]+', '#', record.message)}"
        self._alike[kind] += 1
        self._first.setdefault(kind, record.message)
        self._in_a_row = self._in_a_row + 1 if kind == self._last else 1
        self._last = kind
        if record.reason in _OF_THEIR_SETTINGS:
            return
        alike = self._alike[kind]
        if (alike >= MOST_ALIKE and not self._checkpoints) or self._in_a_row >= MOST_ALIKE_IN_A_ROW:
            self.verdict = f"{max(alike, self._in_a_row)} trials failed in the same way: {record.message}"

    @property
    def all_failed(self) -> str:
        """A sentence where every trial failed, with the commonest reason; else ""."""
        if self._checkpoints or not self._alike:
            return ""
        kind, count = self._alike.most_common(1)[0]
        return f"every trial failed; {count} of {self._alike.total()}: {self._first[kind]}"
