"""Studies at equal dollars and at equal quality, below what the page Compare shows of them."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from dashboard import studies
from dashboard.parts.chart import chart
from dashboard.parts.facts import facts
from dashboard.text import literal
from tracker.report.comparison_words import corner_sentence, equal_dollars_words, same_quality_words
from tracker.report.sides import side_of
from tracker.report.study_comparison import StudyComparison, compare_sides
from tracker.report.study_comparison_charts import equal_dollars_figure
from tracker.store.run_table import StudyTable


def equal_dollars(tables: tuple[StudyTable, ...], name: str) -> None:
    """The answer, hypervolume against dollars with its intervals, and what the same quality cost.

    Raises RequestError where the studies cannot be compared.
    """
    comparison = _compared(tables)
    st.markdown("**Hypervolume at equal dollars**")
    for sentence in comparison.verdicts:
        st.markdown(literal(f"{sentence}."))
    chart(
        equal_dollars_figure(comparison),
        f"compare-hypervolume-{name}",
        alt=f"Hypervolume against dollars spent on trials of {', '.join(comparison.names)}",
        twin=comparison.equal_dollars,
        file_name=f"{name}-hypervolume",
    )
    st.caption(literal(f"Hypervolume is {corner_sentence(comparison)}."))
    facts(equal_dollars_words(comparison))
    st.markdown("**What the same quality cost**")
    facts(same_quality_words(comparison))
    with st.expander("How the intervals are made, and what they cover"):
        for sentence in comparison.method:
            st.markdown(literal(f"{sentence[0].upper()}{sentence[1:]}."))


@lru_cache(maxsize=4)
def _compared(tables: tuple[StudyTable, ...]) -> StudyComparison:
    """Tables never change, so what was worked out of them stands."""
    return compare_sides([side_of(studies.home(), table) for table in tables])
