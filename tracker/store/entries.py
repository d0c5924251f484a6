"""What a run has logged and MLflow does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracker.records import DataCard

RUNS_AT_ONCE = 500
"""Written in one transaction: short enough that a study which runs meanwhile does not wait for it."""


@dataclass(slots=True)
class Entries:
    """Of one run: ``metrics`` are (name, value, milliseconds since 1970, step), ``status`` is MLflow's with its end.

    ``run_id`` is "" where MLflow is to choose it; ``is_new`` says that the run is still to be made.
    """

    experiment_id: str
    label: str
    started_at_ms: int
    run_id: str
    is_new: bool
    doubtful: bool = False
    """Whether an earlier try to make the run failed, so that it may be there nevertheless."""
    params: list[tuple[str, str]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    data: DataCard | None = None
    status: tuple[str, int | None] | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.params) + len(self.tags) + len(self.metrics) + (self.data is not None) + bool(self.status)

    def clear(self) -> None:
        """They are written."""
        self.is_new = self.doubtful = False
        self.params, self.tags, self.metrics, self.data, self.status = [], {}, [], None, None

    def put_before(self, later: Entries) -> None:
        """Put these, which were not written, before what was logged meanwhile."""
        later.is_new, later.doubtful, later.run_id = self.is_new, self.doubtful, self.run_id
        later.params, later.metrics = self.params + later.params, self.metrics + later.metrics
        later.tags = {**self.tags, **later.tags}
        later.data, later.status = later.data or self.data, later.status or self.status


class Writer(Protocol):
    """Writes entries to MLflow."""

    def new_run_id(self) -> str:
        """The id of a run that is to be written; "" where MLflow chooses it."""

    def write(self, batch: Sequence[Entries]) -> None:
        """Write entries, and empty what is written. Raises RefusedError for what will never be taken."""
