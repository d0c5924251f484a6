"""Every key of a study file."""

from __future__ import annotations

from docs.generator.markdown import code, plain, table
from tracker.study.keys import TABLE_KEYS, TOP_KEYS
from tracker.study.knobs import COMMON_KNOBS

_HEAD = ["key", "takes", "default", "meaning"]


def study_file() -> str:
    """A section for the top of the file, and one a table."""
    sections = [("The top of the file", TOP_KEYS), *((f"`[{name}]`", keys) for name, keys in TABLE_KEYS.items())]
    return "\n".join(
        f"## {title}\n\n"
        + table(
            _HEAD,
            ([code(name), plain(key.takes), plain(key.default), plain(key.help)] for name, key in keys.items()),
        )
        for title, keys in sections
    )


def hardware_knobs() -> str:
    """The knobs that every workload has."""
    rows = (
        [code(name), plain(knob.allowed), _default(knob.default), plain(knob.help)]
        for name, knob in COMMON_KNOBS.items()
    )
    return table(["knob", "takes", "default", "meaning"], rows)


def _default(value: object) -> str:
    return "worked out where the trial runs" if value is None else str(value).lower()
