"""The price table's columns, and the keys of files with rates of one's own, with scenarios, and with machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from docs.generator.markdown import code, plain, table
from tracker.imports.machines import MAP_KEYS
from tracker.pricing.price_point import COLUMNS, QUALITIES
from tracker.pricing.price_table import COLUMN_HELP
from tracker.pricing.scenario_file import CHANGE_DAYS, CHANGE_KEYS, SCENARIO_KEYS
from tracker.pricing.user_rates import NEEDED_KEYS, RATE_DATES, RATE_KEYS
from tracker.study.knobs import Knob


def price_files() -> str:
    """All of them, a section each."""
    parts = [
        "## Rates of your own: `prices.toml`\n",
        *(f"### `[[{name}]]`\n\n{_keys(RATE_KEYS[name], RATE_DATES[name], NEEDED_KEYS[name])}" for name in RATE_KEYS),
        "## A scenario\n",
        table(["key", "meaning"], ([code(name), plain(text)] for name, text in SCENARIO_KEYS.items())),
        f"### `[[change]]`\n\n{_keys(CHANGE_KEYS, CHANGE_DAYS, ())}",
        f"## Which run used which machine\n\n### `[[map]]`\n\n{_keys(MAP_KEYS, {}, ('sku',))}",
        "## The price book: `prices.csv`\n",
        table(["column", "meaning"], ([code(name), plain(COLUMN_HELP[name])] for name in COLUMNS)),
        "The column `quality` says how far a rate can be trusted:\n",
        table(["quality", "meaning"], ([code(name), plain(text)] for name, text in QUALITIES.items())),
    ]
    return "\n".join(parts)


def _keys(knobs: Mapping[str, Knob], days: Mapping[str, str], needed: Iterable[str]) -> str:
    rows = [
        [code(name), plain(knob.allowed), _default(name, knob, needed), plain(knob.help)]
        for name, knob in knobs.items()
    ]
    rows += [
        [code(name), "a day, such as 2026-07-20", "required" if name in needed else "", text]
        for name, text in days.items()
    ]
    return table(["key", "takes", "default", "meaning"], rows)


def _default(name: str, knob: Knob, needed: Iterable[str]) -> str:
    return "required" if name in needed else "" if knob.default in (None, "") else str(knob.default)
