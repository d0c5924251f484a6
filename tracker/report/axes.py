"""The axes of the frontier chart: x is a cost, where less is better; y is any metric that checkpoints have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import RequestError, did_you_mean
from tracker.pricing.energy import JOULES_PER_KWH
from tracker.records import Direction, EnergySource
from tracker.report.metric_names import likely_direction
from tracker.report.words import duration, figure, money, quality
from tracker.store.run_table import StudyTable
from tracker.store.study_frames import carbon_grams

Floats = NDArray[np.float64]

COSTS: Mapping[str, str] = {
    "price_usd": "price",
    "wall_seconds": "wall time",
    "energy_joules": "energy",
    "co2_grams": "CO2",
    "prediction_usd": "price of predictions",
    "total_usd": "price including predictions",
}
"""The choices of x, each with its name in words."""
PREDICTED = ("prediction_usd", "total_usd")
"""The costs that depend on the number of predictions."""
MONEY = ("price_usd", "prediction_usd", "total_usd")
_TIMES = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
_ENERGIES = (("kWh", JOULES_PER_KWH), ("Wh", JOULES_PER_KWH / 1e3), ("mWh", JOULES_PER_KWH / 1e6))
_MASSES = (("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6))


@dataclass(frozen=True, slots=True)
class Axes:
    """The two axes: ``x`` is a name of COSTS, ``y`` a metric ("" for the study's quality), each linear or log.

    ``turned`` reverses which way y is better; ``predictions`` is the number for the costs that depend on it.
    """

    x: str = "price_usd"
    y: str = ""
    x_log: bool = True
    y_log: bool = False
    turned: bool = False
    predictions: float = 1_000_000

    def is_of_study(self, table: StudyTable) -> bool:
        """Whether they are price and quality, the axes of the study's own frontier."""
        return self.x == "price_usd" and self.y in ("", table.quality.name) and not self.turned


@dataclass(frozen=True, slots=True)
class Measure:
    """How figures on an axis are scaled and written: ``value / divisor`` in ``symbol``.

    ``title`` is the axis title, with the unit in words.
    """

    title: str
    symbol: str
    divisor: float
    words: Callable[[float], str]
    is_money: bool = False

    @property
    def name(self) -> str:
        """The title without its unit."""
        return self.title.rpartition(" in ")[0]

    def of(self, values: Floats) -> Floats:
        """``values`` [n] in the axis's unit."""
        return np.asarray(values, dtype=np.float64) / self.divisor


def checked(table: StudyTable, axes: Axes) -> Axes:
    """Return ``axes`` if the study has this cost and this metric. Raises RequestError."""
    if axes.x not in COSTS:
        raise RequestError(f"x: there is no cost '{axes.x}'; {did_you_mean(axes.x, COSTS)}")
    if axes.y and axes.y not in y_choices(table):
        raise RequestError(f"y: no checkpoint has a metric '{axes.y}'; {did_you_mean(axes.y, y_choices(table))}")
    if not (math.isfinite(axes.predictions) and axes.predictions >= 1):
        raise RequestError(f"predictions: {axes.predictions} is not a finite number of at least 1")
    return replace(axes, y="") if axes.y == table.quality.name else axes


def x_choices(table: StudyTable) -> dict[str, str]:
    """The costs that a study has figures for, each with its name in words; always price and wall time."""
    choices = dict(COSTS)
    joules = table.runs["energy_joules"].to_numpy(dtype=np.float64)
    if not np.isfinite(joules).any():
        del choices["energy_joules"]
    if not np.isfinite(_grams_per_joule(table)[np.isfinite(joules)]).any():
        del choices["co2_grams"]
    if not np.isfinite(prediction_usd(table)).any():
        del choices["prediction_usd"], choices["total_usd"]
    return choices


def y_choices(table: StudyTable) -> list[str]:
    """The metrics that checkpoints have, the study's quality first, without costs."""
    own = table.quality.name
    return [own, *sorted(name for name in table.metrics.names if name != own and name not in COSTS)]


def y_direction(table: StudyTable, metric: str) -> Direction:
    """Which way a metric is better: from the study for its quality, from the bound for a limit, else from its name."""
    if metric == table.quality.name:
        return table.quality.direction
    for limit in table.limits:
        if limit.metric == metric and (limit.low is None) != (limit.high is None):
            return Direction.MINIMIZE if limit.low is None else Direction.MAXIMIZE
    return likely_direction(metric)


def y_words(value: float) -> str:
    """A figure of y for people.

    >>> y_words(0.742149), y_words(1_234_567.0)
    ('0.7421', '1,235,000')
    """
    if abs(value) >= 1e4:
        return f"{float(f'{value:.4g}'):,.0f}"
    return figure(value) if 0 < abs(value) < 1e-3 else quality(value)


def costs(table: StudyTable, axes: Axes, points: pd.DataFrame) -> Floats:
    """What ``points`` [n] (rows with at, run, price_usd, wall_seconds) cost on x: USD, seconds, joules or grams.

    NaN where it is unknown. CO2 is computed from each run's electricity and its grid (store.study_frames.carbon_grams);
    a prediction costs its share of the run's machine (report.build_or_buy.own_prediction_usd).
    """
    if axes.x in ("price_usd", "wall_seconds"):
        return points[axes.x].to_numpy(dtype=np.float64)
    runs = points["run"].to_numpy()
    if axes.x in ("energy_joules", "co2_grams"):
        if "energy_joules" not in table.metrics.names:
            return np.full(len(points), np.nan)
        joules: Floats = table.metrics["energy_joules"][points["at"].to_numpy()]
        return joules if axes.x == "energy_joules" else joules * _grams_per_joule(table)[runs]
    predictions: Floats = prediction_usd(table)[runs] * axes.predictions
    return predictions if axes.x == "prediction_usd" else predictions + points["price_usd"].to_numpy(dtype=np.float64)


def prediction_usd(table: StudyTable) -> Floats:
    """The price of one more prediction in USD, [runs]; NaN where a run's speed is unknown.

    The machine's price per second (compute and maintenance) over its predictions per second.
    """
    if "predictions_per_second" not in table.summary:
        return np.full(len(table.runs), np.nan)
    speed = table.summary["predictions_per_second"].to_numpy(dtype=np.float64)
    seconds = table.runs["wall_seconds"].to_numpy(dtype=np.float64)
    machine = (table.runs["compute_usd"] + table.runs["maintenance_usd"]).to_numpy(dtype=np.float64)
    known = np.isfinite(speed) & (speed > 0) & (seconds > 0)
    price: Floats = np.divide(machine, seconds * speed, out=np.full(len(speed), np.nan), where=known)
    return price


def x_measure(table: StudyTable, axes: Axes, x: Floats) -> Measure:
    """How the costs ``x`` [n] are written: in the study's money unit, or in the largest suitable unit."""
    name = COSTS[axes.x]
    if axes.x in PREDICTED:
        counted = f"{axes.predictions:,.0f} prediction{'' if axes.predictions == 1 else 's'}"
        name = f"price of {counted}" if axes.x == "prediction_usd" else f"price including {counted}"
    if axes.x in MONEY:
        unit = table.unit
        return Measure(
            f"{name} in {unit.name}", unit.symbol.strip(), 1 / float(unit.of(1.0)), partial(money, unit=unit), True
        )
    least = float(x.min()) if len(x) else math.nan
    if axes.x == "wall_seconds":
        symbol, divisor = _unit(_TIMES, least, 1.0)
        return Measure(f"{name} in {symbol}", symbol, divisor, duration)
    symbol, divisor = _unit(_ENERGIES if axes.x == "energy_joules" else _MASSES, least, 0.01)
    source = _energy_source(table)
    return Measure(f"{name} in {symbol}{source}", symbol, divisor, lambda value: f"{figure(value / divisor)} {symbol}")


def _unit(units: tuple[tuple[str, float], ...], least: float, smallest: float) -> tuple[str, float]:
    """The largest of ``units`` in which ``least`` is at least ``smallest``; the last one where there is none."""
    return next((unit for unit in units if least >= smallest * unit[1]), units[-1])


def _energy_source(table: StudyTable) -> str:
    """The sources of trials' energy figures, for labels: mixed sources are always stated."""
    found = set(table.runs.loc[table.runs["role"] == "trial", "energy_source"]) - {EnergySource.UNAVAILABLE}
    return f" ({' and '.join(sorted(map(str, found)))})" if found else ""


def _grams_per_joule(table: StudyTable) -> Floats:
    """Grams of CO2-equivalent per joule, [runs]; NaN where the grid is unknown."""
    (sku_codes, skus), (region_codes, regions) = (pd.factorize(table.runs[name]) for name in ("sku", "region"))
    grams = [[carbon_grams(1 / JOULES_PER_KWH, sku, region, table.country) for region in regions] for sku in skus]
    rates: Floats = np.asarray(grams, dtype=np.float64).reshape(len(skus), len(regions))
    return rates[sku_codes, region_codes]
