"""Knobs: which knobs drive quality and price, and where a study does worst."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import studies, view
from dashboard.parts.chart import chart
from dashboard.text import literal
from tracker.report.importance import EPOCHS, KnobImportance, knob_importance
from tracker.report.importance_charts import importance_figure, importance_table, longest_share
from tracker.report.knob_levels import knobs_of
from tracker.report.knob_map import default_pair, knob_map, knob_map_figure
from tracker.report.levers import lever_sentences, levers_table
from tracker.report.parallel_coordinates import parallel_figure, parallel_trials
from tracker.report.slices import best_point, value_outcomes, worst_slices
from tracker.report.words import NOTHING, percent
from tracker.store.run_table import StudyTable

FIRST_AXES = 6
MOST_VALUES = 12
_SHARES = {
    f"{target}_{part}": st.column_config.NumberColumn(f"{target}{words}", format="percent")
    for target in ("quality", "price")
    for part, words in (("share", ""), ("low", ", from"), ("high", ", to"))
}


def show(study: str) -> None:
    """The page of a study."""
    table = studies.study_table(study)
    knobs = knobs_of(table)
    st.title("Which knob drives what?")
    if not knobs:
        st.info("Every trial of this study has the same settings. Search a knob, and its effect appears here:")
        st.code('[search]\nsize = { low = 1, high = 64, log = true }\nprecision = ["fp32", "bf16"]', language="toml")
        return
    # The slowest part is first on the page and computed last.
    importance = st.container()
    _trials(table, study, knobs)
    _pair(table, study, knobs)
    _levers(table)
    _worst(table)
    with importance:
        _importance(_found(study, _state(table), table), study)


@st.cache_resource(max_entries=16, show_spinner="Computing the importance of knobs …")
def _found(study: str, state: str, _table: StudyTable) -> KnobImportance:
    """Cached while the study and its prices stay the same."""
    del study, state
    return knob_importance(_table)


def _state(table: StudyTable) -> str:
    return f"{len(table.checkpoints)} {table.spend_usd!r} {table.scenario!r}"


def _importance(found: KnobImportance, study: str) -> None:
    st.header("Importance")
    both = importance_table(found)
    longest, order = longest_share(found), both["knob"].tolist()
    for column, title, outcome in zip(
        st.columns(2), ("Drives quality", "Drives price"), (found.quality, found.price), strict=True
    ):
        with column:
            st.markdown(f"**{title}**")
            st.caption(literal(outcome.sentence))
            if not outcome.shares.empty:
                chart(
                    importance_figure(outcome, order, longest),
                    f"importance-{outcome.target}",
                    alt=f"Share of the variance of {outcome.target} that each knob drives",
                    twin=both,
                    columns=_SHARES,
                    file_name=f"{study}-importance-{outcome.target}",
                )
    if not both.empty:
        words_shown = [
            "Bars: the share of the variance that a knob drives, alone and with others; shares may add up "
            "to more than 100 %. Whiskers: 95 % intervals; a faint bar may be chance.",
            f"'{EPOCHS}' is not a knob: it is how far trials were trained." if EPOCHS in order else "",
            found.sample_sentence,
        ]
        st.caption(literal(" ".join(filter(None, words_shown))))


def _trials(table: StudyTable, study: str, knobs: list[str]) -> None:
    st.header("Every trial through its knobs")
    axes = st.multiselect("Axes", knobs, default=knobs[:FIRST_AXES], key="axes")
    trials = parallel_trials(table, axes)
    if trials.rows.empty:
        st.info("No trial has reached a checkpoint yet.")
        return
    twin = trials.rows.assign(price_usd=table.unit.of(trials.rows["price_usd"].to_numpy(dtype=float)))
    chart(
        parallel_figure(table, trials),
        "parallel",
        alt="Each trial as a line through its knobs, its price and its quality",
        twin=twin,
        columns={"price_usd": f"price, {table.unit.name}", "quality": table.quality.name},
        file_name=f"{study}-trials",
    )
    how = "The better, the more orange. Drag along an axis to keep what is in that range; click there to undo it."
    st.caption(literal(f"{trials.sentence} {how}"))


def _pair(table: StudyTable, study: str, knobs: list[str]) -> None:
    pair = default_pair(knobs)
    if pair is None:
        return
    st.header("Two knobs together")
    left, middle, right = st.columns(3)
    with left:
        across = view.KNOB_X.widget(st.selectbox, "Across", options=knobs, index=knobs.index(pair[0])) or pair[0]
    others = [name for name in knobs if name != across]
    with middle:
        first = pair[1] if pair[1] in others else pair[0]
        down = view.KNOB_Y.widget(st.selectbox, "Down", options=others, index=others.index(first)) or first
    with right:
        target = view.TARGET.widget(
            st.number_input,
            f"Cheapest that reaches this {literal(table.quality.name)}",
            read=float,
            value=None,
            format="%g",
            placeholder="empty: the best quality",
        )
    found = knob_map(table, across, down, target)
    twin = found.table
    if "price_usd" in twin:
        twin["price_usd"] = table.unit.of(twin["price_usd"].to_numpy(dtype=float))
    chart(
        knob_map_figure(table, found),
        "knob-map",
        alt=f"{'Cheapest price' if target is not None else 'Best quality'} by {across} and {down}",
        twin=twin,
        columns={"price_usd": f"cheapest, {table.unit.name}"},
        file_name=f"{study}-{across}-{down}",
    )
    what = "Best quality" if target is None else "Price of the cheapest checkpoint that reaches the target"
    blank = "was not tried." if target is None else "was not tried, or does not reach it."
    st.caption(literal(f"{what}, of all trials in a cell; brighter is better. A blank cell {blank}"))


def _levers(table: StudyTable) -> None:
    st.header("What each lever saved")
    rows = levers_table(table)
    if rows.empty:
        st.info("No two completed trials differ in exactly one setting, so there are no pairs.")
        return
    for sentence in lever_sentences(table)[:MOST_VALUES]:
        st.markdown(f"- {literal(sentence)}")
    number, unit = st.column_config.NumberColumn, table.unit
    money = ["usd_without", "usd_difference", "usd_low", "usd_high"]
    rows[money] = unit.of(rows[money].to_numpy(dtype=float))
    rows[["without", "with"]] = rows[["without", "with"]].map(str)
    with st.expander("As a table"):
        st.dataframe(
            rows,
            hide_index=True,
            key="levers",
            column_config={
                "usd_without": number(f"price without, {unit.symbol.strip()}", format="%.3g"),
                "usd_difference": number(f"difference, {unit.symbol.strip()}", format="%.3g"),
                "usd_low": number("from", format="%.3g"),
                "usd_high": number("to", format="%.3g"),
                "usd_ratio": number("price with ÷ without", format="%.3f"),
                "quality_without": number(f"{table.quality.name} without", format="%.4g"),
                "quality_difference": number("difference", format="%.3g"),
                "quality_low": number("from", format="%.3g"),
                "quality_high": number("to", format="%.3g"),
            },
            placeholder=NOTHING,
        )
        st.caption("Pairs of completed trials that differ only in this setting; 95 % intervals.")


def _worst(table: StudyTable) -> None:
    st.header("Where it does worst")
    left, right = st.columns(2)
    with left:
        st.markdown("**Slices of the data**")
        slices, best = worst_slices(table), best_point(table)
        if slices.empty or best is None:
            st.info(
                "This study's training logs no metric by slice. Report one for each slice, such as accuracy/cat and "
                "accuracy/dog, and the worst ones appear here."
            )
        else:
            where = f"#{best.trial}, epoch {best.epoch}"
            st.caption(literal(f"At the best checkpoint of the frontier, {where}; the worst first."))
            value = st.column_config.NumberColumn("value", format="%.4g")
            st.dataframe(
                slices,
                hide_index=True,
                key="slices",
                column_config={"value": value, "better": "better is"},
                placeholder=NOTHING,
            )
    with right:
        st.markdown("**Settings that fail or are dominated**")
        _outcomes(value_outcomes(table))


def _outcomes(outcomes: pd.DataFrame) -> None:
    if outcomes.empty:
        st.info("No trial has ended yet.")
        return
    worst = outcomes.iloc[0]
    if worst["failed"]:
        words_shown = f"{worst['failed']} of {worst['trials']} trials with {worst['knob']} = {worst['value']} failed"
        interval = f"95 % interval {percent(worst['failure_low'])} to {percent(worst['failure_high'])}"
        st.caption(literal(f"{words_shown} ({percent(worst['failure_rate'])}, {interval})."))
    else:
        st.caption("No trial failed. Dominated: no checkpoint of the trial is on the frontier.")
    share = {
        name: st.column_config.NumberColumn(title, format="percent")
        for name, title in (
            ("failure_rate", "failed, share"),
            ("failure_low", "from"),
            ("failure_high", "to"),
            ("dominated_rate", "dominated, share"),
        )
    }
    order = ["knob", "value", "trials", "failed", *share]
    st.dataframe(
        outcomes, hide_index=True, key="outcomes", column_config=share, column_order=order, placeholder=NOTHING
    )
