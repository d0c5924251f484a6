"""A study file as it was read: TOML, with the values that the command line puts in its place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.errors import RequestError, StudyFileError
from tracker.study.toml_file import read_toml


@dataclass(frozen=True, slots=True)
class StudyDocument:
    """A study file as read, before it is checked; ``source`` and ``text`` serve the messages."""

    source: str
    content: Mapping[str, Any]
    text: str = ""

    @classmethod
    def read(cls, path: Path) -> StudyDocument:
        """Read a TOML file. Raises RequestError where there is none, StudyFileError where it is not TOML."""
        content, text = read_toml(path, "study file", lambda reason: StudyFileError(str(path), [reason]))
        return cls(str(path), content, text).anchored(path.parent)

    def anchored(self, folder: Path) -> StudyDocument:
        """The same document with the path of its price file, below ``folder``, made absolute: found from anywhere."""
        pricing = self.content.get("pricing")
        if not isinstance(pricing, Mapping) or not isinstance(pricing.get("prices"), str) or not pricing["prices"]:
            return self
        prices = str((folder / pricing["prices"]).resolve())
        return StudyDocument(self.source, {**self.content, "pricing": {**pricing, "prices": prices}}, self.text)

    def override(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        seed: int | None = None,
        budget_usd: float | None = None,
        trials: int | None = None,
    ) -> StudyDocument:
        """The same document with knobs fixed and values replaced; None leaves the file's value."""
        content = {key: dict(value) if isinstance(value, Mapping) else value for key, value in self.content.items()}
        for table, key, value in (
            ("", "name", name),
            ("", "seed", seed),
            ("budget", "usd", budget_usd),
            ("budget", "trials", trials),
            *(("settings", knob, value) for knob, value in (settings or {}).items()),
        ):
            place = content.setdefault(table, {}) if table else content
            if value is not None and isinstance(place, dict):
                place[key] = value
        if isinstance(space := content.get("space"), dict):
            content["space"] = {knob: domain for knob, domain in space.items() if knob not in (settings or {})}
        return StudyDocument(self.source, content, self.text)


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """Knobs and values from "knob=value" texts, each value as TOML reads it, else as text. Raises RequestError."""
    settings = {}
    for assignment in assignments:
        knob, equals, raw = assignment.partition("=")
        if not equals or not knob.strip():
            raise RequestError(f"--set '{assignment}' is not of the form knob=value")
        settings[knob.strip()] = _parse_value(raw.strip())
    return settings


def _parse_value(raw: str) -> object:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
