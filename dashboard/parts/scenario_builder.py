"""A form for a price scenario: each change re-prices at once, and problems are shown in place.

What the form says is checked as a file is. The scenario lives in the URL (view.SCENARIO) as long as nothing is wrong;
the form's fields live in the session, under keys that begin with PREFIX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

from dashboard import view
from dashboard.text import literal
from tracker.errors import RequestError
from tracker.pricing.price_book import PriceBook
from tracker.pricing.rate_change import AMOUNTS, PARTS, RateChange
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.pricing.scenario_file import read_scenario_text, scenario_of
from tracker.pricing.scenario_writing import compact_scenario_toml
from tracker.records import CostPart, Market
from tracker.study.costs import ASSUMPTIONS

PREFIX = "what-if"
BILLED, ANY = "as billed", "any"
_TEXT = f"{PREFIX}-text"
"""What of the URL the form shows."""
_PLACES = f"{PREFIX}-changes"
"""The number of each change, which its fields' keys have."""
_AMOUNT_WORDS: Mapping[str, str] = {
    "factor": "times",
    "usd_per_hour": "$ an hour",
    "usd_per_accelerator_hour": "$ an hour, per chip",
    "decline_per_year": "lower per year by",
}
_AMOUNT_LABELS: Mapping[str, str] = {
    "factor": "Factor",
    "usd_per_hour": "US dollars",
    "usd_per_accelerator_hour": "US dollars",
    "decline_per_year": "Share, 0.2 for 20 %",
}
_FIRST_AMOUNT: Mapping[str, float] = {"factor": 1.0, "decline_per_year": 0.2}
_DAYS = (date(1990, 1, 1), date(2199, 12, 31))
"""The days that a calendar goes to; what there are rates of is said where they are asked for."""
_WHOM = ("provider", "accelerator", "sku", "market")


def scenario_builder(book: PriceBook) -> None:
    """Draw the form; ``book`` has the names to choose from."""
    text = view.SCENARIO.get()
    if st.session_state.get(_TEXT) != text or _key("name") not in st.session_state:
        _fill(_readable(text))
        st.session_state[_TEXT] = text
    _top(book)
    for place in st.session_state[_PLACES]:
        _change(place, book)
    st.button("Add a change of prices", icon=":material/add:", on_click=_add_change, key=_key("add"))
    _costs()


def _readable(text: str) -> Scenario:
    try:
        return read_scenario_text(text)
    except RequestError:
        return AS_BILLED


def _top(book: PriceBook) -> None:
    regions = sorted({point.region for point in book.points} - {""})
    _text("Name", "name", placeholder="such as: price war")
    left, right = st.columns(2)
    with left:
        _choice("Market", "market", list(Market), BILLED)
        _day("Prices of the day", "as_of", "Empty: as billed")
    with right:
        _choice("Region", "region", regions, BILLED)
        chosen = st.session_state[_key("sku")]
        st.multiselect(
            "Billed as",
            sorted({*book.skus, *chosen}),
            key=_key("sku"),
            on_change=_apply,
            placeholder="the same machines",
            help="Each for runs on its own kind of device: a time on another one would be a prediction.",
        )
    _problems({name: value for name, value in _content().items() if name not in ("change", "costs")})


def _change(place: int, book: PriceBook) -> None:
    with st.container(border=True, key=_key("change", place)):
        head, remove = st.columns([5, 1], vertical_alignment="center")
        with head:
            _choice("What", "part", [part for part in PARTS if part != CostPart.COMPUTE], CostPart.COMPUTE, place)
        remove.button(
            "",
            icon=":material/delete:",
            help="Remove this change",
            key=_key("remove", place),
            on_click=_remove,
            args=(place,),
        )
        left, right = st.columns(2)
        with left:
            _choice("of provider", "provider", sorted({point.provider for point in book.points}), ANY, place)
            _choice("of SKU", "sku", book.skus, ANY, place)
        with right:
            _choice("of accelerator", "accelerator", book.accelerators, ANY, place)
            _choice("in market", "market", list(Market), ANY, place)
        left, right = st.columns([3, 2])
        with left:
            st.selectbox(
                "becomes",
                AMOUNTS,
                format_func=_AMOUNT_WORDS.__getitem__,
                key=_key("how", place),
                on_change=_change_how,
                args=(place,),
            )
        how = st.session_state[_key("how", place)]
        with right:
            st.number_input(_AMOUNT_LABELS[how], format="%g", step=0.05, key=_key("amount", place), on_change=_apply)
        if how == "decline_per_year":
            left, right = st.columns(2)
            with left:
                _day("from", "since", "Empty: from the day of each rate", place)
            with right:
                _day("until", "until", "The last day of the decline", place)
        _problems({"change": [_entry(place)]})


def _costs() -> None:
    with st.expander("Assumptions about costs", expanded=bool(st.session_state[_key("terms")])):
        st.multiselect(
            "Instead of the study's own", list(ASSUMPTIONS), key=_key("terms"), on_change=_apply, placeholder="none"
        )
        for name in st.session_state[_key("terms")]:
            knob, key = ASSUMPTIONS[name].knob, _key("term", name)
            st.session_state.setdefault(key, knob.default)
            if knob.kind == "bool":
                st.toggle(name, key=key, on_change=_apply, help=knob.help)
            else:
                st.number_input(name, key=key, on_change=_apply, help=knob.help, format="%g", step=0.01)
        _problems({"costs": _content().get("costs", {})})


def _problems(content: Mapping[str, Any]) -> None:
    """What is wrong with a part of the form, by the checks of a file."""
    for problem in scenario_of(content)[1]:
        st.error(literal(problem), icon=":material/error:")


def _text(label: str, name: str, placeholder: str) -> None:
    st.text_input(label, key=_key(name), on_change=_apply, placeholder=placeholder)


def _choice(label: str, name: str, options: Sequence[str], none: str, place: int | None = None) -> None:
    """A choice among names, ``none`` first; a name that the book does not know, as a link may have, is one too."""
    key = _key(name, place)
    known = [none, *map(str, options)]
    given = st.session_state[key]
    st.selectbox(label, known if given in known else [*known, given], key=key, on_change=_apply)


def _day(label: str, name: str, help_: str, place: int | None = None) -> None:
    st.date_input(label, None, *_DAYS, key=_key(name, place), on_change=_apply, help=help_, format="YYYY-MM-DD")


def _key(name: str, place: int | str | None = None) -> str:
    return f"{PREFIX}-{name}" if place is None else f"{PREFIX}-{place}-{name}"


def _fill(scenario: Scenario) -> None:
    """Put a scenario into the fields."""
    state = st.session_state
    state[_key("name")] = scenario.name
    state[_key("market")] = str(scenario.market or BILLED)
    state[_key("region")] = scenario.region or BILLED
    state[_key("as_of")] = _in_calendar(scenario.as_of)
    state[_key("sku")] = list(scenario.skus)
    state[_key("terms")] = list(scenario.terms)
    for name, value in scenario.terms.items():
        state[_key("term", name)] = value if isinstance(value, bool) else float(value)
    state[_PLACES] = list(range(len(scenario.changes)))
    for place, change in enumerate(scenario.changes):
        _fill_change(place, change)


def _fill_change(place: int, change: RateChange) -> None:
    state = st.session_state
    how = next(name for name in AMOUNTS if getattr(change, name) is not None)
    state[_key("part", place)] = str(change.part)
    for name in _WHOM:
        state[_key(name, place)] = getattr(change, name) or ANY
    state[_key("how", place)] = how
    state[_key("amount", place)] = float(getattr(change, how))
    for name in ("since", "until"):
        state[_key(name, place)] = _in_calendar(getattr(change, name))


def _in_calendar(day: date | None) -> date | None:
    return None if day is None else min(max(day, _DAYS[0]), _DAYS[1])


def _content() -> dict[str, Any]:
    """What the form says, as a file would."""
    state = st.session_state
    content: dict[str, Any] = {"name": state[_key("name")].strip()}
    for name in ("market", "region"):
        if state[_key(name)] != BILLED:
            content[name] = state[_key(name)]
    if state[_key("as_of")] is not None:
        content["as_of"] = state[_key("as_of")]
    if state[_key("sku")]:
        content["sku"] = list(state[_key("sku")])
    if changes := [_entry(place) for place in state[_PLACES]]:
        content["change"] = changes
    if terms := {name: state.get(_key("term", name), ASSUMPTIONS[name].knob.default) for name in state[_key("terms")]}:
        content["costs"] = terms
    return content


def _entry(place: int) -> dict[str, Any]:
    """A change as a table of a file."""
    state = st.session_state
    how = state[_key("how", place)]
    entry = {name: state[_key(name, place)] for name in _WHOM if state[_key(name, place)] != ANY}
    if state[_key("part", place)] != CostPart.COMPUTE:
        entry["part"] = state[_key("part", place)]
    entry[how] = state[_key("amount", place)]
    days = {name: state.get(_key(name, place)) for name in ("since", "until")} if how == "decline_per_year" else {}
    return {**entry, **{name: day for name, day in days.items() if day is not None}}


def _apply() -> None:
    """Take what the form says as the scenario of the view, unless something is wrong with it."""
    scenario, problems = scenario_of(_content())
    if not problems:
        st.session_state[_TEXT] = compact_scenario_toml(scenario)
        view.SCENARIO.set(st.session_state[_TEXT])


def _add_change() -> None:
    places = st.session_state[_PLACES]
    place = max(places, default=-1) + 1
    _fill_change(place, RateChange(factor=1.0))
    st.session_state[_PLACES] = [*places, place]
    _apply()


def _remove(place: int) -> None:
    st.session_state[_PLACES] = [each for each in st.session_state[_PLACES] if each != place]
    _apply()


def _change_how(place: int) -> None:
    """Another kind of amount begins with a value that suits it."""
    state, how = st.session_state, st.session_state[_key("how", place)]
    state[_key("amount", place)] = _FIRST_AMOUNT.get(how, 1.0)
    if how == "decline_per_year" and state.get(_key("until", place)) is None:
        state[_key("until", place)] = date.today().replace(year=date.today().year + 2, day=1)
    _apply()
