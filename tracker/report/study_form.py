"""A study file as a form: its values as the texts of fields, and a field's text back in its file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from tracker.errors import RequestError
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.knobs import Knob
from tracker.study.toml_text import edited, toml_value

MOST_BYTES = 1_000_000
"""Of a study file: beyond it lie other files."""
HOW_TO_SEARCH = "values such as 16, 32, 64, or a range such as 0.001 to 0.1, log or 1 to 9, step 2"
_HEAD = (
    ("name", "str", "name", "Its name: in MLflow, in every command, and of its folder"),
    ("seed", "int", "seed", "Decides what is random: the same seed, the same study; 0 where empty"),
)
_BUDGET = (
    ("budget.usd", "float", "US dollars", "The study ends when this is spent; no limit where empty"),
    ("budget.trials", "int", "trials", "At most so many trials are begun; no limit where empty"),
    ("budget.wall_seconds", "float", "seconds of work", "The study ends after so much work; no limit where empty"),
    (
        "budget.trial_seconds",
        "float",
        "seconds each",
        "An attempt at a trial that takes longer is ended; no limit where empty",
    ),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a study file: its place ("space.width"), what kind it has, its text, its label and what it means."""

    place: str
    kind: str
    text: str
    label: str
    help: str

    @property
    def searched(self) -> bool:
        """Whether its text gives what to search in."""
        return self.place.startswith("space.")


def read_study_text(name: str, data: bytes) -> str:
    """The text of an uploaded study file. Raises RequestError where it is none, StudyFileError where it is not TOML."""
    if len(data) > MOST_BYTES:
        raise RequestError(f"'{name}' has {len(data):,} bytes; a study file has at most {MOST_BYTES:,}")
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise RequestError(f"'{name}' is not UTF-8 text; a study is a TOML file") from None
    StudyDocument.parse(name, text)
    return text


def study_files(folder: Path) -> list[Path]:
    """The TOML files in a folder, by name. Raises RequestError where it is none that can be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.is_file())
    except OSError as error:
        raise RequestError(f"folder '{folder}' cannot be read: {error.strerror}") from None


def free_name(home: Home, name: str) -> str:
    """``name``, or with the first number behind it under which there is no study in the home."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, 10_000))
    return next(each for each in numbered if not home.study(each).exists())


def relative_paths(content: Mapping[str, Any]) -> list[str]:
    """The paths in a study that need a folder to begin at, as they are written."""
    script = str(content.get("workload", "")).rpartition(":")[0]
    pricing = content.get("pricing", {})
    prices = str(pricing.get("prices", "")) if isinstance(pricing, Mapping) else ""
    folder = [str(content.get("folder", "."))] if "command" in content else []
    paths = [*([script] if script.endswith(".py") else []), *([prices] if prices else []), *folder]
    return [path for path in paths if not PurePath(path).is_absolute()]


def head_fields(content: Mapping[str, Any]) -> list[Field]:
    """The study's name and its seed."""
    return [Field(place, kind, _shown(_at(content, place)), label, help_) for place, kind, label, help_ in _HEAD]


def budget_fields(content: Mapping[str, Any]) -> list[Field]:
    """What the study may use, and one attempt of it."""
    return [Field(place, kind, _shown(_at(content, place)), label, help_) for place, kind, label, help_ in _BUDGET]


def knob_fields(content: Mapping[str, Any], knobs: Mapping[str, Knob], table: str) -> list[Field]:
    """The knobs in [settings] or [space], in the file's order. ``knobs`` tells what they are, as far as it is known."""
    values = content.get(table, {})
    if not isinstance(values, Mapping):
        return []
    return [
        Field(
            f"{table}.{name}", knobs[name].kind if name in knobs else "any", _text(value), name, _help(knobs.get(name))
        )
        for name, value in values.items()
    ]


def other_knobs(content: Mapping[str, Any], knobs: Mapping[str, Knob], table: str) -> list[str]:
    """The knobs that are not in [settings] or [space] and could be put there."""
    there = content.get(table, {})
    return [name for name in knobs if not isinstance(there, Mapping) or name not in there]


def with_field(text: str, field: Field, given: str) -> str:
    """The file's text with what was given in a field; an empty one takes the value out of the file.

    Raises RequestError where a searched field has no values that can be read.
    """
    table, _, key = field.place.rpartition(".")
    place = (table, key) if table else (key,)
    if not given.strip():
        return edited(text, place, None)
    return edited(text, place, _domain(given, field) if field.searched else _scalar(given, field.kind))


def moved(text: str, name: str, knob: Knob, table: str) -> str:
    """The file's text with a knob in [settings] or [space] instead of the other of them, or of neither."""
    content = tomllib.loads(text)
    other = "settings" if table == "space" else "space"
    before = content.get(other, {}).get(name) if isinstance(content.get(other, {}), dict) else None
    value = _fixed_value(before, knob) if table == "settings" else _searched_values(before, knob)
    return edited(edited(text, (other, name), None), (table, name), value)


def _fixed_value(before: object, knob: Knob) -> object:
    if isinstance(before, Sequence) and not isinstance(before, str) and before:
        return before[0]
    if isinstance(before, Mapping) and "low" in before:
        return before["low"]
    return _likely(knob)


def _searched_values(before: object, knob: Knob) -> list[object]:
    if knob.kind == "bool":
        return [False, True]
    if knob.choices:
        return list(knob.choices)
    return [_likely(knob) if before is None else before]


def _likely(knob: Knob) -> object:
    """A value to begin with."""
    if knob.default is not None:
        return knob.default
    if knob.choices:
        return knob.choices[0]
    plain: dict[str, object] = {"int": int(knob.low or 0), "float": float(knob.low or 0), "bool": False}
    return plain.get(knob.kind, "")


def _at(content: Mapping[str, Any], place: str) -> Any:
    value: Any = content
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _help(knob: Knob | None) -> str:
    if knob is None:
        return "The training code has no knob of this name"
    unsaid = "" if knob.default is None else f"; {_shown(knob.default)} where empty"
    return f"{knob.help[:1].upper()}{knob.help[1:]}: {knob.allowed}{unsaid}"


def _shown(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else toml_value(value)


def _text(value: object) -> str:
    """A value or a domain as a person writes it, in TOML where that could be read as something else."""
    if isinstance(value, list) and value and not any(isinstance(each, list | dict) for each in value):
        texts = [_shown(each) for each in value]
        return toml_value(value) if any("," in text or " to " in text for text in texts) else ", ".join(texts)
    if (
        isinstance(value, Mapping)
        and value.keys() <= {"low", "high", "log", "step"}
        and {"low", "high"} <= value.keys()
    ):
        ways = [", log"] if value.get("log") is True else []
        ways += [f", step {_shown(value['step'])}"] if "step" in value else []
        return f"{_shown(value['low'])} to {_shown(value['high'])}{''.join(ways)}"
    return _shown(value)


def _domain(given: str, field: Field) -> object:
    if given.strip()[:1] in "[{":
        try:
            return tomllib.loads(f"value = {given}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise RequestError(f"{field.label}: {given.strip()!r} is not TOML: {error}") from None
    first, *ways = [part.strip() for part in given.split(",")]
    low, to, high = first.partition(" to ")
    if not to:
        return [_scalar(part, field.kind) for part in (first, *ways) if part]
    domain: dict[str, object] = {"low": _scalar(low, field.kind), "high": _scalar(high, field.kind)}
    for way in filter(None, ways):
        name, _, value = way.partition(" ")
        if way == "log":
            domain["log"] = True
        elif name == "step" and value:
            domain["step"] = _scalar(value, "any")
        else:
            raise RequestError(f"{field.label}: {way!r} says nothing about a range; allowed: {HOW_TO_SEARCH}")
    return domain


def _scalar(given: str, kind: str) -> object:
    """A value of a knob's kind where the text is one, else the text, which the checks then tell of."""
    text = given.strip()
    if kind == "str":
        return text
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if isinstance(value, str) and kind in ("int", "float"):
        try:
            return float(text)
        except ValueError:
            return text
    return value if isinstance(value, bool | int | float | str) else text
