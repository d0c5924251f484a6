"""The candidates of ``tracker advise --on``: a study's checkpoints at predicted times and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tracker.errors import PredictionError
from tracker.report.axis_points import AxisPoints
from tracker.report.prediction_targets import Target
from tracker.report.prediction_words import HEAD
from tracker.report.predictions import predictions_table, surely_cheaper
from tracker.report.tables import trial_checkpoints
from tracker.report.words import duration, money

RANGES = ("price_usd_low", "price_usd_high", "wall_seconds_low", "wall_seconds_high")
_OF_PREDICTION = ("on", "sku", "market", "measured_on", "price_basis", "rests_on", *RANGES)
MOST_REASONS = 3
PREDICTED = f"{HEAD[0].upper()}{HEAD[1:]}."


def predicted_candidates(found: AxisPoints, targets: Sequence[Target]) -> AxisPoints:
    """The candidates of ``found`` (on price and quality) on each target in place of where they were measured.

    Prices and times are the likely ones; ``points`` has the columns on, sku, market, measured_on, price_basis, rests_on
    and RANGES too. Raises PredictionError where nothing can be predicted, with the reasons, and for prices that include
    predictions.
    """
    if found.axes.x != "price_usd":
        raise PredictionError("--predictions with --on: the speed of predictions there is not known; choose one")
    points = found.points[found.points["kept"].to_numpy()].drop(columns=["x", "price_usd", "wall_seconds"])
    steps = trial_checkpoints(found.table)
    predicted = predictions_table(found.table, targets, steps[steps["at"].isin(points["at"]).to_numpy()])
    usable = predicted[((predicted["refused"] == "") & (predicted["price_usd"] > 0)).to_numpy()]
    if usable.empty:
        reasons = list(dict.fromkeys(predicted["refused"]))[:MOST_REASONS]
        names = ", ".join(target.name for target in targets)
        raise PredictionError(f"nothing can be predicted on {names}: {'; '.join(reasons)}")
    columns = ["trial", "epoch", "price_usd", "wall_seconds", *_OF_PREDICTION]
    rows = points.merge(usable[columns], on=["trial", "epoch"])
    return found.of(rows.assign(x=rows["price_usd"]))


def prediction_grounds(
    found: AxisPoints, row: Mapping[Any, Any], cost: float | None, seconds: float | None
) -> list[str]:
    """What a predicted answer rests on: its ranges, the bounds that these pass, and targets it is not surely below."""
    table = found.table
    usd = partial(money, unit=table.unit)
    price, time = (
        f"{words(row[f'{name}_low'])} to {words(row[f'{name}_high'])}"
        for name, words in (("price_usd", usd), ("wall_seconds", duration))
    )
    ranges = f"Its ranges there: {price}, {time}. Its quality is the one measured on {row['measured_on']}."
    lines = [PREDICTED, ranges]
    if cost is not None and row["price_usd_high"] > cost:
        lines.append(_passed(row["price_usd_low"] > cost, "cost", "more", usd(cost)))
    if seconds is not None and row["wall_seconds_high"] > seconds:
        lines.append(_passed(row["wall_seconds_low"] > seconds, "take", "longer", duration(seconds)))
    same = found.points[((found.points["run"] == row["run"]) & (found.points["epoch"] == row["epoch"])).to_numpy()]
    than = surely_cheaper(same.assign(refused=""))[str(row["on"])]
    unsure = [str(name) for name in same["on"] if name != row["on"] and name not in than]
    if unsure:
        lines.append(f"It is not surely cheaper there than on {', '.join(unsure)}: the ranges overlap.")
    return lines


def _passed(wholly: bool, verb: str, more: str, bound: str) -> str:
    """That a range passes a bound, ``wholly`` or by its high end."""
    if wholly:
        return f"It {verb}s {more} than {bound}: the whole range is above it."
    return f"It may {verb} {more} than {bound}: the range reaches above it."


def predicted_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What documents have of a predicted point beside its price and time; empty for a measured one."""
    return {name: row[name] for name in _OF_PREDICTION} if "on" in row else {}
