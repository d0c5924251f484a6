"""What a training script logs to MLflow by itself, picked up from MLflow's store as it comes, without MLflow.

A script's runs are known by a tag that MLflow puts on every run which ``mlflow.start_run`` or an autologger starts in
a process with the environment variable MLFLOW_RUN_CONTEXT (mlflow/tracking/context/system_environment_context.py).
``MlflowClient.create_run`` alone does not look at it: it must be given ``json.loads(os.environ["MLFLOW_RUN_CONTEXT"])``
as tags, which is what Lightning's MLFlowLogger does by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tracker.errors import StoreError
from tracker.records import BOOKED_METRICS

SETTLE_SECONDS = 0.1
"""How long a checkpoint waits for the metrics that a script logs right after its quality metric."""
RETRY_SECONDS = 2.0
"""How long a store that could not be read is left alone."""
_LEFT_OUT = ("epoch", "self", *BOOKED_METRICS)
"""Metrics that stay in the script's own run: what a report says otherwise, and what the tracker measures itself."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A value of the quality metric as a run logged it; ``time_ms`` is in milliseconds since 1970."""

    run: str
    step: int
    time_ms: int
    value: float


class Source(Protocol):
    """An MLflow store, as far as one metric of the runs with one tag goes. Its methods raise StoreError."""

    seconds_between_looks: float
    """How often it may be asked."""

    def values(self) -> Sequence[Logged]:
        """Everything that was logged of the quality metric, as it was logged in time."""
        ...

    def others(self, at: Logged) -> Mapping[str, float]:
        """Every metric of the same run: the last value that was logged up to that time, or later at the same step."""
        ...


@dataclass(frozen=True, slots=True)
class PickedUp:
    """A checkpoint: its metrics, the epoch that it is given, and the step that it was logged at."""

    epoch: int
    step: int
    metrics: Mapping[str, float]


class MlflowPickup:
    """Makes checkpoints of what is new in a store.

    Every step that the ``quality`` metric is logged at is a checkpoint. Its epoch is that step where steps rise from 1
    on, and one more than the last epoch where the step is not above that: steps from 0 on become epochs from 1 on,
    and what is logged without a step (MLflow then says 0) is counted. A step that is logged again adds nothing.
    ``epoch`` and ``step`` are the last ones of an earlier attempt at the trial: what is logged anew up to that step
    adds nothing either. A metric that is not finite is left out unless it is the quality metric.
    """

    def __init__(self, source: Source, quality: str, epoch: int = 0, step: int = 0) -> None:
        self._source = source
        self._quality = quality
        self._epoch = epoch
        self._step_before = step
        self._seen: set[tuple[str, int, int]] = set()
        self._waiting: list[Logged] = []
        self._next_look = 0.0
        self.problem = ""
        """Why the last look failed; "" where it did not."""

    def look(self, *, last: bool = False) -> list[PickedUp]:
        """The checkpoints that are new and complete; none where it is too early for another look.

        ``last`` looks in any case, and waits for nothing. A store that cannot be read is tried again the next time.
        """
        if not last and time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + self._source.seconds_between_looks
        try:
            found = self._new(self._source.values())
            complete = [*self._waiting, *found] if last else self._waiting
            metrics = [self._metrics(value) for value in complete]
        except StoreError as error:
            self.problem = str(error)
            self._next_look = time.monotonic() + RETRY_SECONDS
            return []
        self.problem = ""
        self._seen |= {_key(value) for value in found}
        self._waiting = [] if last else found
        if self._waiting:
            self._next_look = time.monotonic() + SETTLE_SECONDS
        return [
            self._numbered(value.step, of_it)
            for value, of_it in zip(complete, metrics, strict=True)
            if not 0 < value.step <= self._step_before
        ]

    def _new(self, values: Sequence[Logged]) -> list[Logged]:
        """The first value of each step that was not seen yet."""
        seen, found = set(self._seen), []
        for value in values:
            if (key := _key(value)) not in seen:
                seen.add(key)
                found.append(value)
        return found

    def _metrics(self, value: Logged) -> dict[str, float]:
        others = self._source.others(value)
        kept = {
            name: number
            for name, number in others.items()
            if math.isfinite(number) and name not in (self._quality, *_LEFT_OUT)
        }
        return {**kept, self._quality: value.value}

    def _numbered(self, step: int, metrics: Mapping[str, float]) -> PickedUp:
        self._epoch = max(step, self._epoch + 1)
        return PickedUp(self._epoch, step, metrics)


def _key(value: Logged) -> tuple[str, int, int]:
    """What makes a value another checkpoint: its run and its step, and its time where it has no step."""
    return (value.run, value.step, value.time_ms if value.step == 0 else 0)
