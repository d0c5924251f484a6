"""All state of a view in its URL, declared once: a copied link opens the same view.

A value is read from the URL; where the URL does not have it, as after a change of the page, from what this session had
last. Pages read ``VALUE.get()``, write ``VALUE.set(…)``, or let a widget do both: ``VALUE.widget(st.selectbox, "Label",
options)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

Drawn = TypeVar("Drawn")
_MEMORY = "view"


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the view: its name in the URL, and what it is without one ("" is left out of the URL).

    ``many``: several texts, each a parameter of its own.
    """

    key: str
    default: str = ""
    many: bool = False

    def get(self) -> str:
        """The text that the URL has, or this session had last; of several, the first."""
        return next(iter(self.all()), self.default)

    def all(self) -> list[str]:
        """All the texts."""
        given = st.query_params.get_all(self.key)
        if given:
            _memory()[self.key] = given
            return given
        kept: list[str] = _memory().get(self.key, [])
        if kept:
            st.query_params[self.key] = kept
        return kept

    def set(self, value: str | Sequence[str]) -> None:
        """Put a text, or several, into the URL; the default is not written."""
        texts = [value] if isinstance(value, str) else list(value)
        texts = [text for text in texts if text not in ("", self.default)]
        _memory()[self.key] = texts
        if texts != st.query_params.get_all(self.key):
            if texts:
                st.query_params[self.key] = texts
            else:
                st.query_params.pop(self.key, None)

    def widget(
        self,
        draw: Callable[..., Drawn],
        *arguments: Any,
        read: Callable[[str], Any] = str,
        write: Callable[[Any], str] = str,
        options: Sequence[Any] | None = None,
        **keywords: Any,
    ) -> Drawn:
        """Draw a widget that has this value. ``read`` and ``write`` are from and to the text in the URL.

        What is none of ``options``, or cannot be read, is as if nothing were given: the widget's own first value.
        """
        key = f"view-{self.key}"
        if options is not None:
            keywords["options"] = list(options)
        if key not in st.session_state and (text := self.get()):
            try:
                value = read(text)
                if options is None or value in options:
                    st.session_state[key] = value
            except ValueError:
                pass
        elif options is not None and key in st.session_state and st.session_state[key] not in options:
            del st.session_state[key]
        drawn = draw(*arguments, key=key, **keywords)
        self.set("" if drawn is None else write(drawn))
        return drawn


STUDY = Value("study")
SCENARIO = Value("scenario")
"""The price scenario, as ``compact_scenario_toml`` writes it."""
CURRENCY = Value("currency", "USD")
X = Value("x", "price_usd")
Y = Value("y")
X_SCALE = Value("xscale", "log")
Y_SCALE = Value("yscale", "linear")
TURNED = Value("turned")
PREDICTIONS = Value("predictions", "1000000")
TARGET = Value("target")
BUDGET = Value("budget")
CURVES = Value("curves")
SELECTION = Value("point", many=True)
"""Selected points, each "RUN_ID@EPOCH"."""
COMPARED_RUNS = Value("run", many=True)
COMPARED_STUDIES = Value("with", many=True)
SKU = Value("sku")
HARDWARE = Value("on", many=True)
"""Accelerators to predict the frontier for."""
KNOB_X = Value("knobx")
KNOB_Y = Value("knoby")
STUDY_FILE = Value("file")

VALUES = tuple(value for value in globals().values() if isinstance(value, Value))


def forget_selection() -> None:
    """What is selected belongs to a study: with another one, nothing is."""
    for value in (SELECTION, TARGET, BUDGET, Y, COMPARED_RUNS, KNOB_X, KNOB_Y):
        value.set([])
        st.session_state.pop(f"view-{value.key}", None)


def forget_widgets() -> None:
    """To Streamlit the same widget on another page is another one, which begins with its default: seed them again."""
    for key in [str(key) for key in st.session_state if str(key).startswith("view-")]:
        del st.session_state[key]


def _memory() -> dict[str, list[str]]:
    memory: dict[str, list[str]] = st.session_state.setdefault(_MEMORY, {})
    return memory
