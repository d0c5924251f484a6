"""A study file as a form: values as texts of fields, and texts of fields back into the file."""

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
"""The most bytes of a study file: larger files are something else."""
HOW_TO_SEARCH = "values such as 16, 32, 64, or a range such as 0.001 to 0.1, log or 1 to 9, step 2"
_HEAD = (
    ("name", "str", "name", "The study's name in MLflow and in commands, and the name of its folder"),
    ("seed", "int", "seed", "Seeds all randomness: the same seed gives the same study; 0 if empty"),
)
_BUDGET = (
    ("budget.usd", "float", "US dollars", "The study ends when this is spent; no limit if empty"),
    ("budget.trials", "int", "trials", "The most trials that start; no limit if empty"),
    ("budget.wall_seconds", "float", "seconds of work", "The study ends after this much work; no limit if empty"),
    (
        "budget.trial_seconds",
        "float",
        "seconds each",
        "An attempt that takes longer is stopped; no limit if empty",
    ),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a study file: its place ("space.width"), kind, text, label and help."""

    place: str
    kind: str
    text: str
    label: str
    help: str

    @property
    def searched(self) -> bool:
        """Whether its text is a search domain."""
        return self.place.startswith("space.")


def read_study_text(name: str, data: bytes) -> str:
    """The text of an uploaded study file. Raises RequestError, and StudyFileError for invalid TOML."""
    if len(data) > MOST_BYTES:
        raise RequestError(f"'{name}' has {len(data):,} bytes; a study file has at most {MOST_BYTES:,}")
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise RequestError(f"'{name}' is not UTF-8 text; a study is a TOML file") from None
    StudyDocument.parse(name, text)
    return text


def study_files(folder: Path) -> list[Path]:
    """The TOML files in a folder, by name. Raises RequestError where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.is_file())
    except OSError as error:
        raise RequestError(f"folder '{folder}' cannot be read: {error.strerror}") from None


def free_name(home: Home, name: str) -> str:
    """``name``, or with the first number appended that no study in the home has."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, 10_000))
    return next(each for each in numbered if not home.study(each).exists())


def relative_paths(content: Mapping[str, Any]) -> list[str]:
    """The relative paths in a study, as written."""
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
    """The limits of the study, and of one attempt."""
    return [Field(place, kind, _shown(_at(content, place)), label, help_) for place, kind, label, help_ in _BUDGET]


def knob_fields(content: Mapping[str, Any], knobs: Mapping[str, Knob], table: str) -> list[Field]:
    """The knobs in [settings] or [space], in the file's order. ``knobs`` are their known descriptions."""
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
    """The knobs that could be added to [settings] or [space]."""
    there = content.get(table, {})
    return [name for name in knobs if not isinstance(there, Mapping) or name not in there]


def with_field(text: str, field: Field, given: str) -> str:
    """The file's text with the value given in a field; an empty one removes it.

    Raises RequestError where a searched field has no values that can be read.
    """
    table, _, key = field.place.rpartition(".")
    place = (table, key) if table else (key,)
    if not given.strip():
        return edited(text, place, None)
    return edited(text, place, _domain(given, field) if field.searched else _scalar(given, field.kind))


def moved(text: str, name: str, knob: Knob, table: str) -> str:
    """The file's text with a knob moved into [settings] or [space]."""
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
    """An initial value."""
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
        return "The training code has no knob with this name"
    default = "" if knob.default is None else f"; {_shown(knob.default)} if empty"
    return f"{knob.help[:1].upper()}{knob.help[1:]}: {knob.allowed}{default}"


def _shown(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else toml_value(value)


def _text(value: object) -> str:
    """A value or a domain in the form's notation, in TOML where that is ambiguous."""
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
            raise RequestError(f"{field.label}: {way!r} is not part of a range; allowed: {HOW_TO_SEARCH}")
    return domain


def _scalar(given: str, kind: str) -> object:
    """A value of a knob's kind if the text is one, else the text, which the checks then report."""
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
