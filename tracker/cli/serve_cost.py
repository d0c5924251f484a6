"""tracker serve-cost: what the frontier's models cost to serve on this machine."""

from __future__ import annotations

import math
from typing import Any

import click
import pandas as pd

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.errors import RequestError
from tracker.pricing.currency import USD
from tracker.pricing.scenario import AS_BILLED
from tracker.report import words
from tracker.report.repricing import priced_study_table
from tracker.report.served_models import measure_frontier
from tracker.report.serving import SAME_ANSWERS, save_serving, serving_document, total_frontier
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.study.document import parse_assignments
from tracker.training.workload import WEIGHTS

FIGURES = ("p50 ms", "p99 ms", "a second", "memory", "same answers", "per 1,000")
ANSWERS = "of answers"


@click.command(name="serve-cost", short_help="What the frontier's models cost to serve on this machine.")
@click.argument("name", type=STUDY_NAME)
@click.option("--predictions", type=float, default=1e6, show_default=True, help="Predictions to add to the training.")
@click.option("--weights", type=click.Choice(WEIGHTS), multiple=True, help="A number format to measure; default all.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Cores to predict on.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.05), default=2.0, show_default=True, help="Time for each format."
)
@click.option(
    "--points", type=click.IntRange(min=1), default=12, show_default=True, help="The most frontier points to measure."
)
@click.option(
    "--vary",
    metavar="KEY=[VALUES]",
    help="Measure also with this key of every input set to each value, such as 'sampling_steps=[1, 4, 16]'.",
)
@json_option
@home_option
def serve_cost(
    name: str,
    predictions: float,
    weights: tuple[str, ...],
    threads: int,
    seconds: float,
    points: int,
    vary: str | None,
    as_json: bool,
    home: Home,
) -> None:
    """Measure latency, throughput, memory and price of study NAME's stored frontier models, one by one.

    Also lists the frontier of quality against training plus N predictions.
    """
    table = priced_study_table(home, name, AS_BILLED, USD.code)
    served = measure_frontier(
        table,
        home,
        weights or WEIGHTS,
        threads,
        seconds,
        points,
        lambda message: say(message, err=True),
        _varied(vary),
    )
    total = total_frontier(served, predictions, table)
    save_serving(served, home.study(name))
    if as_json:
        print_json(serving_document(served, total, predictions, table))
        return
    _print_served(served, table, varied=vary is not None)
    say(f"training plus {predictions:,.0f} predictions:")
    _print_total(total, table)
    say(
        f"billed as {served['sku'].iloc[0]}, on a busy machine; a weight format counts if it gives the fp32"
        f" answer to at least {SAME_ANSWERS:.0%} of the inputs, and quality is the checkpoint's own"
        + (f"; {ANSWERS} is the quality of these answers on the test split" if _judged(served) else ""),
        err=True,
    )


def _judged(served: pd.DataFrame) -> bool:
    """Whether it is known how good any of the answers are."""
    return bool(served["answer_quality"].notna().any())


def _print_served(served: pd.DataFrame, table: StudyTable, *, varied: bool) -> None:
    inputs, judged = ["inputs "] if varied else [], [ANSWERS] if _judged(served) else []
    print_table(
        ["model ", table.quality.name, *inputs, *judged, "weights ", *FIGURES],
        [
            (
                f"#{row['trial']} e{row['epoch']}",
                words.quality(row["quality"]),
                *([row["varied"] or "as they are"] if inputs else []),
                *([_quality(row["answer_quality"])] if judged else []),
                row["weights"],
                words.figure(row["p50_ms"]),
                words.figure(row["p99_ms"]),
                words.figure(row["predictions_per_second"]),
                f"{row['peak_memory_bytes'] / 2**20:,.0f} MiB",
                words.percent(row["agreement"]) if row["agreement"] == row["agreement"] else words.NOTHING,
                words.money(row["usd_per_1000"], table.unit) if not row["problem"] else row["problem"][:40],
            )
            for row in served.to_dict("records")
        ],
    )


def _print_total(total: pd.DataFrame, table: StudyTable) -> None:
    print_table(
        ["model ", table.quality.name, "weights ", "training", "in all"],
        [
            (
                f"#{row['trial']} e{row['epoch']}",
                words.quality(row["quality"]),
                row["weights"],
                words.money(row["training_usd"], table.unit),
                words.money(row["total_usd"], table.unit),
            )
            for row in total.to_dict("records")
        ],
    )


def _varied(vary: str | None) -> tuple[str, list[Any]]:
    """The key of the inputs and its values, of KEY=[VALUES]; "" and none where it is not given. Raises RequestError."""
    if vary is None:
        return "", []
    key, values = next(iter(parse_assignments([vary]).items())) if "=" in vary.lstrip("= ") else ("", None)
    if not isinstance(values, list) or not values:
        raise RequestError(f"--vary {vary}: allowed is KEY=[VALUES], such as 'sampling_steps=[1, 4, 16]'")
    return key, values


def _quality(value: float) -> str:
    return words.NOTHING if math.isnan(value) else words.quality(value)
