"""What to know of the figures of build-or-buy, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from tracker.pricing.llm_api import ApiPrice, PredictionTokens
from tracker.pricing.money_unit import MoneyUnit
from tracker.report.asked import THOUSAND, ApiTerms, Asked
from tracker.report.price_war import war_document, war_sentences
from tracker.report.scenarios import price_remarks
from tracker.report.tables import spend_by_part
from tracker.report.words import money
from tracker.store.run_table import StudyTable


def notes_of(
    table: StudyTable, asked: Asked, points: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]
) -> list[str]:
    """Caveats about the figures of a document's points and references, the most important first."""
    api = asked.api
    return [
        f"THE QUALITY OF {api.name} ON THESE DATA IS UNKNOWN: its answers were not evaluated; only prices are compared",
        *_price_notes(table, api, asked.as_of),
        *_token_notes(asked.tokens),
        *_own_notes(table, [*points, *references]),
        *_other_terms(table, api, asked.alternatives),
        *war_sentences(war_document(asked.war, asked.predictions), points),
        *asked.remarks,
        *price_remarks(table),
    ]


def _price_notes(table: StudyTable, api: ApiPrice, as_of: date | None) -> list[str]:
    usd = partial(money, unit=MoneyUnit(table.currency))
    rates = [
        f"{usd(rate)} a million {direction} tokens"
        for rate, direction in (
            (api.usd_per_million_input, "input"),
            (api.usd_per_million_cached, "cached input"),
            (api.usd_per_million_output, "output"),
        )
        if rate is not None
    ]
    since = f"since {api.effective_from}" if api.effective_from else "start date unknown"
    ended = f", until {api.effective_to}" if api.effective_to else ""
    notes = [
        f"{api.name}: {' and '.join(rates) or usd(api.usd_per_prediction)}, the"
        f" {'batch' if api.batch else 'list'} price by {api.package} ({api.source}), {since}{ended}"
    ]
    if as_of and not api.effective_from:
        notes.append(f"{api.package} does not say when this price started, so it may not have applied on {as_of}")
    if api.by_hour:
        at = "12:00 UTC" if as_of else "this hour"
        notes.append(f"the price of {api.name} varies by hour of the day; this is the one at {at}")
    if not api.charges_output:
        notes.append(f"{api.package} has no price for output of {api.name}: its answers are counted as free")
    return notes


def _other_terms(table: StudyTable, api: ApiPrice, alternatives: Mapping[ApiTerms, ApiPrice | None]) -> list[str]:
    """What the hosted model costs on other terms, where that is known."""
    usd = partial(money, unit=MoneyUnit(table.currency))
    others = [
        f"{terms.words} {usd(each.usd_per_prediction * THOUSAND)}"
        for terms, each in alternatives.items()
        if each is not None and (each.batch, bool(each.cached_tokens)) != (api.batch, bool(api.cached_tokens))
    ]
    return [f"1,000 predictions by {api.name} on other terms: {', '.join(others)}"] if others else []


def _token_notes(tokens: PredictionTokens) -> list[str]:
    read, written = f"{tokens.input_tokens:,.1f} tokens of text", f"{tokens.output_tokens:,.1f} of answer"
    by = f"; measured on {tokens.texts:,} whole texts of the {tokens.split} split with {tokens.tokenizer}"
    measured = "measured" in (tokens.input_source, tokens.output_source)
    notes = [
        f"a prediction has {read} ({tokens.input_source}) and {written} ({tokens.output_source})"
        + (f"{by}; other models' tokenizers differ" if measured else "")
    ]
    prompt = f"{tokens.prompt_tokens:,.0f} prompt tokens ({tokens.prompt_source}) come before each text"
    if tokens.prompt_source == "assumed":
        prompt += "; an instruction, the list of classes and the chat format would add to that"
    return [*notes, prompt]


def _own_notes(table: StudyTable, points: list[dict[str, Any]]) -> list[str]:
    unmeasured = sum(point["own_usd_per_1000"] is None for point in points)
    notes = []
    if unmeasured < len(points):
        notes.append(
            "your own prediction is priced like its run's evaluation: in batches, on prepared data, on a machine that"
            " is never idle; serving is not in it"
        )
    if unmeasured:
        notes.append(
            f"{unmeasured} of {len(points)} models have no predictions_per_second: only their training is counted,"
            " their predictions as free, so the break-even is a lower bound"
        )
    usd = partial(money, unit=MoneyUnit(table.currency))
    data_usd = spend_by_part(table)["data"]
    data = f" and the {usd(data_usd)} that the data cost" if data_usd else ""
    notes.append(f"training is that of one model{data}; the whole study cost {usd(table.spend_usd)}")
    return notes
