"""Prices: the price book with its sources, the history of rates, and a study re-priced."""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from dashboard import studies, view
from dashboard.parts.chart import chart
from dashboard.parts.scenario_builder import scenario_builder
from dashboard.parts.scenario_files import scenario_files
from dashboard.text import literal
from tracker.errors import RequestError
from tracker.pricing.price_book import PriceBook
from tracker.records import Market
from tracker.report.price_tables import first_sku, history_figure, rates_table, rates_with
from tracker.report.scenario_chart import compared_frontiers_figure, comparison_sentences, levels_table
from tracker.report.scenarios import compare_scenarios, price_remarks
from tracker.report.words import NOTHING, several
from tracker.store.run_table import StudyTable

ANY = "any"
_DOLLARS = st.column_config.NumberColumn("$ an hour", format="%.4f")
_RATES: dict[str, Any] = {
    "sku": "SKU",
    "usd_per_hour": _DOLLARS,
    "usd_per_accelerator_hour": st.column_config.NumberColumn("$ an hour, per chip", format="%.4f"),
    "vcpu": "vCPU",
    "ram_gb": "GiB",
    "quality": st.column_config.TextColumn("how far to trust it", width="medium"),
    "date_kind": "kind of date",
    "source": st.column_config.TextColumn("source", width="medium"),
}


def show(study: str) -> None:
    """The page of a study, with the price book that it is priced by."""
    billed = studies.billed_table(study)
    book = studies.home().price_book(billed.prices_file)
    st.title("What if prices were different?")
    what_if, rates, history = st.tabs(["What if", "Price book", "History"])
    with what_if:
        form, answer = st.columns([2, 3], gap="large")
        with form:
            scenario_files(study, studies.scenario())
            scenario_builder(book)
        with answer:
            _compared(study, billed)
    with rates:
        _book(book)
    with history:
        _history(book, billed)


def _compared(study: str, billed: StudyTable) -> None:
    """The frontier before and after."""
    scenario = studies.scenario()
    try:
        after = studies.study_table(study)
    except RequestError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    unit = billed.unit
    document = compare_scenarios(billed, after, ("billed", scenario.label))
    if scenario.is_empty:
        st.info("These are the billed prices. Change something in the form, and every page follows.")
    else:
        st.markdown(f"**{literal(' '.join(comparison_sentences(document, unit)))}**")
    chart(
        compared_frontiers_figure(document, billed, unit),
        "compared",
        alt=f"The frontier of {study} at the billed prices, and under the scenario",
        twin=levels_table(document, unit),
        file_name=f"{study}-before-after",
    )
    before = "price" if scenario.is_empty else "before"
    columns = None if not scenario.is_empty else ["quality", "price before", "by"]
    st.dataframe(
        levels_table(document, unit),
        column_order=columns,
        hide_index=True,
        key="levels",
        column_config={
            "quality": st.column_config.NumberColumn(billed.quality.name, format="%.4g"),
            "price before": st.column_config.NumberColumn(f"{before}, {unit.symbol.strip()}", format="%.4g"),
            "price after": st.column_config.NumberColumn(f"after, {unit.symbol.strip()}", format="%.4g"),
            "by then": "by",
            "after ÷ before": st.column_config.NumberColumn(format="%.3f"),
        },
        placeholder=NOTHING,
    )
    for remark in price_remarks(after):
        st.caption(literal(remark))


def _book(book: PriceBook) -> None:
    search, provider, market, every = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
    text = search.text_input("Search", key="book-search", placeholder="such as: H100 us-east-1")
    sellers = sorted({point.provider for point in book.points})
    seller = provider.selectbox("Provider", [ANY, *sellers], key="book-provider")
    sold = market.selectbox("Market", [ANY, *map(str, Market)], key="book-market")
    dated = every.toggle("Every dated rate", key="book-dated", help="Otherwise only today's")
    points = book.points if dated else book.offers(date.today())
    chosen = [point for point in points if seller in (ANY, point.provider) and sold in (ANY, point.market)]
    rates = rates_with(rates_table(chosen), text)
    st.dataframe(rates, hide_index=True, key="book", column_config=_RATES, height=560, placeholder="")
    st.caption(literal(f"{several(len(rates), 'rate')} of {len(points):,}; price book {book.version}."))


def _history(book: PriceBook, billed: StudyTable) -> None:
    first = first_sku(book, billed)
    sku = view.SKU.widget(st.selectbox, "SKU", options=book.skus, index=book.skus.index(first)) or first
    rates = book.history(sku)
    chart(
        history_figure(sku, rates),
        "history",
        alt=f"The rates of {sku} over time",
        twin=rates_table(rates),
        columns=_RATES,
        file_name=f"{sku}-history",
    )
    st.caption("Each mark is a dated rate, with its source in the table; it holds until the next one.")
