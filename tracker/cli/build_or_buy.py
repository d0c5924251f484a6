"""tracker build-or-buy: a study's own models beside a hosted language model."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.pricing.currency import USD, ExchangeRate
from tracker.pricing.money_unit import MoneyUnit
from tracker.pricing.scenario import Scenario
from tracker.report import words
from tracker.report.hosted_api import DEFAULT_MONTHS, DEFAULT_PREDICTIONS
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
@click.option("--batch", is_flag=True, help="The hosted model's price of batch processing.")
@click.option("--cached-prompt", is_flag=True, help="The prompt is read from the hosted model's cache.")
@click.option(
    "--months",
    type=float,
    default=DEFAULT_MONTHS,
    show_default=True,
    metavar="M",
    help="The months that the N predictions are spread over.",
)
@click.option(
    "--decline",
    type=float,
    metavar="PERCENT",
    help="The hosted price falls by so much a year.  [default: fitted to its class in genai-prices]",
)
@scenario_options
@json_option
@home_option
def build_or_buy(
    name: str,
    model: str,
    predictions: float,
    input_tokens: float | None,
    output_tokens: float | None,
    prompt_tokens: float | None,
    batch: bool,
    cached_prompt: bool,
    months: float,
    decline: float | None,
    scenario: Scenario,
    currency: str,
    as_json: bool,
    home: Home,
) -> None:
    """Compare the price of 1,000 predictions by study NAME's models with a hosted model's, with the break-even.

    The break-even is a number of predictions at today's price, and a day while the hosted model gets cheaper. Prices
    only: the quality of the hosted model's answers is not measured. Needs the extra "llm".
    """
    document = ask(
        name,
        home,
        model,
        predictions=predictions,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        prompt_tokens=prompt_tokens,
        batch=batch,
        cached_prompt=cached_prompt,
        months=months,
        decline=None if decline is None else decline / 100,
        scenario=scenario,
        currency=currency,
    )
    if as_json:
        print_json(document)
        return
    spread = f"1,000 with training over {predictions:,.0f}"
    columns = [
        "model ",
        document["quality"]["name"],
        "training",
        "1,000 own",
        spread,
        "1,000 by API",
        "break-even",
        "on",
    ]
    currency_used = USD if document["currency"] is None else ExchangeRate(**document["currency"])
    usd = partial(words.money, unit=MoneyUnit(currency_used))
    print_table(columns, [_row(point, usd) for point in [*document["points"], *document["references"]]])
    for note in document["notes"]:
        say(note, err=True)


def _row(point: dict[str, Any], usd: Callable[[float], str]) -> tuple[str, ...]:
    own, even = point["own_usd_per_1000"], point["break_even_predictions"]
    return (
        point["name"] if "name" in point else f"#{point['trial']} epoch {point['epoch']}",
        words.quality(point["quality"]),
        usd(point["training_usd"]),
        words.NOTHING if own is None else usd(own),
        usd(point["total_usd_per_1000"]),
        usd(point["api_usd_per_1000"]),
        "never" if even is None else f"{math.ceil(even):,}",
        point["break_even_on"] or "never",
    )
