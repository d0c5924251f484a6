"""The domains that a search draws a knob's value from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tracker.records import SettingValue
from tracker.study.knobs import Knob


@dataclass(frozen=True, slots=True)
class Choices:
    """Any of these values."""

    values: tuple[SettingValue, ...]

    @property
    def size(self) -> float:
        """How many values it has."""
        return float(len(self.values))

    def has(self, value: SettingValue) -> bool:
        """Whether it is one of them."""
        return value in self.values

    def place(self, value: SettingValue) -> SettingValue:
        """What tells a value from the others."""
        return value

    def at_share(self, share: float) -> SettingValue:
        """The value that is this far, from 0 to 1, along its values: numbers by size, others as they are written.

        >>> Choices((64, 16, 32)).at_share(0.0), Choices(("sgd", "adam")).at_share(1.0)
        (16, 'adam')
        """
        numbers = all(isinstance(value, int | float) for value in self.values)
        ordered = sorted(self.values) if numbers else self.values
        return ordered[round(share * (len(ordered) - 1))]


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

    @property
    def size(self) -> float:
        """How many values it has; infinite where they do not keep to a step."""
        stride = self._stride
        return math.inf if stride is None else float((Decimal(str(self.high)) - Decimal(str(self.low))) // stride + 1)

    @property
    def highest(self) -> float:
        """The largest of its values: ``high``, unless the steps miss it."""
        return self.high if math.isinf(self.size) else self.at(int(self.size) - 1)

    @property
    def values(self) -> Sequence[SettingValue]:
        """All of its values, rising. Raises ValueError where there is no end of them."""
        if math.isinf(self.size):
            raise ValueError(f"{self} has no end of values")
        return [self.at(index) for index in range(int(self.size))]

    def at(self, index: int) -> float:
        """The value ``index`` steps above ``low``, of a range that keeps to a step: 0.3, not 0.30000000000000004."""
        value = Decimal(str(self.low)) + index * (self._stride or 1)
        return int(value) if self.integer else float(value)

    def at_share(self, share: float) -> SettingValue:
        """The value that is this far, from 0 to 1, along the range; on the logarithm where it draws on that.

        >>> round(Range(1.0, 100.0, log=True).at_share(0.5), 9), Range(1, 9, step=2, integer=True).at_share(0.25)
        (10.0, 3)
        """
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
            value = min(max(value, self.low), self.high)
        elif math.isinf(self.size):
            value = self.low + share * (self.high - self.low)
        else:
            return self.at(round(share * (self.size - 1)))
        return round(value) if self.integer else value

    def has(self, value: SettingValue) -> bool:
        """Whether it is a number from ``low`` to ``high``."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def place(self, value: SettingValue) -> SettingValue:
        """What tells a value from the others: how many steps it is above ``low``, where it keeps to a step."""
        stride = self._stride
        if stride is None or not isinstance(value, int | float):
            return value
        return round((value - self.low) / float(stride))

    @property
    def _stride(self) -> Decimal | None:
        if self.step is None:
            return Decimal(1) if self.integer else None
        return Decimal(str(self.step))


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
    number = Knob("float", None, "")
    if step is not None and (number.problem(step) or not isinstance(step, int | float) or step <= 0):
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
