"""The studies that pages show, read once for all who look: as they were billed, or under the scenario of the view."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import streamlit as st

from dashboard import view
from tracker.pricing.currency import USD, exchange_rate
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario_text
from tracker.report.repricing import reprice
from tracker.runner.study_lookup import StudyList, studies_of
from tracker.runner.study_reading import HomeStudyReader
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

_MOST_REPRICED = 16
_FRESH_SECONDS = 0.5
"""How long a study that was read stands for what it is now: the parts of a page ask for it one after the other.

One that takes longer to read stands for as long as that took.
"""


class _Readers:
    """One reader a study, shared by all sessions: a study is read again only where it has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[tuple[str, str], tuple[HomeStudyReader, float, StudyTable | None]] = {}  # and fresh until
        self._repriced: dict[tuple[str, str, str], tuple[StudyTable, StudyTable]] = {}

    def table(self, place: Home, study: str) -> StudyTable:
        """The study as it was billed. Raises StudyNotFoundError, StoreError."""
        with self._lock:
            key = (place.tracking_uri, study)
            reader, fresh_until, table = self._readers.get(key, (HomeStudyReader(place, study), -math.inf, None))
        asked_at = time.monotonic()
        if table is None or asked_at > fresh_until:
            table = reader.read()
            read_at = time.monotonic()
            with self._lock:
                self._readers[key] = reader, read_at + max(_FRESH_SECONDS, read_at - asked_at), table
        return table

    def repriced(self, place: Home, billed: StudyTable, scenario: Scenario, currency: str) -> StudyTable:
        """``billed`` under a scenario; worked out once for each."""
        key = (billed.study, repr(scenario), currency)
        with self._lock:
            known = self._repriced.get(key)
        if known is not None and known[0] is billed:
            return known[1]
        book = place.price_book(billed.prices_file)
        shown = replace(billed, currency=exchange_rate(currency, book.exchange_rates, scenario.as_of))
        table = shown if scenario.is_empty else reprice(shown, scenario, book)
        with self._lock:
            self._repriced[key] = billed, table
            while len(self._repriced) > _MOST_REPRICED:
                self._repriced.pop(next(iter(self._repriced)))
        return table


@st.cache_resource
def _readers() -> _Readers:
    return _Readers()


def home() -> Home:
    """The home that the dashboard shows: TRACKER_HOME, else ./results."""
    return Home.find()


def listed() -> StudyList:
    """Every study that can be read, newest first. Raises StoreError."""
    return studies_of(home())


def scenario() -> Scenario:
    """The price scenario of the view; AS_BILLED without one. Raises ScenarioError."""
    return read_scenario_text(view.SCENARIO.get(), "the scenario of this link")


def billed_table(study: str) -> StudyTable:
    """A study at the prices that were billed. Raises StudyNotFoundError, StoreError."""
    return _readers().table(home(), study)


def study_table(study: str) -> StudyTable:
    """A study at the prices of the view. Raises what ``billed_table``, ``scenario`` and ``reprice`` raise."""
    billed, chosen, currency = billed_table(study), scenario(), view.CURRENCY.get()
    if chosen.is_empty and currency == USD.code:
        return billed
    return _readers().repriced(home(), billed, chosen, currency)
