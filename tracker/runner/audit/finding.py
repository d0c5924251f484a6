"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` (a run, a trial, the study) has something that differs: ``says``, against what the events expect.

    ``kind`` is one word that can be counted; ``replaces`` is a run in MLflow that repair deletes, "" for none.
    """

    kind: str
    what: str
    says: str
    expected: str = ""
    replaces: str = ""

    @property
    def words(self) -> str:
        """The finding in a line."""
        return f"{self.what}: {self.says}" + (f"; expected: {self.expected}" if self.expected else "")


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit saw of a study. ``findings`` is empty where all books agree; ``notes`` say what was not checked.

    ``coordinator`` is the process that runs the study, None where none does. ``price_usd`` and ``wall_seconds`` are
    the sums over all attempts in the event logs.
    """

    study: str
    coordinator: int | None
    runs: int
    attempts: int
    price_usd: float
    wall_seconds: float
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether all books agree."""
        return not self.findings
