"""Reading a study of a home: from MLflow, and from the study's events where MLflow is behind or cannot be read."""

from __future__ import annotations

import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tracker.databases.addresses import shown_url
from tracker.errors import BehindWarning, StoreError
from tracker.runner.event_study import events_source
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.store.home import Home
from tracker.store.run_table import StudyReader, StudyTable

Answer = TypeVar("Answer")
_SLOW_SECONDS = 5.0
"""A store that took longer than this to fail did not answer at all: MLflow's client waits ten seconds."""
_slow: dict[str, tuple[float, StoreError]] = {}
"""Of stores that took long to fail: until when they are not asked again, by time.monotonic, and what they said."""


class HomeStudyReader:
    """Reads one study of a home, again and again; see StudyReader. What it returns says in ``notice`` what it lacks."""

    def __init__(self, home: Home, name: str) -> None:
        self._home = home
        self._folder = StudyFolder(home.study(name))
        self._notes = StudyNotes(self._folder.path)
        self._logged = StudyReader(home.tracking_uri, name, home.cache if home.path.is_dir() else None, home.path)
        self._events = StudyReader(events_source(self._folder), name, None, home.path)
        self._last: tuple[StudyTable, StudyTable] | None = None

    def read(self) -> StudyTable:
        """The study as it is now; the same table as the last time where nothing has changed.

        Raises StudyNotFoundError, and StoreError where MLflow cannot be read and the study has no events here.
        """
        readable = bool(self._notes.tags())
        if readable and (entries := self._notes.behind()):
            return self._by_events(self._behind(entries))
        try:
            return asked(self._home.tracking_uri, self._logged.read)
        except StoreError as error:
            if not readable:
                raise
            return self._by_events(f"{_in_a_line(error)}; events are read instead")

    def _by_events(self, notice: str) -> StudyTable:
        table = self._events.read()
        if self._last is None or self._last[0] is not table or self._last[1].notice != notice:
            self._last = table, replace(table, notice=notice)
        return self._last[1]

    def _behind(self, entries: int) -> str:
        name = str(self._folder.document().content["name"])
        lacks = f"{entries:,} value{'' if entries == 1 else 's'}"
        there = self._folder.coordinator() is None
        how = f"`tracker sync {shlex.quote(name)}` delivers them" if there else "its coordinator delivers them later"
        uri = shown_url(self._home.tracking_uri)
        return f"MLflow at '{uri}' is behind by {lacks} of study '{name}': its events are read instead; {how}"


def asked(uri: str, read: Callable[[], Answer]) -> Answer:
    """What ``read`` reads of the MLflow store at an address.

    A store that took long to fail is left alone for as long: many studies are read one after the other. Raises what
    ``read`` raises.
    """
    began = time.monotonic()
    until, problem = _slow.get(uri, (began, None))
    if problem is not None and began < until:
        raise StoreError(str(problem))
    try:
        return read()
    except StoreError as error:
        now = time.monotonic()
        if now - began > _SLOW_SECONDS:
            _slow[uri] = now + (now - began), error
        raise


def warn(notice: str) -> None:
    """Say something to whoever reads by the command or from Python; nothing where there is nothing to say."""
    if notice:
        warnings.warn(notice, BehindWarning, stacklevel=1)  # from one place: Python shows each sentence once


def _in_a_line(error: StoreError) -> str:
    return " ".join(str(error).splitlines())
