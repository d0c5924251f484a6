"""The domains that a search draws a knob's value from."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.records import SettingValue
from tracker.study.knobs import Knob


@dataclass(frozen=True, slots=True)
class Choices:
    """Any of these values."""

    values: tuple[SettingValue, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Any value from ``low`` to ``high``, both included; whole numbers where ``integer``.

    ``log`` draws evenly on the logarithm; ``step`` keeps to ``low`` plus multiples of it.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False


Domain = Choices | Range


def parse_domain(raw: object, knob: Knob) -> tuple[Domain | None, list[str]]:
    """The domain that ``raw``, a value under ``[space]``, describes, or what is wrong with it.

    A list gives choices; a table with ``low`` and ``high`` (and ``log`` or ``step``) gives a range.
    """
    if isinstance(raw, list):
        return _parse_choices(raw, knob)
    if isinstance(raw, dict):
        return _parse_range(raw, knob)
    return None, [f"{raw!r} is neither a list of choices nor a table with low and high; to fix it, use [settings]"]


def _parse_choices(raw: list[object], knob: Knob) -> tuple[Domain | None, list[str]]:
    problems = [problem for value in raw if (problem := knob.problem(value))]
    if not raw:
        problems.append("an empty list; give at least one value")
    elif len({repr(value) for value in raw}) < len(raw):
        problems.append(f"{raw!r} names a value twice")
    return (None, problems) if problems else (Choices(tuple(raw)), [])  # type: ignore[arg-type]


def _parse_range(raw: dict[str, object], knob: Knob) -> tuple[Domain | None, list[str]]:
    allowed = {"low", "high", "log", "step"}
    problems = [f"unknown key '{key}' in a range; allowed: high, log, low, step" for key in raw if key not in allowed]
    if knob.kind not in ("int", "float", "any"):
        return None, [*problems, f"a range cannot give {knob.allowed}; use a list"]
    for bound in ("low", "high"):
        if bound not in raw:
            problems.append(f"a range needs '{bound}'")
        elif problem := knob.problem(raw[bound]):
            problems.append(f"{bound}: {problem}")
    log, step = raw.get("log", False), raw.get("step")
    if not isinstance(log, bool):
        problems.append(f"log: {log!r} is not true or false")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | float) or step <= 0):
        problems.append(f"step: {step!r} is not a number above 0")
    elif step is not None and knob.kind == "int" and not isinstance(step, int):
        problems.append(f"step: {step!r} is not a whole number")
    if problems:
        return None, problems
    low, high = raw["low"], raw["high"]
    assert isinstance(low, int | float) and isinstance(high, int | float)
    if low >= high:
        problems.append(f"low {low!r} is not below high {high!r}")
    if log and low <= 0:
        problems.append(f"low {low!r} is not above 0, which a logarithmic range needs")
    if log and step is not None:
        problems.append("log and step exclude each other")
    step_value = float(step) if isinstance(step, int | float) else None
    whole = knob.kind == "int" or (knob.kind == "any" and isinstance(low, int) and isinstance(high, int))
    return (None, problems) if problems else (Range(low, high, bool(log), step_value, whole), [])
