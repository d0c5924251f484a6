"""The frontier of a study's checkpoints, and the reference point that its hypervolume is measured from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tracker.errors import RequestError
from tracker.records import Direction
from tracker.search.facts import TrialFacts
from tracker.search.measures import Measures
from tracker.search.objectives import GROWING, LEAST_COST, PREDICTION_PRICE, Frontier

_OPEN_ENDED = 100.0  # a reference for costs without a budget: so many times the dearest first checkpoint


class ReachedFrontier:
    """The frontier of what was reached, from a reference point that is frozen once trials have a checkpoint.

    ``given`` has values of the reference point; those of ``recall`` come before them, and missing ones are the worst of
    the first checkpoints. Where no point beats a given metric yet, the worst value seen replaces it until one does, and
    ``notify`` receives a message for people.
    """

    def __init__(
        self, measures: Measures, given: Mapping[str, float], notify: Callable[[str], None] | None = None
    ) -> None:
        self._measures = measures
        self._given = dict(given)
        self._recalled: Mapping[str, float] = {}
        self._notify = notify
        self._frontier: Frontier | None = None
        self._awaited: Frontier | None = None  # measured from the given reference, while no point beats it
        self._early: list[Mapping[str, float]] = []  # points from before the reference is frozen

    def recall(self, reference: Mapping[str, float]) -> None:
        """Restore a reference point that was frozen before."""
        self._recalled = reference

    @property
    def frozen(self) -> bool:
        """Whether there is a reference point."""
        return self._frontier is not None

    @property
    def frontier(self) -> Frontier:
        """The frontier; another one once a point beats the given reference. It must be frozen."""
        assert self._frontier is not None, "the reference point is not frozen"
        return self._frontier

    @property
    def reference(self) -> Mapping[str, float] | None:
        """The reference point, by objective; None before it is frozen."""
        frontier = self._awaited or self._frontier
        return frontier.reference if frontier else None

    def add(self, values: Mapping[str, float]) -> float:
        """Add a checkpoint, if it keeps the limits; returns the growth of the hypervolume, 0 before it is frozen."""
        if not self._measures.limits.admits(values):
            return 0.0
        if self._frontier is None:
            self._early.append(values)
            return 0.0
        gains = self._frontier.gains([values])
        growth = float(self._frontier.added(self._frontier.reaches(gains))[0])
        self._frontier.add(gains)
        if self._awaited is not None:  # the first point to beat the given reference makes that the reference point
            self._awaited.add(self._awaited.gains([values]))
            if not self._awaited.empty:
                self._frontier, self._awaited = self._awaited, None
        return growth

    def freeze(self, trials: Sequence[TrialFacts]) -> None:
        """Freeze the reference point by the first checkpoints of ``trials``, which all have one.

        Raises RequestError for a given cost that no checkpoint can beat.
        """
        seen = self._worst_of_first(trials)
        wanted = {**seen, **self._given, **self._recalled}
        self._frontier = self._measured_from(wanted)
        if self._frontier.empty and (beyond := self._given.keys() & seen.keys() - set(GROWING)):
            self._awaited = self._frontier
            self._frontier = self._measured_from({**wanted, **{name: seen[name] for name in beyond}})
            if self._notify:
                given = " and ".join(f"search.reference.{name} = {self._given[name]:g}" for name in sorted(beyond))
                self._notify(
                    f"no checkpoint beats {given} yet: until one does, the hypervolume is measured from the "
                    "worst values seen"
                )
        self._early = []

    def _measured_from(self, reference: Mapping[str, float]) -> Frontier:
        frontier = Frontier(self._measures.objectives, reference)
        frontier.add(frontier.gains(self._early))
        return frontier

    def _worst_of_first(self, trials: Sequence[TrialFacts]) -> dict[str, float]:
        """The worst value of each objective at the trials' first checkpoints; a multiple of it for costs."""
        seen, first = {}, [facts.at(0) for facts in trials]
        for each in self._measures.objectives:
            if each.name in self._measures.names:
                values = [depth.metrics[self._measures.names.index(each.name)] for depth in first]
                worst = min(values) if each.direction is Direction.MAXIMIZE else max(values)
            elif each.name == PREDICTION_PRICE:
                worst = _OPEN_ENDED * max(LEAST_COST, *(facts.prediction_usd for facts in trials))
            else:
                costs = [float(depth.costs[GROWING.index(each.name)]) for depth in first]
                worst = _OPEN_ENDED * max(LEAST_COST, *costs)
                _check_reference(each.name, self._given.get(each.name, worst), min(costs))
            seen[each.name] = float(worst)
        return seen


def _check_reference(name: str, reference: float, lowest: float) -> None:
    if reference <= lowest:
        raise RequestError(
            f"search.reference.{name}: {reference:.4g} lies inside the frontier: no checkpoint so far took less "
            f"than {lowest:.4g}; allowed: more than that"
        )
