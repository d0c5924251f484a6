"""Where trainings end by themselves: what the study says, what was seen, what a knob says."""

from __future__ import annotations

import math

from tracker.records import Settings


class Ends:
    """The last step of a training, by its settings.

    What the study says counts: ``said`` is a step, or the name of the knob whose value is the last step. Else it is
    where trials were completed that have the same knob ``epochs``, or none; else as many steps an epoch as others
    took; else that knob itself, as long as no trial goes beyond it. Else it is not known.

    A trial that was completed long before its knob says stopped early: that tells nothing of others.
    """

    def __init__(self, said: int | str | None = None) -> None:
        self._said = said
        self._deepest: dict[int | None, int] = {}  # by the knob epochs
        self._seen: dict[int | None, int] = {}
        # Steps an epoch, and how many fewer there are in all where they are counted from 0.
        self._an_epoch: tuple[float, int] | None = None

    def reached(self, settings: Settings, step: int) -> None:
        """A trial went as far as ``step``."""
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
        """The last step of a training with these settings; infinite where it is not known."""
        if self._said is not None:
            last = settings.get(self._said, math.inf) if isinstance(self._said, str) else self._said
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
    """The knob ``epochs``, where there is one that can count."""
    epochs = settings.get("epochs")
    return epochs if isinstance(epochs, int) and not isinstance(epochs, bool) and epochs > 0 else None
