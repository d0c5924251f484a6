"""Compare: two to four runs of a study, or whole studies, side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import studies, view
from dashboard.parts.chart import chart
from dashboard.parts.equal_dollars import equal_dollars
from dashboard.parts.facts import facts
from dashboard.parts.points import points_on
from dashboard.text import literal
from tracker.errors import RequestError
from tracker.report.axes import Axes
from tracker.report.comparison import FEWEST, MOST, Comparison, compare_runs, compare_studies
from tracker.report.comparison_chart import curves_figure, frontiers_figure, parts_figure
from tracker.report.words import money, quality, several
from tracker.store.run_table import StudyTable

RUNS, STUDIES = "Runs of this study", "Whole studies"
MOST_LISTED = 300


def show(study: str) -> None:
    """The page of a study."""
    st.title("What is different?")
    if "compare-what" not in st.session_state:
        st.session_state["compare-what"] = STUDIES if view.COMPARED_STUDIES.all() else RUNS
    what = st.segmented_control(
        "What to compare", [RUNS, STUDIES], key="compare-what", required=True, label_visibility="collapsed"
    )
    if what == STUDIES:
        _compare_studies(study)
    else:
        _compare_runs(studies.study_table(study))


def _compare_runs(table: StudyTable) -> None:
    """A choice of runs, and their comparison."""
    labels = _listed(table)
    if len(labels) < FEWEST:
        st.info("This study has fewer than two runs with a checkpoint yet: there is nothing to compare.")
        return
    gone = [run for run in view.COMPARED_RUNS.all() if run not in labels]
    if gone:
        st.warning(literal(f"No longer in this study: {', '.join(gone)}."), icon=":material/search_off:")
    chosen = _chosen(view.COMPARED_RUNS, "Runs, two to four", labels, _ends(table, labels))
    reached = table.checkpoints["run"].nunique()
    if reached > len(labels):
        st.caption(
            f"{len(labels):,} of {several(reached, 'run')} with a checkpoint are listed, those of the frontier first;"
            " add another one by selecting it on the Frontier page."
        )
    if len(chosen) < FEWEST:
        st.info(f"Choose {FEWEST} to {MOST} runs.")
        return
    comparison = compare_runs(table, chosen)
    _comparison(comparison, f"{table.study}-runs")


def _compare_studies(study: str) -> None:
    """A choice of other studies, and their comparison with this one."""
    others = {name: name for name in studies.listed().names if name != study}
    if not others:
        st.info("There is only one study: you need a second one to compare.")
        return
    gone = [name for name in view.COMPARED_STUDIES.all() if name not in others and name != study]
    if gone:
        st.warning(literal(f"There is no longer a study '{gone[0]}' here."), icon=":material/search_off:")
    first = next(iter(others))
    chosen = _chosen(view.COMPARED_STUDIES, literal(f"{study}, beside"), others, [first], MOST - 1)
    if not chosen:
        st.info("Choose one to three other studies.")
        return
    tables = [studies.study_table(name) for name in (study, *chosen)]
    comparison = compare_studies(tables)
    if comparison.apart:
        st.warning(literal(comparison.apart), icon=":material/layers_clear:")
    _comparison(comparison, f"{study}-studies")
    if not comparison.apart:
        try:
            equal_dollars(tuple(tables), f"{study}-studies")
        except RequestError as error:
            st.info(literal(f"At equal dollars: {error}."))


def _chosen(value: view.Value, label: str, labels: dict[str, str], default: list[str], most: int = MOST) -> list[str]:
    """What is chosen of ``labels`` (ids to names); what the URL has, else ``default``."""
    key = f"compare-{value.key}"
    known = [each for each in value.all() if each in labels][:most]
    st.session_state[key] = known or st.session_state.get(key, default)
    st.session_state[key] = [each for each in st.session_state[key] if each in labels]
    chosen = st.multiselect(label, list(labels), key=key, format_func=labels.__getitem__, max_selections=most,
                            on_change=lambda: value.set(st.session_state[key]))  # fmt: skip
    value.set(chosen)
    return list(chosen)


def _listed(table: StudyTable) -> dict[str, str]:
    """The runs to choose from, with their names: what is chosen, the frontier's, and others as far as there is room."""
    frontier = points_on(table, Axes()).frontier
    reached = pd.unique(table.checkpoints["run"])
    asked = table.runs.index[table.runs["run_id"].isin(view.COMPARED_RUNS.all())]
    rows = list(dict.fromkeys([*asked, *frontier["run"], *reached]))[:MOST_LISTED]
    runs = table.runs.loc[rows, ["run_id", "label", "quality", "price_usd"]].astype(object)
    return {
        run: f"{label} · {quality(good)} for {money(usd, table.unit)}"
        for run, label, good, usd in runs.itertuples(index=False, name=None)
    }


def _ends(table: StudyTable, labels: dict[str, str]) -> list[str]:
    """The runs of the frontier's cheapest and best point; of one and the same run, it and another."""
    frontier = points_on(table, Axes()).frontier
    ends = list(dict.fromkeys([*frontier["run_id"].head(1), *frontier["run_id"].tail(1), *labels]))
    return ends[:FEWEST]


def _comparison(comparison: Comparison, name: str) -> None:
    """The tables and charts of a comparison."""
    _table("Figures", comparison.figures, "figure")
    if comparison.settings.empty:
        st.markdown(f"**Settings**: all {comparison.alike:,} are the same.")
    else:
        alike = f" ({comparison.alike:,} are the same)" if comparison.alike else ""
        _table(f"Settings that differ{alike}", comparison.settings, "setting")
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**{'Best so far against what was spent' if comparison.frontiers is not None else 'Curves'}**")
        chart(
            curves_figure(comparison),
            f"compare-curves-{name}",
            alt=f"{comparison.metric} against dollars of {', '.join(comparison.names)}",
            twin=comparison.curves,
            file_name=f"{name}-curves",
        )
    with right:
        st.markdown("**Cost parts**")
        chart(
            parts_figure(comparison),
            f"compare-parts-{name}",
            alt=f"The parts of the prices of {', '.join(comparison.names)}",
            twin=comparison.parts,
            file_name=f"{name}-parts",
        )
    if comparison.frontiers is not None:
        st.markdown("**Frontiers**")
        chart(
            frontiers_figure(comparison),
            f"compare-frontiers-{name}",
            alt=f"The frontiers of {', '.join(comparison.names)}",
            twin=comparison.frontiers,
            file_name=f"{name}-frontiers",
        )


def _table(title: str, rows: pd.DataFrame, what: str) -> None:
    st.markdown(f"**{literal(title)}**")
    facts(rows.rename_axis(what).reset_index())
