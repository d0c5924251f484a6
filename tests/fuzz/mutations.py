"""Right files made wrong: a text with characters or lines changed, a value with parts replaced."""

from __future__ import annotations

import copy
import json

from hypothesis import strategies as st

ODD_TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "\x00",
            "#",
            "=",
            "[",
            "]",
            "[[",
            "{",
            "}",
            '"',
            "'''",
            "\\",
            ",",
            "\n",
            "\r",
            "nan",
            "-inf",
            "1e999",
        ),
        *(
            "-1",
            "0",
            "null",
            "true",
            "9" * 400,
            "é",
            "🦊",
            "e\u0301",
            "../",
            "%2e",
            "<b>",
            "=cmd()",
            "[" * 2000,
            "\ufeff",
        ),
    ]
)
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**400, -0.0, 1e308, -1e308, 1e-320, float("nan"), float("inf")]),
    st.integers(),
    st.floats(),
    ODD_TEXTS,
    st.text(max_size=8),
    st.sampled_from([[], {}, [[]], [None], {"": None}, [1, "a", None], {"low": 1, "high": 0}, {"event": 1}]),
)


@st.composite
def changed_text(draw, texts):
    """One of ``texts`` with one to four changes: cut, put in, lines repeated, swapped or left out, cut short."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        lines = text.splitlines(keepends=True) or [""]
        one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "put", "put", "double", "swap", "drop", "short"])):
            case "cut":
                text = text[:at] + text[at + draw(st.integers(1, 30)) :]
            case "put":
                text = text[:at] + draw(ODD_TEXTS) + text[at:]
            case "double":
                text = "".join([*lines[: one + 1], *lines[one:]])
            case "swap":
                lines[one], lines[other] = lines[other], lines[one]
                text = "".join(lines)
            case "drop":
                text = "".join([*lines[:one], *lines[one + 1 :]])
            case "short":
                text = text[:at]
    return text


@st.composite
def changed_value(draw, value):
    """A JSON value with one to three of its parts replaced, left out or renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        holder, key = draw(st.sampled_from(places)) if places else (None, None)
        match draw(st.sampled_from(["replace", "replace", "replace", "leave out", "rename"])):
            case "replace" if holder is not None:
                holder[key] = copy.deepcopy(draw(ODD_VALUES))  # else a value could come to hold itself
            case "leave out" if holder is not None:
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.text(max_size=6))] = holder.pop(key)
    return value


def _places(value):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(pairs):
        yield value, key
        yield from _places(each)


def as_json(value):
    """A value as JSON, NaN and infinity as Python writes them."""
    return json.dumps(value)
