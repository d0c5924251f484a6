"""What a draft is likely to cost, by past runs of its training code: as `tracker estimate` says it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import studies
from dashboard.parts.facts import facts
from dashboard.text import literal
from tracker.errors import TrackerError
from tracker.report.estimate.estimate import Estimate, estimate_cost
from tracker.report.estimate.sentences import (
    TRAINING_COLUMNS,
    confidence_sentence,
    money,
    training_rows,
    trials_and_time,
)
from tracker.study.document import StudyDocument

_ESTIMATED = "launch-estimated"


def likely_cost(document: StudyDocument) -> None:
    """The likely amount with its range and what it rests on, or why there is none; estimated again where the draft, or
    the studies of the home, changed."""
    st.header("What it is likely to cost")
    found = _estimate(document)
    if isinstance(found, str):
        st.caption(literal(found))
        return
    likely = found.likely
    if likely is None:
        st.caption(literal(f"Not known: {found.grounds.sentence}. `tracker estimate --probe` trains two short trials."))
        return
    st.markdown(f"### {literal(money(likely.outlay.spend_usd, found.unit))}")
    lines = [found.grounds.sentence, f"it buys {trials_and_time(found, likely)}"]
    st.markdown("\n".join(f"- {literal(line)}" for line in lines))
    facts(pd.DataFrame(training_rows(found, likely), columns=list(TRAINING_COLUMNS)))
    for note in (*found.remarks, confidence_sentence()):
        st.caption(literal(note))


def _estimate(document: StudyDocument) -> Estimate | str:
    """The estimate of a draft, or what is wrong with it."""
    key = (repr(document.content), str(studies.home().path), tuple(studies.listed().names))
    known = st.session_state.get(_ESTIMATED)
    if known is not None and known[0] == key:
        kept: Estimate | str = known[1]
        return kept
    found: Estimate | str
    with st.spinner("Reading past runs of this training code"):
        try:
            found = estimate_cost(document, studies.home())
        except TrackerError as error:
            found = str(error)
    st.session_state[_ESTIMATED] = key, found
    return found
