"""What a draft is likely to cost, by past runs of its training code: as `tracker estimate` says it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import studies
from dashboard.parts.facts import facts
from dashboard.parts.kept import kept
from dashboard.text import literal
from tracker.errors import TrackerError
from tracker.report.estimate.estimate import PROBE_HINT, Estimate, estimate_cost
from tracker.report.estimate.sentences import (
    TRAINING_COLUMNS,
    confidence_sentence,
    money,
    training_rows,
    trials_and_time,
)
from tracker.study.document import StudyDocument


def likely_cost(document: StudyDocument) -> None:
    """The likely amount with its range and what it rests on, or why there is none; estimated again where the draft
    changed, or a study started or ended."""
    st.header("What it is likely to cost")
    there = tuple((each.name, each.state, each.started_at) for each in studies.listed().studies)
    draft = (repr(document.content), str(studies.home().path), there)
    found = kept("launch-estimated", draft, lambda: _estimate(document), "Reading past runs of this training code")
    if isinstance(found, str):
        st.caption(literal(f"Not known: {found}"))
        return
    likely = found.likely
    if likely is None:
        st.caption(literal(f"Not known: {found.grounds.sentence}; {PROBE_HINT}"))
        return
    st.markdown(f"### {literal(money(likely.outlay.spend_usd, found.unit))}")
    lines = (found.grounds.sentence, f"it buys {trials_and_time(found, likely)}")
    st.markdown("\n".join(f"- {literal(line)}" for line in lines))
    facts(pd.DataFrame(training_rows(found, likely), columns=list(TRAINING_COLUMNS)))
    for note in (*found.remarks, confidence_sentence()):
        st.caption(literal(note))


def _estimate(document: StudyDocument) -> Estimate | str:
    """The estimate of a draft, or why it cannot be estimated."""
    try:
        return estimate_cost(document, studies.home())
    except TrackerError as error:
        return str(error)
