"""The trials of a search by their numbers, and what each decision asks of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from tracker.search.facts import Standing, TrialFacts


class KnownTrials(Mapping[int, TrialFacts]):
    """Facts of trials by number, in the order that they were added; ``stands`` and ``priced`` keep it up to date."""

    def __init__(self) -> None:
        self._facts: dict[int, TrialFacts] = {}
        self._paused: set[int] = set()
        self._prices_usd = np.zeros(64)

    def __getitem__(self, trial: int) -> TrialFacts:
        return self._facts[trial]

    def __iter__(self) -> Iterator[int]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def add(self, trial: int, facts: TrialFacts) -> None:
        """Add a trial that runs."""
        self._facts[trial] = facts
        if trial >= len(self._prices_usd):
            self._prices_usd = np.concatenate([self._prices_usd, np.zeros(trial)])

    def stands(self, trial: int, standing: Standing) -> None:
        """Mark a trial as running, paused or ended."""
        self._facts[trial].standing = standing
        if standing is Standing.PAUSED:
            self._paused.add(trial)
        else:
            self._paused.discard(trial)

    def priced(self, trial: int) -> None:
        """Its facts have another price."""
        self._prices_usd[trial] = self._facts[trial].price_usd

    @property
    def paused(self) -> list[int]:
        """The trials that are paused, by number."""
        return sorted(self._paused)

    def spent_usd(self, trials: Iterable[int] | None = None) -> float:
        """What these trials cost so far, or all."""
        prices = self._prices_usd if trials is None else self._prices_usd[[each for each in trials if each in self]]
        return float(prices.sum())
