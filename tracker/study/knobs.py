"""A knob: one thing about a run that can be set or searched, with the values that it may take.

Workloads declare theirs; the tracker declares those of the hardware here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tracker.errors import did_you_mean
from tracker.records import Market, SettingValue

Kind = Literal["int", "float", "bool", "str", "any"]
_TYPES: Mapping[Kind, type] = {"int": int, "float": float, "bool": bool, "str": str, "any": object}

MOST_WHOLE = 2**63 - 1
"""The largest whole number that TOML and databases hold."""


@dataclass(frozen=True, slots=True)
class Knob:
    """What values a knob may take.

    ``default`` None means that it must be worked out where the trial runs (all cores, the size
    dial, …). ``low`` and ``high`` are inclusive; None is no bound.
    """

    kind: Kind
    default: SettingValue | None
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[SettingValue, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values in words, for messages and the reference."""
        if self.kind == "bool":
            return "true or false"
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        whats = {
            "int": "a whole number",
            "float": "a number",
            "str": "a text",
            "any": "a number, a text, true or false",
        }
        what = whats[self.kind]
        if self.low is not None and self.high is not None:
            return f"{what} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{what} of at least {self.low:g}"
        return what if self.high is None else f"{what} of at most {self.high:g}"

    def problem(self, value: object) -> str | None:
        """What is wrong with ``value``, with what is allowed; None where nothing is."""
        if not self._has_kind(value):
            return f"{value!r} is not {self.allowed}"
        if self.choices and value not in self.choices:
            hint = did_you_mean(str(value), map(str, self.choices))
            return f"{value!r} is not one of its values; {hint}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if isinstance(value, int) and abs(value) > MOST_WHOLE:
                return f"{str(value)[:20]}… has {len(str(abs(value)))} digits; allowed: whole numbers of 64 bits"
            below = self.low is not None and value < self.low
            above = self.high is not None and value > self.high
            if below or above or not math.isfinite(value):
                return f"{value!r} is not {self.allowed}"
        return None

    def _has_kind(self, value: object) -> bool:
        if self.kind == "any":
            return isinstance(value, bool | int | float | str)
        if isinstance(value, bool) or self.kind == "bool":
            return isinstance(value, bool) and self.kind == "bool"
        if self.kind == "float":
            return isinstance(value, int | float)
        return isinstance(value, _TYPES[self.kind])


HARDWARE_KNOBS: Mapping[str, Knob] = {
    "device": Knob("str", None, "where the model trains", choices=("cpu", "cuda")),
    "threads": Knob("int", None, "CPU cores that the trial takes for itself, shared by its processes", low=1),
    "processes": Knob("int", 1, "processes that train the one model together, each on a GPU of its own", low=1),
    "nodes": Knob("int", 1, "machines of a cluster that the trial divides over evenly", low=1),
    "memory_gb": Knob(
        "float", None, "memory that the trial takes for itself, in GB of 2^30 bytes; what is free without it", low=0.1
    ),
    "precision": Knob("str", "fp32", "number format of the matrix products", choices=("fp32", "tf32", "bf16", "fp16")),
    "compile": Knob("bool", False, "torch.compile the model first"),
    "accelerator_model": Knob("str", None, "on a cluster, the model of GPU, as in the price book; any without it"),
    "market": Knob("str", None, "on a cluster, how the machine is bought; any way without it", choices=tuple(Market)),
}
"""The knobs that every workload has: the tracker sets them up before training code is called."""

COMMON_KNOBS: Mapping[str, Knob] = {
    **HARDWARE_KNOBS,
    "seed": Knob("int", None, "the trial's seed; where it is not named each trial has one of its own", low=0),
}
"""All knobs that a study file knows beside those of its workload."""
