"""Whether more money would help: what the search expects of the next dollars, and how far that came true before."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracker.frontier.pareto import hypervolume_growth
from tracker.records import Direction
from tracker.report.axes import y_words
from tracker.report.forecasts import LIKELY, Record, forecasts, open_forecasts, quality_record
from tracker.report.plain import plain, plain_rows
from tracker.report.progress import ReferencePoint, points_of, reference_point, trial_payments
from tracker.report.remembered import remembered
from tracker.report.words import NOTHING, figure, money, percent, several
from tracker.search.memory import sound_memory
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

SHARE = 0.1
"""The next dollars are this share of what the trials have cost so far."""
FEWEST = 5
"""Forecasts of the frontier's growth that must have come due before later ones are corrected by them."""
FILE_NAME = "search.json"
"""runner.searchers.MEMORY_FILE: importing that takes Optuna, and half a second."""
_LEAST_DECADES = 0.1
"""Of price, between the cheapest point and the corner: a gain in quality counts over at least so many."""
OPEN_COLUMNS = ["trial", "at_epoch", "expected", "likely_from", "likely_to", "price_then_usd"]


@dataclass(frozen=True, slots=True)
class Growth:
    """What the next ``next_usd`` dollars are expected to add to the frontier's hypervolume, as shares of it.

    ``forecast`` is the search's own figure: the gain per dollar of the best step that it knew and has not taken.
    ``due`` such forecasts came due in the study; the growth that followed was ``came`` times the forecast (the median),
    in nine of ten between ``came_low`` and ``came_high``; NaN where none is due. ``expected`` is the forecast times
    ``came``, NaN of fewer than FEWEST. ``quality`` is the gain in quality, at every price of the frontier, that would
    make as much growth.
    """

    next_usd: float
    forecast: float
    due: int
    came: float
    came_low: float
    came_high: float
    expected: float
    quality: float


@dataclass(frozen=True, eq=False)
class MoneyOutlook:
    """``growth`` of the frontier, None with a reason ``why_not``; the ``record`` of forecasts of quality, and the
    ``open`` ones (report.forecasts.open_forecasts).
    """

    growth: Growth | None
    why_not: str
    record: Record
    open: pd.DataFrame


@remembered
def money_outlook(table: StudyTable) -> MoneyOutlook:
    """What the search's recorded forecasts say of more money for the study."""
    growth, why_not = _growth(table)
    return MoneyOutlook(growth, why_not, quality_record(table), open_forecasts(table))


def _growth(table: StudyTable) -> tuple[Growth | None, str]:
    made = forecasts(table)
    if table.scenario is not None:
        return None, "the search's forecasts are for each dollar at the billed prices; ask without a scenario"
    chosen = made[np.isfinite(made["next_gain_per_usd"].to_numpy()) & (made["hypervolume"].to_numpy() > 0)]
    if chosen.empty:
        return None, "no forecast of the frontier's growth was recorded for this study"
    corner = _corner(table)
    if corner is None:
        return None, "the search had other objectives than quality and price"
    paid = trial_payments(table)
    spent, ended = paid["paid_usd"].to_numpy(dtype=np.float64).cumsum(), paid["ended"].to_numpy(dtype=np.float64)
    next_usd = SHARE * float(spent[-1])
    points = points_of(table, paid)
    volumes = hypervolume_growth(
        points.quality, points.price_usd, table.quality.direction, corner.quality, corner.price_usd
    )
    rates = chosen["gain_per_usd"].to_numpy() / chosen["hypervolume"].to_numpy()
    before = np.searchsorted(ended, chosen["time"].to_numpy(), side="right") - 1
    after = np.searchsorted(spent, spent[before] + next_usd * (1 - 1e-9), side="left")
    due = (before >= 0) & (after < len(spent)) & (rates > 0) & (volumes[before] > 0)
    ratios = (volumes[after[due]] / volumes[before[due]] - 1) / (rates[due] * next_usd)
    last = chosen.iloc[-1]
    decades = max(math.log10(corner.price_usd / float(np.nanmin(points.price_usd))), _LEAST_DECADES)
    forecast = float(last["next_gain_per_usd"] / last["hypervolume"]) * next_usd
    came, low, high = np.quantile(ratios, (0.5, (1 - LIKELY) / 2, (1 + LIKELY) / 2)) if len(ratios) else [math.nan] * 3
    expected = forecast * float(came) if len(ratios) >= FEWEST else math.nan
    quality = (expected if math.isfinite(expected) else forecast) * float(volumes[-1]) / decades
    return Growth(next_usd, forecast, len(ratios), float(came), float(low), float(high), expected, quality), ""


def _corner(table: StudyTable) -> ReferencePoint | None:
    """The reference point of the search, or report.progress.reference_point where it is not kept here.

    None where it is one of other objectives.
    """
    saved: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError):
        text = (Home(table.home).study(table.study) / FILE_NAME).read_text(encoding="utf-8") if table.home else "{}"
        saved = sound_memory(json.loads(text)).get("reference", {})
    if not saved:
        return reference_point(table)
    if set(saved) != {table.quality.name, "price_usd"} or saved["price_usd"] <= 0:
        return None
    return ReferencePoint(saved[table.quality.name], saved["price_usd"])


def outlook_sentences(outlook: MoneyOutlook, table: StudyTable) -> list[str]:
    """The outlook in words: the growth that is expected, and the record of forecasts of quality."""
    sentences = [f"Whether more money would help is not known: {outlook.why_not}."]
    if (growth := outlook.growth) is not None:
        sentences = growth_sentences(growth, table)
    if record := record_sentence(outlook.record):
        sentences.append(record)
    return sentences


def growth_sentences(growth: Growth, table: StudyTable) -> list[str]:
    """What the next dollars are expected to bring, in words, and how far that came true before."""
    amount, metric = money(growth.next_usd, table.unit), table.quality.name
    sentences = [
        f"More money: the search expects the next {amount}, a tenth of what the trials have cost, to grow the"
        f" frontier's hypervolume by at most {_share(growth.forecast)}, as if each dollar bought as much as the first."
    ]
    if not growth.due:
        return [*sentences, "No such forecast has come due in this study, so nothing says how far it can be trusted."]
    times = f"{figure(growth.came)} times that (in nine of ten {figure(growth.came_low)} to {figure(growth.came_high)})"
    counted = f"of {several(growth.due, 'such forecast')} that came due, the median of what followed was {times}"
    if math.isnan(growth.expected):
        return [*sentences, f"Its record: {counted}; too few to correct it by."]
    gain = f"{growth.quality:.2g} of {metric}" if growth.quality else f"no {metric}"
    return [
        *sentences,
        f"Its record: {counted}. So {_share(growth.expected)} is likely, as much as {gain} more at every price.",
    ]


def record_sentence(record: Record) -> str:
    """How far forecasts of quality came true; "" where none has come due."""
    if not record.due:
        return ""
    return (
        f"Forecasts of single trials: {record.inside} of {record.due} lay within the range for nine of ten"
        f" ({percent(record.inside / record.due)}); the median was off by {record.median_error:+.2g}."
    )


def curve_sentences(outlook: MoneyOutlook, table: StudyTable, target: float) -> list[str]:
    """What the curves suggest of a quality that nothing has reached: the best of the open forecasts, and its range.

    Its price is as billed, under a scenario too: what a forecast was of is not priced again.
    """
    sign = 1.0 if table.quality.direction is Direction.MAXIMIZE else -1.0
    ahead, metric = outlook.open, table.quality.name
    if ahead.empty:
        return ["What the curves suggest: the search has no open forecast of a trial that could be trained further."]
    best = ahead.iloc[0]
    likely = f"{y_words(best['likely_from'])} to {y_words(best['likely_to'])}"
    reach = ahead["likely_to" if sign > 0 else "likely_from"].to_numpy()
    within = int((sign * (reach - target) >= 0).sum())
    billed = "" if table.scenario is None else " at the billed prices"
    includes = "no range reaches" if not within else f"{within} of {len(ahead)} ranges reach"
    return [
        f"What the curves suggest: of {several(len(ahead), 'trial')} that could be trained further, the best forecast"
        f" is #{best['trial']:.0f} after epoch {best['at_epoch']:.0f}: {metric} {y_words(best['expected'])} (nine of"
        f" ten: {likely}) for {money(best['price_then_usd'], table.unit)} in all{billed}; {includes} {y_words(target)}."
    ]


def _share(value: float) -> str:
    return NOTHING if not math.isfinite(value) else f"{100 * value:.2g} %"


def outlook_document(outlook: MoneyOutlook) -> dict[str, Any]:
    """The outlook as JSON-safe values: growth (null with why_not), record, open_forecasts."""
    return {
        "growth": None if outlook.growth is None else plain(asdict(outlook.growth)),
        "why_not": outlook.why_not,
        "record": plain(asdict(outlook.record)),
        "open_forecasts": plain_rows(outlook.open[OPEN_COLUMNS]),
    }
