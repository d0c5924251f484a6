"""What a draft is likely to cost, by past runs of its training code: as `tracker estimate` says it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import studies
from dashboard.parts.facts import facts
from dashboard.text import literal
from tracker.errors import TrackerError
from tracker.report.estimate.likely_words import LikelyWords, likely_words
from tracker.study.document import StudyDocument

_ESTIMATED = "launch-estimated"


def likely_cost(document: StudyDocument) -> None:
    """The likely amount with its range and what it rests on, or why there is none; estimated again where the draft
    changed, or a study started or ended."""
    st.header("What it is likely to cost")
    found = _estimate(document)
    if found.likely:
        st.markdown(f"### {literal(found.likely)}")
        st.markdown("\n".join(f"- {literal(line)}" for line in (found.grounds, f"it buys {found.buys}")))
        facts(pd.DataFrame(found.trainings, columns=list(found.columns)))
    else:
        st.caption(literal(f"Not known: {found.grounds}"))
    for note in found.notes:
        st.caption(literal(note))


def _estimate(document: StudyDocument) -> LikelyWords:
    """The estimate of a draft; where it has none because something is wrong, that is its grounds."""
    there = tuple((each.name, each.state, each.started_at) for each in studies.listed().studies)
    key = (repr(document.content), str(studies.home().path), there)
    known = st.session_state.get(_ESTIMATED)
    if known is not None and known[0] == key:
        kept: LikelyWords = known[1]
        return kept
    with st.spinner("Reading past runs of this training code"):
        try:
            found = likely_words(document, studies.home())
        except TrackerError as error:
            found = LikelyWords("", str(error))
    st.session_state[_ESTIMATED] = key, found
    return found
