"""The last step of a training: from the study, from completed trials, or from a knob."""

from __future__ import annotations

import math

from tracker.records import Settings


class Ends:
    """The last step of a training, by its settings.

    In this order: ``declared`` by the study, as a step or as the name of the knob that holds it; the last step of
    completed trials with the same knob ``epochs``, or with none; the steps per epoch of other trials; the knob
    ``epochs`` itself, as long as no trial goes beyond it. Otherwise it is unknown.

    A trial that completed long before its knob says has stopped early: it is no evidence for others.
    """

    def __init__(self, declared: int | str | None = None) -> None:
        self._declared = declared
        self._deepest: dict[int | None, int] = {}  # by the knob epochs
        self._seen: dict[int | None, int] = {}
        # Steps per epoch, and how many fewer there are in total where they are counted from 0.
        self._an_epoch: tuple[float, int] | None = None

    def reached(self, settings: Settings, step: int) -> None:
        """A trial reached ``step``."""
        epochs = _epochs(settings)
        self._deepest[epochs] = max(step, self._deepest.get(epochs, step))

    def completed(self, settings: Settings, first: int, stride: int, last: int) -> None:
        """A trial was completed after its ``last`` step, which was ``stride`` after the one before."""
        epochs = _epochs(settings)
        fewer = stride if first <= 0 else 0
        whole = last + fewer
        if epochs is None or whole + stride > epochs:
            self._seen[epochs] = max(last, self._seen.get(epochs, last))
        if epochs is not None and whole + bool(fewer) > epochs:
            self._an_epoch = max((whole / epochs, fewer), self._an_epoch or (0.0, 0))

    def of(self, settings: Settings) -> float:
        """The last step of a training with these settings; infinite where it is unknown."""
        if self._declared is not None:
            last = settings.get(self._declared, math.inf) if isinstance(self._declared, str) else self._declared
            return float(last)
        epochs = _epochs(settings)
        last = self._seen[epochs] if epochs in self._seen else self._by_knob(epochs)
        return math.inf if self._deepest.get(epochs, -math.inf) > last else float(last)

    def _by_knob(self, epochs: int | None) -> float:
        if epochs is None:
            return math.inf
        if self._an_epoch is not None:
            steps, fewer = self._an_epoch
            return round(steps * epochs) - fewer
        beyond = any(each is not None and deepest > each for each, deepest in self._deepest.items())
        return math.inf if beyond else epochs


def _epochs(settings: Settings) -> int | None:
    """The knob ``epochs``, where it is a positive number."""
    epochs = settings.get("epochs")
    return epochs if isinstance(epochs, int) and not isinstance(epochs, bool) and epochs > 0 else None
