"""A study's columns as a store holds them, made into the tables that its readers start from."""

from __future__ import annotations

import json
import math
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tracker.pricing.cost import RateColumns, UsageColumns, price_parts
from tracker.pricing.energy import JOULES_PER_KWH, co2_grams, country_of
from tracker.pricing.price_point import PricePoint, price_point_from_row
from tracker.records import STEADY_USAGE, CostPart, PriceBasis, QualityMetric, TrialState
from tracker.store.attempts import PARTS_USD
from tracker.store.column_cache import CachedStudy
from tracker.store.names import TAG_PREFIX, logged_name
from tracker.store.setting_texts import setting_value
from tracker.study.costs import CostTerms

_NOT_SUMMARY = (
    *("price_usd", "wall_seconds", "energy_joules", "billed_seconds", "machine_share", *PARTS_USD),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
)
_SAMPLED_RUNS = 8
"""How many runs are looked at to see which metrics checkpoints have."""

Floats = NDArray[np.float64]
Texts = NDArray[np.object_]


class RunFrames:
    """The tables of a study's runs, one row a run in the order that they were started."""

    def __init__(self, study: CachedStudy) -> None:
        self._index = study.index
        self._details = study.details()
        self._own = self._own_names()

    @property
    def metrics(self) -> list[str]:
        """The names, as they are logged, of all metrics that any run has."""
        return [name.removeprefix("last:") for name in self._details.column_names if name.startswith("last:")]

    def own_name(self, logged: str) -> str:
        """The name that a metric or a setting was reported under."""
        return self._own.get(logged, logged)

    def runs(self, quality: Floats, country: str, terms: CostTerms) -> pd.DataFrame:
        """``StudyTable.runs``; ``quality`` is that of each run's last checkpoint."""
        text, last = self._text, self._last
        repeats, trial = text("tracker.repeats"), text("tracker.trial")
        kwh = last("energy_joules") / JOULES_PER_KWH
        sku, region = text("tracker.sku"), text("tracker.region")
        return pd.DataFrame(
            {
                "run_id": self._index.run_ids,
                "role": self._column("tracker.role"),
                "trial": _numbers(np.where(repeats != "", repeats, trial), -1),
                "label": _first(text("mlflow.runName"), self._index.run_ids),
                "state": self._column("tracker.state", "running"),
                "reason": self._column("tracker.reason"),
                "message": self._column("tracker.message"),
                "attempts": _numbers(text("tracker.attempts", "1"), 1),
                "quality": quality,
                "price_usd": last("price_usd", 0.0),
                "wall_seconds": last("wall_seconds", 0.0),
                "sku": self._column("tracker.sku"),
                "market": self._column("tracker.market"),
                "usd_per_hour": pd.to_numeric(pd.Series(text("tracker.usd_per_hour", "nan")), errors="coerce"),
                "price_source": self._column("tracker.price_source"),
                "price_date": self._column("tracker.price_date"),
                "hardware": self._column("tracker.hardware"),
                "energy_source": self._column("tracker.energy_source", "unavailable"),
                "busy": text("tracker.busy") == "true",
                "started_at": self._index.started_at_ms / 1000,
                "user": self._column("mlflow.user"),
                "region": self._column("tracker.region"),
                "price_basis": self._column("tracker.price_basis", PriceBasis.BILLED),
                **self._parts_usd(terms),
                "billed_seconds": last("billed_seconds"),
                "machine_share": last("machine_share"),
                "cores": _numbers(text("tracker.cores", "0"), 0),
                "accelerators": _numbers(text("tracker.accelerators", "0"), 0),
                **{name: last(name, 0.0) for name in STEADY_USAGE},
                "energy_joules": last("energy_joules"),
                "energy_kwh": kwh,
                "co2_grams": kwh * _grams_per_kwh(sku, region, country),
                "price_point": self._column("tracker.price_point"),
                "places": self._column("tracker.places"),
            }
        )

    def settings(self) -> pd.DataFrame:
        """``StudyTable.settings``."""
        columns = {}
        for name in self._details.column_names:
            if name.startswith("param:"):
                codes, texts = self._coded(name)
                values = np.array([*map(setting_value, texts), None], dtype=object)
                columns[self.own_name(name.removeprefix("param:"))] = values[codes]
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self._index.run_ids)), dtype=object)

    def summary(self) -> pd.DataFrame:
        """``StudyTable.summary``."""
        columns = {
            self.own_name(name): self._last(name) for name in self.metrics if self.own_name(name) not in _NOT_SUMMARY
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self._index.run_ids)), dtype=np.float64)

    def _own_names(self) -> dict[str, str]:
        """The own names of metrics and settings that are logged under another: runs of a study have the same ones."""
        prefix = f"tag:{TAG_PREFIX}"
        names = [name for name in self._details.column_names if name.startswith(prefix)]
        return {name.removeprefix(prefix): next(iter(self._coded(name)[1]), "") for name in names}

    def _coded(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """The distinct texts of a column, and for each run which it has: -1 where none."""
        chunked = self._details.column(column)
        array = chunked.combine_chunks() if isinstance(chunked, pa.ChunkedArray) else chunked
        indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return indices, array.dictionary.to_pylist()

    def _text(self, tag: str, default: str = "") -> Texts:
        if f"tag:{tag}" not in self._details.column_names:
            return np.full(len(self._index.run_ids), default, dtype=object)
        codes, texts = self._coded(f"tag:{tag}")
        return np.array([*texts, default], dtype=object)[codes]

    def _column(self, tag: str, default: str = "") -> pd.api.extensions.ExtensionArray:
        """A tag as a column of a table, without a Python text for each run."""
        if f"tag:{tag}" not in self._details.column_names:
            return pd.array([default] * len(self._index.run_ids), dtype="str")
        coded = self._details.column(f"tag:{tag}").combine_chunks()
        column: pd.api.extensions.ExtensionArray = pd.array(coded.dictionary_decode().fill_null(default), dtype="str")
        return column

    def _last(self, metric: str, default: float = math.nan) -> Floats:
        if f"last:{metric}" not in self._details.column_names:
            return np.full(len(self._index.run_ids), default)
        values: Floats = self._details.column(f"last:{metric}").to_numpy()
        return values if math.isnan(default) else np.where(np.isnan(values), default, values)

    def _parts_usd(self, terms: CostTerms) -> dict[str, Floats]:
        """The parts of each price: as they were logged, or as long as a run runs, worked out from what it has used.

        What an attempt under way has cost since an earlier one ended counts as compute: its parts are not known yet.
        """
        parts = {part: self._last(part) for part in PARTS_USD}
        logged = ~np.isnan(parts["compute_usd"])
        points = self._text("tracker.price_point")
        # A run that was logged before prices had parts has its whole price in compute.
        parts["compute_usd"] = np.where(logged, parts["compute_usd"], self._last("price_usd", 0.0))
        parts = {part: np.where(np.isnan(values), 0.0, values) for part, values in parts.items()}
        for point in set(points[~logged]) - {""}:
            rows = np.flatnonzero(~logged & (points == point))
            usage = UsageColumns(
                wall_seconds=self._last("wall_seconds", 0.0)[rows],
                cores=_numbers(self._text("tracker.cores", "0"), 0)[rows].astype(np.float64),
                accelerators=_numbers(self._text("tracker.accelerators", "0"), 0)[rows].astype(np.float64),
                **{name: self._last(name, 0.0)[rows] for name in STEADY_USAGE},
            )
            priced = price_parts(usage, RateColumns.of(_price_point(point)), terms)
            for part in CostPart:
                parts[f"{part}_usd"][rows] = getattr(priced, part)
        under_way = self._text("tracker.state", TrialState.RUNNING) == TrialState.RUNNING
        unknown = self._last("price_usd", 0.0) - np.sum(list(parts.values()), axis=0)
        parts["compute_usd"] += np.where(under_way, unknown, 0.0)
        return parts


class CheckpointFrames:
    """The checkpoints of a study's runs, by run and step: where a run has a value of its quality."""

    def __init__(self, study: CachedStudy, frames: RunFrames, quality: QualityMetric) -> None:
        self._study = study
        self._frames = frames
        self._quality = quality
        self._at = study.history(logged_name(quality.name))
        self._steps, ranks = np.unique(self._at.steps, return_inverse=True)
        self._keys = self._at.runs * max(len(self._steps), 1) + ranks

    def checkpoints(self, runs: pd.DataFrame) -> pd.DataFrame:
        """``StudyTable.checkpoints``."""
        at = self._at.runs
        return pd.DataFrame(
            {
                "run": at,
                **{name: _repeated(runs[name], at) for name in ("run_id", "role")},
                "trial": runs["trial"].to_numpy()[at],
                "label": _repeated(runs["label"], at),
                "epoch": self._at.steps,
                "quality": self._at.values,
                "price_usd": self.metric("price_usd"),
                "wall_seconds": self.metric("wall_seconds"),
                "timestamp": self._at.timestamps_ms / 1000,
            }
        )

    def last_quality(self) -> Floats:
        """The quality of each run's last checkpoint; NaN without one."""
        last = np.full(len(self._study.index.run_ids), np.nan)
        last[self._at.runs] = self._at.values  # by rising step: the last one stays
        return last

    def metric(self, name: str) -> Floats:
        """A metric at each checkpoint, NaN where it was not logged there."""
        if name == self._quality.name:
            return self._at.values
        found = self._study.history(logged_name(name))
        if np.array_equal(found.runs, self._at.runs) and np.array_equal(found.steps, self._at.steps):
            return found.values
        values = np.full(len(self._keys), np.nan)
        ranks = np.searchsorted(self._steps, found.steps)
        known = ranks < len(self._steps)
        known[known] = self._steps[ranks[known]] == found.steps[known]
        keys = found.runs[known] * max(len(self._steps), 1) + ranks[known]
        places = np.searchsorted(self._keys, keys)
        there = places < len(self._keys)
        there[there] = self._keys[places[there]] == keys[there]
        values[places[there]] = found.values[known][there]
        return values

    def names(self) -> list[str]:
        """The own names of the metrics that checkpoints have, by what a few runs have."""
        reached = np.unique(self._at.runs)
        if not len(reached):
            return [self._quality.name]
        chosen = reached[np.unique(np.linspace(0, len(reached) - 1, _SAMPLED_RUNS).astype(int))]
        beside = self._study.metrics_beside(logged_name(self._quality.name), chosen)
        others = [self._frames.own_name(logged) for logged in self._frames.metrics if logged in beside]
        return list(dict.fromkeys([self._quality.name, *others]))


def carbon_grams(kwh: float, sku: str, region: str, country: str) -> float:
    """Grams of CO2-equivalent of some electricity; NaN where it, or where it is from, is not known.

    It is from ``country``, or "" being unsaid from that of the SKU's region.
    """
    country = country or country_of(sku.partition("/")[0], region) or ""
    return co2_grams(kwh, country) if country and math.isfinite(kwh) else math.nan


def _repeated(texts: pd.Series[str], at: NDArray[np.int64]) -> pd.Categorical:
    """The texts of runs, one for each of their checkpoints, without a text for each."""
    codes, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(codes[at], categories=pd.Index(distinct))


def _numbers(texts: Texts, default: int) -> NDArray[np.int64]:
    codes, distinct = pd.factorize(texts)
    values = np.array([int(text) if str(text).isdigit() else default for text in distinct], dtype=np.int64)
    return values[codes] if len(values) else np.empty(0, dtype=np.int64)


def _first(texts: Texts, others: Texts) -> Texts:
    return np.where(texts != "", texts, others)


def _grams_per_kwh(skus: Texts, regions: Texts, country: str) -> Floats:
    pairs = list(zip(skus.tolist(), regions.tolist(), strict=True))
    grams = {pair: carbon_grams(1.0, *pair, country) for pair in set(pairs)}
    return np.array([grams[pair] for pair in pairs], dtype=np.float64)


@lru_cache(maxsize=1000)
def _price_point(text: str) -> PricePoint:
    return price_point_from_row(json.loads(text), "")
