"""What takes long to find out, kept for the session."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

import streamlit as st

Found = TypeVar("Found")


def kept(name: str, of: Hashable, find: Callable[[], Found], doing: str) -> Found:
    """What ``find`` returned ``of`` the same thing before, kept under ``name``; else it is called, which shows what it
    is ``doing``.
    """
    known = st.session_state.get(name)
    if known is None or known[0] != of:
        with st.spinner(doing):
            known = of, find()
        st.session_state[name] = known
    return cast(Found, known[1])


def forget(name: str) -> None:
    """Find it out again the next time."""
    st.session_state.pop(name, None)
