"""What is different between studies: what their files say, what they ran on, and what was tried of each setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from tracker.records import Role
from tracker.report.comparison import differing, settings_tried
from tracker.report.sides import Side
from tracker.report.words import NOTHING, setting
from tracker.store.run_table import StudyTable

_NOT_A_DIFFERENCE = ("name", "smoke")
"""Keys of a study's file that say nothing of what was run."""
_PROVENANCE = {"data": "fingerprint of the data", "commit": "commit of the code", "versions": "versions"}
MOST_TEXTS = 4


def changes_table(sides: Sequence[Side]) -> pd.DataFrame:
    """What differs between the sides, one row each, a column a side, all texts.

    Rows are the study files' keys, dotted (space.size, settings.epochs, budget.usd, strategy, …), then "data",
    "hardware", "billed as", "price book", and what the study recorded of its data, code and versions. A group has each
    of its values once. Where the file of any study is not known, only what all of them recorded is compared.
    """
    known = all(said for side in sides for said in side.descriptions)
    texts = {
        side.name: _joined([_facts(table, said if known else {}) for table, said in _studies(side)]) for side in sides
    }
    return differing(texts)[0]


def tried_table(sides: Sequence[Side]) -> pd.DataFrame:
    """The settings that the sides' trials had and that differ: a value, or what was tried of it; a column a side."""
    return differing({side.name: settings_tried(*side.tables) for side in sides})[0]


def group_remarks(sides: Sequence[Side]) -> list[str]:
    """A sentence for each group whose studies differ in more than the seed: their scatter is not of the seed alone."""
    remarks = []
    for side in sides:
        each = {table.study: _facts(table, said) for table, said in _studies(side)}
        keys = [str(key) for key in differing(each)[0].index if key != "seed"] if len(each) > 1 else []
        if keys:
            more = f" and {len(keys) - MOST_TEXTS} more" if len(keys) > MOST_TEXTS else ""
            flat = f"{', '.join(keys[:MOST_TEXTS])}{more}"
            remarks.append(f"the studies of {side.name} differ in more than the seed ({flat}), which widens intervals")
    return remarks


def _studies(side: Side) -> Iterator[tuple[StudyTable, Mapping[str, Any]]]:
    yield from zip(side.tables, side.descriptions, strict=True)


def _facts(table: StudyTable, said: Mapping[str, Any]) -> dict[str, str]:
    """What is known of a study as texts: its file, then what it ran on and was billed by."""
    trials = table.runs[(table.runs["role"] == Role.TRIAL).to_numpy()]
    kept = {key: value for key, value in said.items() if key not in _NOT_A_DIFFERENCE}
    flat = dict(_flat(kept))
    if not said:
        flat = {name: table.provenance.get(name, NOTHING) for name in ("workload", "strategy", "seed")}
        flat["budget.usd"] = NOTHING if table.budget_usd is None else setting(table.budget_usd)
    billed = trials[["sku", "market", "region"]].drop_duplicates()
    return {
        **flat,
        "data": table.data or NOTHING,
        "hardware": _several(trials["hardware"]),
        "billed as": _several(billed.apply(lambda row: ", ".join(filter(None, map(str, row))), axis=1)),
        "price book": table.price_book or NOTHING,
        **{words: table.provenance.get(name, NOTHING) for name, words in _PROVENANCE.items()},
    }


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The values of nested tables by their dotted keys; a range or a list of choices is one value."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and not _is_range(value):
            yield from _flat(value, f"{name}.")
        else:
            yield name, _value(value)


def _is_range(value: Mapping[str, Any]) -> bool:
    return "low" in value and "high" in value


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        scale = ", logarithmic" if value.get("log") else ""
        return f"{setting(value['low'])} to {setting(value['high'])}{scale}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return setting(value)


def _several(values: pd.Series[str]) -> str:
    distinct = [text for text in dict.fromkeys(values.tolist()) if text]
    more = f" and {len(distinct) - MOST_TEXTS} more" if len(distinct) > MOST_TEXTS else ""
    return f"{'; '.join(distinct[:MOST_TEXTS])}{more}" if distinct else NOTHING


def _joined(studies: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Several studies' texts as one: where they differ, each once."""
    keys = dict.fromkeys(key for each in studies for key in each)
    return {key: "; ".join(dict.fromkeys(each.get(key, NOTHING) for each in studies)) for key in keys}
