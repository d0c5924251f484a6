"""The cost of serving the frontier's models: measured on this machine, priced, and added to the training cost."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tracker.errors import RequestError
from tracker.frontier.pareto import frontier_mask
from tracker.pricing.cost import price_of
from tracker.pricing.price_point import PricePoint
from tracker.records import Usage
from tracker.report.plain import plain_rows
from tracker.report.tables import study_head
from tracker.store.run_table import StudyTable
from tracker.study.costs import CostTerms
from tracker.training.serving_cost import Serving

COLUMNS = [
    *("trial", "epoch", "quality", "training_usd", "weights", "p50_ms", "p99_ms", "predictions_per_second"),
    *("peak_memory_bytes", "model_bytes", "agreement", "usd_per_1000", "sku", "problem", "varied", "answer_quality"),
]
SAME_ANSWERS = 0.99
"""A weight format may replace fp32 where it gives the same answer to this share of the inputs."""


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """A frontier point (a row of ``frontier_table``) with its model's measurements."""

    row: dict[Any, Any]
    servings: Sequence[Serving]


def serving_table(points: Sequence[MeasuredPoint], point: PricePoint, terms: CostTerms, threads: int) -> pd.DataFrame:
    """One row for each frontier point and format of its weights.

    Columns: trial, epoch, quality (that of the checkpoint, in the precision it was trained in), training_usd, weights,
    p50_ms and p99_ms (of one prediction), predictions_per_second (in batches), peak_memory_bytes, model_bytes,
    agreement (the share of inputs that get the fp32 answer; NaN where nothing was measured), usd_per_1000 (predictions,
    compute and maintenance at the rate of ``point``, by a machine that is kept busy), sku, problem, varied (the key
    that inputs had in addition, "" for inputs as they are), answer_quality (the study's quality of these answers on the
    test split; NaN where its workload cannot say).
    """
    rows = []
    for measured in points:
        plain_answers = {each.varied: each.answers for each in measured.servings if each.weights == "fp32"}
        rows += [
            {
                **{name: measured.row[name] for name in ("trial", "epoch", "quality")},
                "training_usd": measured.row["price_usd"],
                **{name: value for name, value in asdict(serving).items() if name != "answers"},
                "agreement": _agreement(plain_answers.get(serving.varied, ()), serving.answers),
                "usd_per_1000": _usd_per_1000(serving, point, terms, threads),
                "sku": point.sku,
            }
            for serving in measured.servings
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def total_frontier(served: pd.DataFrame, predictions: float, table: StudyTable) -> pd.DataFrame:
    """The frontier of quality against training plus ``predictions`` predictions, by rising total price.

    Each model counts in its cheapest weight format among those that give the fp32 answer to at least SAME_ANSWERS of
    the inputs, which are taken as they are. Columns: those of ``serving_table``, then total_usd. Raises RequestError
    where ``predictions`` is below 0 or not finite.
    """
    if not (math.isfinite(predictions) and predictions >= 0):
        raise RequestError(f"predictions {predictions!r} is not a number of at least 0")
    same = served[(served["problem"] == "") & (served["varied"] == "") & (served["agreement"] >= SAME_ANSWERS)]
    cheapest = same.sort_values("usd_per_1000", kind="stable").groupby(["trial", "epoch"], sort=False).head(1)
    cheapest = cheapest.assign(total_usd=cheapest["training_usd"] + predictions / 1000 * cheapest["usd_per_1000"])
    kept = frontier_mask(cheapest["quality"], cheapest["total_usd"], table.quality.direction)
    return cheapest[kept].sort_values("total_usd").reset_index(drop=True)


def serving_document(
    served: pd.DataFrame, total: pd.DataFrame, predictions: float, table: StudyTable
) -> dict[str, Any]:
    """What ``tracker serve-cost NAME --json`` prints."""
    return {
        **study_head(table),
        "predictions": predictions,
        "models": plain_rows(served),
        "total_frontier": plain_rows(total[["trial", "epoch", "quality", "weights", "total_usd"]]),
    }


def save_serving(served: pd.DataFrame, folder: Path) -> None:
    """Save the measurements in the study's folder, for its report."""
    (folder / "serving.json").write_text(json.dumps(plain_rows(served)), encoding="utf-8")


def load_serving(folder: Path) -> pd.DataFrame:
    """The last measurements; empty where there are none. Earlier versions measured inputs as they are only."""
    try:
        rows = json.loads((folder / "serving.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        rows = []
    return pd.DataFrame(rows, columns=COLUMNS).fillna({"varied": ""})


def _agreement(expected: Sequence[Any], found: Sequence[Any]) -> float:
    if not expected or len(expected) != len(found):
        return math.nan
    same = sum(bool(one == other) for one, other in zip(expected, found, strict=True))
    return same / len(expected)


def _usd_per_1000(serving: Serving, point: PricePoint, terms: CostTerms, threads: int) -> float:
    if serving.problem:
        return math.nan
    seconds = 1000 / serving.predictions_per_second
    price = price_of(Usage(seconds, seconds * threads, threads), point, terms)
    return float(price.compute_usd + price.maintenance_usd)
