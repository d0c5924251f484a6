"""A study's checkpoints on hardware that nobody has rented yet: time and price with 90 % ranges, never as points.

Only the seconds of training steps are predicted (prediction.step_times); start-up, evaluation, saving and waiting for
data stay as measured, which makes a likely time on a faster device rather too long than too short: the low end of a
range has all but the start-up scaled like the steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import PredictionError
from tracker.frontier.pareto import frontier_mask
from tracker.prediction.speed import PAIRS, measured_share
from tracker.prediction.step_times import CUDA_START_SECONDS, predict_on
from tracker.pricing.cost import RateColumns, UsageColumns, price_parts
from tracker.records import STEADY_USAGE, PriceBasis
from tracker.report.measured_steps import RunSteps, run_steps
from tracker.report.plain import plain_rows
from tracker.report.prediction_pull import Pull, pulls
from tracker.report.prediction_targets import Target, targets_of
from tracker.report.remembered import remembered
from tracker.report.tables import study_head, trial_checkpoints
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

Floats = NDArray[np.float64]
RANGE = 0.90
"""How often the truth is to be within a predicted range."""
NAMED = ("trial", "epoch", "quality")
COLUMNS = (
    *NAMED,
    *("measured_on", "measured_seconds", "measured_usd", "utilisation", "bandwidth_use"),
    *("on", "sku", "market", "region", "usd_per_hour"),
    *("wall_seconds", "wall_seconds_low", "wall_seconds_high"),
    *("price_usd", "price_usd_low", "price_usd_high", "price_basis", "rests_on", "measured_there", "phased", "refused"),
)


@dataclass(frozen=True)
class _Steps:
    """n checkpoints to predict for: what their runs say of training steps, and the usage that prices depend on."""

    wall_seconds: Floats
    cores: Floats
    usage: Mapping[str, Floats]
    runs: RunSteps


def predictions_table(
    table: StudyTable, targets: Sequence[Target], points: pd.DataFrame, learnt: Sequence[Pull] | None = None
) -> pd.DataFrame:
    """Time and price of checkpoints on each target: a row for each of ``points`` × ``targets``, in COLUMNS.

    ``points`` are rows of ``trial_checkpoints``. Prices and times are in USD and seconds with the low and high end of
    their 90 % range; those that are refused are NaN, and ``refused`` says why. ``rests_on`` is what a prediction rests
    on; ``measured_there`` how many trainings of the study that ran there pulled it. ``phased`` is whether the run
    logged what its time was spent on: where it did not, all of it is taken for training steps, and the high end is no
    lower than what was measured. ``price_basis`` is always PriceBasis.PREDICTED. ``learnt`` are the targets' ``pulls``,
    for a caller that has them.
    """
    steps, learnt = _steps(table, points), pulls(table, targets) if learnt is None else learnt
    found = [_on(table, steps, target, pull) for target, pull in zip(targets, learnt, strict=True)]
    if not found:
        return pd.DataFrame(columns=list(COLUMNS))
    same = {
        **{name: points[name].to_numpy() for name in NAMED},
        "measured_on": np.array(steps.runs.names, dtype=object),
        "measured_seconds": steps.wall_seconds,
        "measured_usd": points["price_usd"].to_numpy(dtype=np.float64),
        "utilisation": steps.runs.utilisation(),
        "bandwidth_use": steps.runs.bandwidth_use(),
        "phased": steps.runs.phased,
    }
    each: dict[str, list[Any]] = {
        "on": [target.name for target in targets],
        "sku": [target.point.sku for target in targets],
        "market": [str(target.point.market) for target in targets],
        "region": [target.point.region for target in targets],
        "usd_per_hour": [target.point.usd_per_hour for target in targets],
        "price_basis": [str(PriceBasis.PREDICTED)] * len(targets),
        "measured_there": [pull.trainings for pull in learnt],
    }
    columns: dict[str, NDArray[Any]] = {name: np.tile(values, len(targets)) for name, values in same.items()}
    columns |= {name: np.repeat(_array(values), len(points)) for name, values in each.items()}
    columns |= {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    # Texts stay objects: to make arrow strings of so many repeated ones takes longer than to predict.
    series = {name: pd.Series(columns[name], dtype=columns[name].dtype) for name in COLUMNS}
    return pd.DataFrame(series, copy=False)  # they are arrays of its own: to gather them into blocks copies each


def _array(values: Sequence[Any]) -> NDArray[Any]:
    return np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values)


def _steps(table: StudyTable, points: pd.DataFrame) -> _Steps:
    rows, at = (points[name].to_numpy(dtype=np.int64) for name in ("run", "at"))
    return _Steps(
        points["wall_seconds"].to_numpy(dtype=np.float64),
        table.runs["cores"].to_numpy(dtype=np.float64)[rows],
        {name: table.usage(name)[at] for name in STEADY_USAGE},
        run_steps(table, rows),
    )


def _on(table: StudyTable, steps: _Steps, target: Target, pull: Pull) -> dict[str, NDArray[Any]]:
    """The columns that differ by target and checkpoint: [n] each."""
    refused, basis, times = _times(steps, target, pull)
    if target.accelerator is not None:
        name = target.accelerator.name
        refused[(refused == "") & steps.runs.ran_on(target.accelerator)] = (
            f"it ran on {name} itself: what it costs there is no prediction (--sku prices it as another SKU)"
        )
    elif target.point.vcpu is not None:
        small = (refused == "") & (steps.cores > target.point.vcpu)
        refused[small] = f"it ran on more cores than the {target.point.vcpu:g} of {target.name}"
    accelerators, usage = 0.0 if target.accelerator is None else 1.0, steps.usage
    # A run on a GPU needs no more cores than its machine has: those that it trained on elsewhere are free there.
    cores = steps.cores if target.accelerator is None else np.fmin(steps.cores, target.point.vcpu or np.nan)
    columns: dict[str, NDArray[Any]] = {"rests_on": basis, "refused": refused}
    for end, seconds in times.items():
        wall = np.where(refused == "", seconds, np.nan)
        used = UsageColumns(wall_seconds=wall, cores=cores, accelerators=accelerators, **usage)
        price = price_parts(used, RateColumns.of(target.point), table.terms).usd
        columns |= {f"wall_seconds{end}": wall, f"price_usd{end}": np.where(refused == "", price, np.nan)}
    return columns


def _times(
    steps: _Steps, target: Target, pull: Pull
) -> tuple[NDArray[np.object_], NDArray[np.object_], dict[str, Floats]]:
    """Why there is no prediction, what each rests on, and the wall times: likely, low and high, by their endings.

    Each is [n], as the checkpoints are: of a run's time after its start-up until a checkpoint, the steps had the same
    share as of the whole.
    """
    wall = steps.wall_seconds
    startup = np.minimum(steps.usage["startup_seconds"], wall)
    training = (wall - startup) * steps.runs.share
    others = wall - startup - training
    pulled = pull.applied(predict_on(target.accelerator, steps.runs.measured))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [each / steps.runs.measured.step_seconds for each in (pulled.seconds, pulled.low, pulled.high)]
    likely, low, high = (startup + others + training * ratio for ratio in ratios)
    low = np.fmin(low, startup + (others + training) * ratios[1])
    high = np.where(steps.runs.phased, high, np.fmax(high, wall))
    if target.accelerator is not None:
        least, more, most = (steps.runs.on_processor * each for each in CUDA_START_SECONDS)
        likely, low, high = likely + more, low + least, high + most
    return pulled.refused.copy(), pulled.basis, {"": likely, "_low": low, "_high": high}


def frontier_predictions(
    table: StudyTable,
    targets: Sequence[Target],
    trial: int | None = None,
    learnt: Sequence[Pull] | None = None,
) -> pd.DataFrame:
    """``predictions_table`` of the study's frontier, or of one trial's last checkpoint, by trial, epoch and price.

    Raises PredictionError where the trial has no checkpoint, naming those that have.
    """
    points = trial_checkpoints(table)
    if trial is not None and not (points["trial"] == trial).any():
        known = ", ".join(map(str, sorted(set(points["trial"]))[:20])) or "none"
        raise PredictionError(f"trial {trial} of study '{table.study}' has no checkpoint; trials with one: {known}")
    chosen = points[points["on_frontier"]] if trial is None else points[(points["trial"] == trial) & points["last"]]
    found = predictions_table(table, targets, chosen.sort_values("price_usd"), learnt)
    order = found["measured_usd"].to_numpy(), found["price_usd"].to_numpy()
    return found.iloc[np.lexsort((order[1], order[0]))].reset_index(drop=True)


@remembered
def wanted_predictions(table: StudyTable) -> tuple[list[Target], pd.DataFrame]:
    """Those of the frontier for ``table.hardware``; none where it names nothing, or the table has no home."""
    if not table.hardware or table.home is None:
        return [], pd.DataFrame(columns=list(COLUMNS))
    targets = targets_of(table, Home(table.home), table.hardware)
    return targets, frontier_predictions(table, targets)


def predicted_frontier(table: StudyTable, predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``predictions`` that no other beats in quality and likely price, by rising price."""
    known = predictions[predictions["refused"] == ""]
    usable = known[known["price_usd"] > 0]
    kept = frontier_mask(usable["quality"], usable["price_usd"], table.quality.direction)
    return usable[kept].sort_values("price_usd").reset_index(drop=True)


def surely_cheaper(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Of the predictions for one checkpoint: which targets each is cheaper than, as far as ranges do not overlap."""
    known = rows[rows["refused"] == ""]
    return {
        str(row["on"]): [str(name) for name in known.loc[known["price_usd_low"] > row["price_usd_high"], "on"]]
        for row in known.to_dict("records")
    }


def predictions_document(
    table: StudyTable, predictions: pd.DataFrame, targets: Sequence[Target], learnt: Sequence[Pull]
) -> dict[str, Any]:
    """All of it as one JSON-safe document: predictions, the frontier that they make, and what measuring would bring.

    ``learnt`` are the targets' ``pulls``, whose residuals are in it.
    """
    points = [
        {**row, "cheaper_than": names.get(row["on"], [])}
        for _, rows in predictions.groupby(["trial", "epoch"], sort=False)
        for names in [surely_cheaper(rows)]
        for row in plain_rows(rows)
    ]
    return {
        **study_head(table),
        "price_basis": str(PriceBasis.PREDICTED),
        "range": RANGE,
        "predictions": points,
        "frontier": plain_rows(predicted_frontier(table, predictions)),
        "trials_there": [
            {"on": target.name, "price_usd": usd, "narrows_to": factor}
            for target, (usd, factor) in zip(targets, trial_there(predictions, targets), strict=True)
        ],
        "residuals": [row for pull in learnt for row in pull.residuals],
    }


def trial_there(predictions: pd.DataFrame, targets: Sequence[Target]) -> list[tuple[float | None, float | None]]:
    """What measuring the cheapest of the predicted checkpoints on each target would cost, and the factor that is left.

    None where nothing is predicted there; no factor where another trial would leave the range as wide as it is.
    """
    found: list[tuple[float | None, float | None]] = []
    for target in targets:
        rows = predictions[(predictions["on"] == target.name) & (predictions["refused"] == "")]
        if rows.empty:
            found.append((None, None))
            continue
        cheapest = rows.sort_values("price_usd").to_dict("records")[0]
        there = int(cheapest["measured_there"])
        now = (cheapest["wall_seconds_high"] / cheapest["wall_seconds_low"]) ** 0.5
        left = measured_share(there + 1) / measured_share(there)
        narrower = cheapest["rests_on"] in PAIRS and left < 1
        found.append((float(cheapest["price_usd"]), float(now**left) if narrower else None))
    return found
