"""When failing trials mean that the study makes no sense: no more of them are paid for then."""

from __future__ import annotations

import re
from collections import Counter

from tracker.records import AttemptRecord, TrialState
from tracker.training.ending import CODE_CHANGED

MOST_ALIKE = 3
"""So many trials that fail in the same way before any had a checkpoint end the study."""
MOST_ALIKE_IN_A_ROW = 8
"""So many one after the other end it later on."""
_OF_THEIR_SETTINGS = ("out_of_memory", "not_finite", "time_limit")
"""Failures that the search learns to avoid: they say something of the settings, not of the study."""


class Failures:
    """Counts how trials fail since the study was started or resumed; ``checkpoints`` is whether any had one before."""

    def __init__(self, *, checkpoints: bool = False) -> None:
        self.verdict = ""
        """Why nothing more may start; "" while something may."""
        self._alike: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._last = ""
        self._in_a_row = 0
        self._checkpoints = checkpoints

    def ended(self, record: AttemptRecord) -> None:
        """An attempt at a trial has ended."""
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
        """That no trial came to anything, with the commonest reason; "" where one did, or none ended."""
        if self._checkpoints or not self._alike:
            return ""
        kind, count = self._alike.most_common(1)[0]
        return f"every trial failed; {count} of {self._alike.total()}: {self._first[kind]}"
