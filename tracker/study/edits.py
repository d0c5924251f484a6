"""Edits of a study's file since the study was started, and which of them can be applied."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracker.errors import RequestError
from tracker.study.document import StudyDocument

Place = tuple[str, ...]

CHANGEABLE: tuple[Place, ...] = (
    ("budget",),
    ("pricing",),
    ("tags",),
    ("engine",),
    ("search", "sampler"),
    ("search", "options"),
    ("search", "disk_limit_gb"),
    ("search", "least_growth"),
)
"""What may change in a started study: not what its trials mean, nor how they are compared."""
CHANGEABLE_WORDS = (
    "[budget], [pricing], [tags], [engine], and of [search] sampler, options, disk_limit_gb and least_growth"
)
_NOT_COMPARED = "smoke"
"""The table that stands in the file for another study; a study that was made from it has it in its own values."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Edit:
    """A value that differs: its place, what it was when the study was started and what it is now."""

    place: Place
    before: object
    now: object

    @property
    def may_change(self) -> bool:
        """Whether it can be applied to a started study."""
        return any(self.place[: len(table)] == table for table in CHANGEABLE)

    def __str__(self) -> str:
        """As a line: its dotted key, the old value and the new one."""
        return f"{'.'.join(self.place)}: {_shown(self.before)} → {_shown(self.now)}"


def to_resume(stored: StudyDocument, notify: Callable[[str], None], *, update: bool = False) -> StudyDocument:
    """The study to resume: as stored, or with ``update`` as its file is now. ``notify`` receives the differences.

    Problems of an updated study are those of the file. Raises RequestError where an update is asked for and the file
    is not there, or has edits that a study which was started cannot take; StudyFileError where it is not TOML.
    """
    if stored.file is None:
        if update:
            raise RequestError("--update: the file that the study was started from is unknown; give options instead")
        return stored
    try:
        now = StudyDocument.read(Path(stored.file.path))
        now = now.smoke() if stored.file.smoke else now
    except RequestError as error:
        if update:
            raise
        notify(f"{error}; the study's stored copy is used")
        return stored
    edits = tuple(_edits(_plain(stored.file.content), _plain(now.content)))
    if update:
        return _updated(stored, now, edits, notify)
    if edits:
        notify(_edited(now.source, edits, str(stored.content.get("name"))))
    return stored


def _updated(
    stored: StudyDocument, now: StudyDocument, edits: Sequence[Edit], notify: Callable[[str], None]
) -> StudyDocument:
    refused = [edit for edit in edits if not edit.may_change]
    if refused:
        name = shlex.quote(str(stored.content.get("name")))
        raise RequestError(
            f"--update: '{now.source}' has edits that cannot be applied to a started study:{_listed(refused)}\n"
            f"allowed: {CHANGEABLE_WORDS}; for the rest start another study (`tracker run` with another --name;"
            f" --from {name} learns from this one)"
        )
    content = _plain(stored.content)
    for edit in edits:
        _put(content, edit.place, edit.now)
    notify(f"applied from '{now.source}':{_listed(edits)}" if edits else f"'{now.source}' has no edits to apply")
    return replace(now, content=content)


def _edited(source: str, edits: Sequence[Edit], name: str) -> str:
    """The message on resuming a study whose file was edited."""
    remedy = f"`tracker resume {shlex.quote(name)} --update` applies the edits"
    if refused := sum(not edit.may_change for edit in edits):
        remedy = f"{refused} of these edits cannot be applied to a started study ({CHANGEABLE_WORDS} can)"
    head = f"'{source}' was edited since the study was started, and the stored copy is used; {remedy}"
    return f"{head}:{_listed(edits)}"


def _listed(edits: Sequence[Edit]) -> str:
    return "".join(f"\n  {edit}" for edit in edits)


def _edits(before: Any, now: Any, place: Place = ()) -> Iterator[Edit]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() | now.keys()):
            if place or key != _NOT_COMPARED:
                yield from _edits(before.get(key, _ABSENT), now.get(key, _ABSENT), (*place, key))
    elif before is _ABSENT and isinstance(now, Mapping):
        yield from _edits({}, now, place)
    elif now is _ABSENT and isinstance(before, Mapping):
        yield from _edits(before, {}, place)
    elif before != now or isinstance(before, bool) is not isinstance(now, bool):
        yield Edit(place, before, now)


def _put(content: dict[str, Any], place: Place, value: object) -> None:
    for key in place[:-1]:
        if not isinstance(content.get(key), dict):
            content[key] = {}
        content = content[key]
    if value is _ABSENT:
        content.pop(place[-1], None)
    else:
        content[place[-1]] = value


def _plain(content: Mapping[str, Any]) -> Any:
    """A file's content as it is stored: a date is its text."""
    return json.loads(json.dumps(content, default=str))


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
