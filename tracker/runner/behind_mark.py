"""Marks a study whose values wait for MLflow: whoever reads the study then reads its events."""

from __future__ import annotations

from tracker.runner.delivery import Delivery
from tracker.runner.study_notes import StudyNotes


class BehindMark:
    """Keeps the mark in a study's folder true to its delivery."""

    def __init__(self, notes: StudyNotes, delivery: Delivery) -> None:
        self._notes = notes
        self._delivery = delivery
        self._marked = notes.behind()

    def update(self) -> None:
        """Set the mark where MLflow does not accept what waits, or takes long; else remove it."""
        behind = self._delivery.behind
        entries = behind.entries if behind and (self._delivery.problem or behind.is_notable) else 0
        if entries != self._marked:
            self._notes.save_behind(entries)
            self._marked = entries
