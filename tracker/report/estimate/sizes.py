"""What one whole training costs, by its size: a row a size, or a few settings over the space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.records import SettingValue
from tracker.report.estimate.billing import Pool
from tracker.report.estimate.outlay import Doubt, Spread
from tracker.study.space import SearchSpace

SIZE = "size"
"""The knob that workloads call their dial by."""
MOST_ROWS = 6
_FEW = ((0.0, "cheapest"), (0.5, "middle"), (1.0, "dearest"))


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What a whole training of ``settings`` costs and takes; ``settings`` are those that the rows differ in."""

    name: str
    settings: Mapping[str, SettingValue]
    usd: Spread
    seconds: Spread

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "price_usd": self.usd.document,
            "wall_seconds": self.seconds.document,
        }


def training_costs(pool: Pool, space: SearchSpace, doubt: Doubt) -> list[TrainingCost]:
    """A row for each size of the study, over its other settings; without sizes the cheapest, a middle, the dearest."""
    if SIZE in space.searched:
        return list(_by_size(pool, doubt))
    if len(pool.settings) == 1:
        return [_cost("each", {}, pool, np.array([0]), doubt)]
    order = np.argsort(pool.usd)
    rows = []
    for share, name in _FEW:
        at = int(order[round(share * (len(order) - 1))])
        settings = {knob: pool.settings[at][knob] for knob in space.searched if knob in pool.settings[at]}
        rows.append(_cost(name, settings, pool, np.array([at]), doubt))
    return rows


def _by_size(pool: Pool, doubt: Doubt) -> Iterator[TrainingCost]:
    values = list(dict.fromkeys(each[SIZE] for each in pool.settings))
    if all(isinstance(value, int | float) for value in values):
        values = sorted(values)
    shown = dict.fromkeys(np.linspace(0, len(values) - 1, min(len(values), MOST_ROWS)).round().astype(int).tolist())
    for size in (values[at] for at in shown):
        rows = np.flatnonzero([each[SIZE] == size for each in pool.settings])
        yield _cost(f"{SIZE} {size}", {SIZE: size}, pool, rows, doubt)


def _cost(
    name: str, settings: Mapping[str, SettingValue], pool: Pool, rows: NDArray[np.int64], doubt: Doubt
) -> TrainingCost:
    random = np.random.default_rng(1)
    picked = rows[random.integers(len(rows), size=2000)]
    off = np.exp(np.hypot(doubt.each, doubt.level) * random.standard_normal(len(picked)))
    return TrainingCost(name, settings, Spread.of(pool.usd[picked] * off), Spread.of(pool.usage.seconds[picked] * off))
