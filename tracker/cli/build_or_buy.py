"""tracker build-or-buy: a study's own models beside a hosted language model."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import click

from tracker.cli.options import STUDY_NAME, day_option, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.report import words
from tracker.report.hosted_api import DEFAULT_PREDICTIONS
from tracker.report.hosted_api import build_or_buy as ask
from tracker.store.home import Home


@click.command(short_help="Your own model's price beside that of a hosted language model.")
@click.argument("name", type=STUDY_NAME)
@click.option("--model", required=True, metavar="PROVIDER:MODEL", help="The hosted model, such as openai:gpt-4o-mini.")
@click.option(
    "--predictions",
    type=float,
    default=DEFAULT_PREDICTIONS,
    show_default=True,
    metavar="N",
    help="The number of predictions to spread the training over.",
)
@click.option("--input-tokens", type=float, help="Tokens of a text.  [default: measured on the study's texts]")
@click.option("--output-tokens", type=float, help="Tokens of an answer.  [default: measured on the study's answers]")
@click.option("--prompt-tokens", type=float, help="Tokens before each text.  [default: assumed to be 0]")
@day_option("--as-of", "Price the hosted model on that day.")
@json_option
@home_option
def build_or_buy(
    name: str,
    model: str,
    predictions: float,
    input_tokens: float | None,
    output_tokens: float | None,
    prompt_tokens: float | None,
    as_of: date | None,
    as_json: bool,
    home: Home,
) -> None:
    """Compare the price of 1,000 predictions by study NAME's models with a hosted model's, with the break-even.

    Prices only: the quality of the hosted model's answers is not measured. Needs the extra "llm".
    """
    document = ask(
        name,
        home,
        model,
        predictions=predictions,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        prompt_tokens=prompt_tokens,
        as_of=as_of,
    )
    if as_json:
        print_json(document)
        return
    spread = f"1,000 with training over {predictions:,.0f}"
    columns = ["model ", document["quality"]["name"], "training", "1,000 own", spread, "1,000 by API", "break-even"]
    print_table(columns, [_row(point) for point in [*document["points"], *document["references"]]])
    for note in document["notes"]:
        say(note, err=True)


def _row(point: dict[str, Any]) -> tuple[str, ...]:
    own, even = point["own_usd_per_1000"], point["break_even_predictions"]
    return (
        point["name"] if "name" in point else f"#{point['trial']} epoch {point['epoch']}",
        words.quality(point["quality"]),
        words.usd(point["training_usd"]),
        words.NOTHING if own is None else words.usd(own),
        words.usd(point["total_usd_per_1000"]),
        words.usd(point["api_usd_per_1000"]),
        "never" if even is None else f"{math.ceil(even):,}",
    )
