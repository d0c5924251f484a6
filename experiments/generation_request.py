"""What a served image generator is asked for: a class, a seed, and how many steps to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracker.errors import DataError, did_you_mean

KEYS = ("class", "seed", "sampling_steps")
LARGEST_SEED = 2**63 - 1
"""The largest that torch.Generator takes whatever its sign."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One image of the class with index ``label``, from the noise of ``seed``, in ``steps`` steps."""

    label: int
    seed: int
    steps: int


def requests_of(inputs: Sequence[Any], classes: Sequence[str], steps: int, most_steps: int) -> list[GenerationRequest]:
    """What inputs from outside ask for: class names, or dicts with KEYS; ``steps`` where they do not say.

    Raises DataError that names the input, counted from 1, and what is wrong with it.
    """
    return [_request(each, f"input {number}", classes, steps, most_steps) for number, each in enumerate(inputs, 1)]


def _request(given: Any, place: str, classes: Sequence[str], steps: int, most_steps: int) -> GenerationRequest:
    asked = given if isinstance(given, dict) else {"class": given}
    if unknown := next((key for key in asked if key not in KEYS), None):
        raise DataError(f"{place} has a key '{unknown}'; {did_you_mean(str(unknown), KEYS)}")
    name = asked.get("class")
    if not isinstance(name, str) or name not in classes:
        raise DataError(f"{place} asks for class {name!r}; {did_you_mean(str(name), classes)}")
    return GenerationRequest(
        label=list(classes).index(name),
        seed=_whole(asked, "seed", place, 0, low=0, high=LARGEST_SEED),
        steps=_whole(asked, "sampling_steps", place, steps, low=1, high=most_steps),
    )


def _whole(asked: dict[Any, Any], key: str, place: str, default: int, *, low: int, high: int) -> int:
    value = asked.get(key, default)
    number = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not number or value != int(value):
        raise DataError(f"{place}: {key} is {value!r}; allowed: a whole number from {low} to {high}")
    return int(value)
