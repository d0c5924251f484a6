"""What a command says by itself, to MLflow, in a log or on its output, picked up as it comes.

Every step that the quality metric is logged at is a checkpoint: its metrics are the last values of that step, and its
time is that of the quality's last value. So a step is complete when the quality is logged at a later one, or the
command has ended.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from tracker.errors import StoreError

SETTLE_SECONDS = 0.5
"""How long a step waits for what is logged right after its quality where the trial is to pause."""
RETRY_SECONDS = 2.0
"""How long a store that could not be read is left alone."""
_READING_SHARE = 0.05
"""Reading takes at most this share of the time that the command runs."""


class Logged(NamedTuple):
    """A value of a metric as a run logged it; ``time_ms`` is in milliseconds since 1970."""

    run: str
    name: str
    step: int
    time_ms: int
    value: float


class Source(Protocol):
    """The runs of one attempt at a command: MLflow's, folders of event files, … Its methods raise StoreError."""

    seconds_between_looks: float
    """How often it may be asked."""
    runs_are: str
    """What its runs are, in words."""

    def new(self, *, last: bool = False) -> Sequence[Logged]:
        """What was logged since the last call, in that order; ``last`` once the command has ended."""
        ...

    def parents(self) -> Mapping[str, str]:
        """For each run that is nested in another, which that is."""
        ...

    def missing(self, quality: str) -> str:
        """Why nothing was found, in words."""
        ...


class PickedUp(NamedTuple):
    """A checkpoint: the epoch that it is given, the step that it was logged at (-1 for none), when, and its metrics."""

    epoch: int
    step: int
    time_ms: int
    metrics: Mapping[str, float]


class _Run:
    """What one run has logged: of each step the last value of each metric.

    MLflow and TensorBoard say step 0 where a script gives none. Values at step 0 are those of one step where later
    steps follow; where none ever does, each is of a step of its own, and they are counted: ``unstepped`` keeps them.
    """

    def __init__(self) -> None:
        self.metrics: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self.unstepped: defaultdict[str, list[Logged]] = defaultdict(list)
        self.qualities: list[Logged] = []  # those that were not looked at yet

    def take(self, logged: Logged, quality: str) -> None:
        if logged.step <= 0:
            self.unstepped[logged.name].append(logged)
        if logged.name == quality:
            self.qualities.append(logged)
        else:
            self.metrics[logged.step][logged.name] = logged.value

    def beside(self, index: int, quality: Logged, count: int) -> dict[str, float]:
        """The other metrics of value ``index`` of ``count`` values without a step: as many, or the latest by then."""
        found = {}
        for name, values in self.unstepped.items():
            if name == quality.name:
                continue
            until = [each for each in values if each.time_ms <= quality.time_ms]
            if len(values) == count:
                found[name] = values[index].value
            elif until:
                found[name] = until[-1].value
        return found


class Pickup:
    """Makes checkpoints of what is new in a store.

    One run is followed: the outermost that logs ``quality``, the first of several. ``note`` receives a sentence about
    other runs. ``epoch`` and ``step`` are the last ones of an earlier attempt at the trial, -1 for none: what is logged
    again up to that step adds nothing. A value at a step that does not rise is no checkpoint.
    """

    def __init__(
        self, source: Source, quality: str, note: Callable[[str], None], epoch: int = -1, step: int = -1
    ) -> None:
        self._source = source
        self._quality = quality
        self._note = note
        self._epoch = epoch
        self._step = step  # the last that is complete
        self._known_step = step
        self._runs: defaultdict[str, _Run] = defaultdict(_Run)
        self._candidates: list[str] = []  # the runs that logged the quality, by the time of that
        self._parents: Mapping[str, str] = {}
        self._followed: str | None = None
        self._open: Logged | None = None  # the quality at the latest step, which may still change
        self._zero: Logged | None = None  # the quality's last value at step 0 before any later step
        self._changed = 0.0
        self._next_look = 0.0
        self.problem = ""
        """Why the last look failed; "" where it did not."""

    @property
    def missing(self) -> str:
        """Why there is no checkpoint, in words."""
        return self.problem or self._source.missing(self._quality)

    def look(self, *, last: bool = False, pausing: bool = False) -> list[PickedUp]:
        """The checkpoints that are new and complete; none where it is too early for another look.

        ``last`` looks in any case: everything is complete now. ``pausing`` takes the latest step for complete once it
        has settled. A store that cannot be read is tried again the next time.
        """
        begin = time.monotonic()
        if not last and begin < self._next_look:
            return []
        try:
            new = self._source.new(last=last)
            self._parents = self._source.parents() if new else self._parents
        except StoreError as error:
            self.problem = str(error)
            self._next_look = time.monotonic() + RETRY_SECONDS
            return []
        self.problem = ""
        for logged in new:
            self._runs[logged.run].take(logged, self._quality)
            if logged.name == self._quality and logged.run not in self._candidates:
                self._candidates.append(logged.run)
        self._changed = begin if new else self._changed
        found = []
        if (run := self._run_to_follow(last=last)) is not None:
            found = self._complete(run, everything=last or (pausing and begin > self._changed + SETTLE_SECONDS))
            found += self._counted(run) if last and self._step < 0 else []
        now = time.monotonic()
        self._next_look = now + max(self._source.seconds_between_looks, (now - begin) / _READING_SHARE)
        return found

    def _run_to_follow(self, *, last: bool) -> _Run | None:
        """The outermost run that logs the quality: an outer one may still come to it, until the command has ended."""
        if self._followed is None:
            nested = self._candidates if last else [run for run in self._candidates if run not in self._parents]
            self._followed = min(nested, key=self._depth, default=None)
        if last and len(self._candidates) > 1:
            self._note(
                f"a command logs '{self._quality}' in several {self._source.runs_are}: the outermost is followed, "
                "of several the first; the others count as spend alone"
            )
        return self._runs[self._followed] if self._followed is not None else None

    def _depth(self, run: str) -> int:
        depth = 0
        while (parent := self._parents.get(run)) is not None and depth < len(self._parents):
            run, depth = parent, depth + 1
        return depth

    def _complete(self, run: _Run, *, everything: bool) -> list[PickedUp]:
        """The steps of a run that are complete now; those without a step wait until it is known what they are."""
        found = []
        for logged in run.qualities:
            if logged.step <= 0 and self._latest < 0:
                self._zero = logged
                continue
            if self._latest < 0 and self._zero is not None:  # it was the step 0 of what counts from 0
                self._open = self._zero
            if self._open is not None and logged.step > self._open.step:
                found.append(self._picked_up(run, self._open))
            if logged.step > self._latest or (self._open is not None and logged.step == self._latest):
                self._open = logged
            elif logged.step > self._known_step:
                self._note(
                    f"'{self._quality}' was logged at a step before the last one, or without a step after "
                    "steps: such a value is no checkpoint"
                )
        run.qualities.clear()
        if everything and self._open is not None:
            found.append(self._picked_up(run, self._open))
        return found

    @property
    def _latest(self) -> int:
        return self._open.step if self._open is not None else self._step

    def _counted(self, run: _Run) -> list[PickedUp]:
        """The values without a step, each a checkpoint of its own, counted from 1."""
        values = run.unstepped.pop(self._quality, [])
        self._epoch = max(self._epoch, 0)
        found = []
        for index, logged in enumerate(values):
            self._epoch += 1
            metrics = {**run.beside(index, logged, len(values)), self._quality: logged.value}
            found.append(PickedUp(self._epoch, -1, logged.time_ms, metrics))
        run.unstepped.clear()
        return found

    def _picked_up(self, run: _Run, logged: Logged) -> PickedUp:
        self._epoch, self._step, self._open = max(logged.step, self._epoch + 1), logged.step, None
        metrics = {**run.metrics.pop(logged.step, {}), self._quality: logged.value}
        return PickedUp(self._epoch, logged.step, logged.time_ms, metrics)


def whole_step(text: str) -> int | None:
    """The step that a text names; None where it is no whole number of at least 0.

    >>> whole_step("250"), whole_step("250.0"), whole_step("1e3"), whole_step("0.5"), whole_step("last")
    (250, 250, 1000, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number >= 0 and number.is_integer() else None
