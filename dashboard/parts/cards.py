"""The short answers of a study, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.text import literal
from tracker.report.headlines import Headline


def cards(answers: Sequence[Headline]) -> None:
    """One card an answer; the comparisons with baselines below them."""
    short = [answer for answer in answers if not answer.baseline]
    for column, answer in zip(st.columns(len(short)), short, strict=True):
        with column.container(border=True, height="stretch"):
            st.metric(literal(answer.title), answer.figure)
            st.caption(literal(answer.sentence))
    for answer in answers:
        if answer.baseline:
            st.markdown(f"**{literal(answer.title)}**: {literal(answer.figure)} {literal(answer.sentence)}")
