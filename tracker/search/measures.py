"""What a search follows of each trial: the metrics, which of them are objectives, and within which limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tracker.records import Direction, QualityMetric
from tracker.search.facts import TrialFacts
from tracker.search.features import Array
from tracker.search.limits import Limits
from tracker.search.objectives import GROWING, PREDICTION_PRICE, Objective
from tracker.study.spec import COSTS

_LARGEST = 1e100  # larger values are clipped to it: its square is still finite


class Measures:
    """The study's ``quality``, its ``objectives``, and its ``limits``.

    ``directions`` has the K metrics that are followed, quality first, each with its direction: the objectives that are
    no costs, and what is limited. ``names`` [K] are their names.
    """

    def __init__(self, quality: QualityMetric, objectives: Sequence[Objective], limits: Limits) -> None:
        self.quality = quality
        self.objectives = objectives
        self.limits = limits
        directions = {quality.name: quality.direction, **{each.name: each.direction for each in objectives}}
        for limit in limits.on_metrics:  # the side that it is bounded on gives its direction
            directions.setdefault(limit.metric, Direction.MINIMIZE if limit.low is None else Direction.MAXIMIZE)
        self.directions: Mapping[str, Direction] = {
            name: direction for name, direction in directions.items() if name not in COSTS
        }
        self.names = list(self.directions)

    def finite(self, values: Mapping[str, float]) -> dict[str, float]:
        """The finite ones of reported values, clipped to ±1e100."""
        return {name: min(max(each, -_LARGEST), _LARGEST) for name, each in values.items() if math.isfinite(each)}

    def has_objectives(self, values: Mapping[str, float]) -> bool:
        """Whether there is a value of each objective."""
        return all(each.name in values for each in self.objectives)

    def by_objective(self, facts: TrialFacts, metrics: Array, costs: Array) -> dict[str, float]:
        """A trial's value of each objective, where it has ``metrics`` [K] and ``costs`` [3] of objectives.GROWING."""
        by_name = {
            **dict(zip(self.names, metrics, strict=True)),
            **dict(zip(GROWING, costs, strict=True)),
            PREDICTION_PRICE: facts.prediction_usd,
        }
        return {each.name: float(by_name[each.name]) for each in self.objectives}

    def keeps_limits(self, metrics: Array) -> bool:
        """Whether ``metrics`` [K] keep the limits on them."""
        return self.limits.keeps(dict(zip(self.names, metrics, strict=True)))
