"""Validation of everything that training reports, by a function, a JSON line, MLflow or a callback.

What it lets through is the same for all: rising steps, finite numbers, names that are not the tracker's own. What a
study cannot do without fails the trial; anything else that makes no sense is left out, and that is said once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tracker.errors import TrainingFailedError
from tracker.records import BOOKED_METRICS


class Reports:
    """Checks what one attempt reports.

    ``quality`` is the metric that every checkpoint must have, ``needed`` are those that must be finite where they are
    reported: quality, objectives and limits. ``declared`` are the metrics that the workload says it reports. ``note``
    receives a sentence for the user.
    """

    def __init__(
        self, quality: str, needed: frozenset[str], declared: frozenset[str], note: Callable[[str], None]
    ) -> None:
        self.last_step: int | None = None
        """The step of the last checkpoint; None before the first."""
        self._quality = quality
        self._needed = needed | {quality}
        self._declared = declared
        self._note = note

    def checkpoint(self, step: Any, metrics: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
        """The step and the metrics of a checkpoint.

        Raises TrainingFailedError(``bad_report``) where the step is no whole number of at least 0 above the last one,
        or the quality metric is missing or no number; TrainingFailedError(``not_finite``) where a needed metric is NaN
        or infinite: no such number is ever called a quality.
        """
        if self._quality not in metrics:
            listed = ", ".join(metrics) or "nothing"
            raise TrainingFailedError("bad_report", f"epoch {step} reports no {self._quality}; it reports {listed}")
        number = _whole(step)
        if number is None:
            raise TrainingFailedError("bad_report", f"epoch {step!r} is not a whole number of at least 0")
        if self.last_step is not None and number <= self.last_step:
            raise TrainingFailedError("bad_report", f"epoch {number} was reported after epoch {self.last_step}")
        values = self._numbers(metrics)
        if broken := [f"{name} is {values[name]}" for name in values if not math.isfinite(values[name])]:
            raise TrainingFailedError("not_finite", f"{', '.join(broken)} after epoch {number}")
        for name in sorted(self._declared - metrics.keys()):
            self._note(f"the training declares the metric '{name}' and does not report it")
        self.last_step = number
        return number, values

    def figures(self, figures: Mapping[str, Any]) -> dict[str, float]:
        """Figures about a whole run: those that are finite numbers under a name of their own."""
        return {name: value for name, value in self._numbers(figures).items() if math.isfinite(value)}

    def _numbers(self, given: Mapping[str, Any]) -> dict[str, float]:
        """What is given as numbers; of what is not finite only what is needed.

        Raises TrainingFailedError(``bad_report``) where what is needed is no number.
        """
        values = {}
        for name, value in given.items():
            if name in BOOKED_METRICS:
                self._note(f"'{name}' is measured by the tracker itself: what training reports as such is left out")
                continue
            number = _number(value)
            if number is None and name in self._needed:
                raise TrainingFailedError("bad_report", f"{name} is {value!r}, which is not a number")
            if number is None:
                self._note(f"'{name}' is not always a number, such as {value!r:.60}: there it is left out")
            elif name in self._needed or math.isfinite(number):
                values[name] = number
            else:
                self._note(f"'{name}' is not always a finite number: there it is left out")
        return values


def _whole(step: Any) -> int | None:
    """A step as a whole number of at least 0; None for what is none. 20.0 is one, as JSON may write it; True is not."""
    if isinstance(step, bool):
        return None
    if isinstance(step, float) and step.is_integer():
        step = int(step)
    try:
        number = operator.index(step)
    except TypeError:
        return None
    return number if number >= 0 else None


def _number(value: Any) -> float | None:
    """A number as Python's; None for a text, a list, a tensor of several elements, …"""
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    except OverflowError:  # a whole number beyond every float
        return math.inf if value > 0 else -math.inf
