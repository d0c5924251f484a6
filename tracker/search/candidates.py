"""New settings that a search looks at: suggested by the sampler, drawn evenly, and near those that came closest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracker.records import Direction, Settings
from tracker.search.encoding import UnitCube
from tracker.search.features import Array
from tracker.search.sampler import Sampling, Trials
from tracker.search.tried import Tried
from tracker.study.space import SearchSpace

_SUGGESTED, _DRAWN, _NEIGHBOURS = 4, 24, 12
_REMEMBERED = 200
"""How many of the latest settings the sampler learns from: its time grows with each."""


class Candidates:
    """Settings of ``space`` that are not ``tried``: ``sampling`` makes the sampler that suggests some of them."""

    def __init__(self, space: SearchSpace, cube: UnitCube, tried: Tried, sampling: Sampling, seed: int) -> None:
        self._space = space
        self._tried = tried
        self._cube = cube
        self._sampling = sampling
        self._seed = seed
        self._closest: list[Settings] = []
        self._suggestions: list[Settings] = []

    def take(self, settings: Settings) -> None:
        """Mark settings as tried: they are no longer candidates."""
        self._tried.take(settings)
        if settings in self._suggestions:
            self._suggestions.remove(settings)

    def learn(self, tried: Sequence[Settings], closeness: Array, version: int) -> None:
        """Learn how near settings came to the frontier along M rays [n, M], so that every part of it is searched.

        Neighbours are drawn around the settings that came nearest along evenly spaced rays. A new sampler is fitted to
        one random ray (as in ParEGO, Knowles, IEEE Trans. Evol. Comp. 2006), drawn by ``version``.
        """
        even = np.linspace(0, closeness.shape[1] - 1, _NEIGHBOURS).round().astype(int)
        self._closest = [tried[index] for index in closeness[:, even].argmax(axis=0)]
        ray = int(np.random.default_rng([self._seed, version]).integers(closeness.shape[1]))
        tried, along = tried[-_REMEMBERED:], closeness[-_REMEMBERED:, ray]
        directions = {"closeness": Direction.MAXIMIZE}
        seed = self._seed + version
        self._sampler = Trials.create(None, "suggestions", directions, self._space, seed, self._sampling)
        self._sampler.add_trials([(each, [float(near)]) for each, near in zip(tried, along, strict=True)])
        del self._suggestions[:1]

    @property
    def short(self) -> bool:
        """Whether suggestions were taken and need replacing."""
        return len(self._suggestions) < _SUGGESTED

    def look(self, random: np.random.Generator) -> Mapping[str, Settings]:
        """Untried settings by their keys: all that are left where those are few, else a sample; empty where none is."""
        if few := self._few():
            return self._fresh(few)
        while self.short:
            self._suggestions.append(self._sampler.suggest())
        drawn = [self._cube.draw(random) for _ in range(_DRAWN)]
        near = [self._cube.neighbour(settings, random) for settings in self._closest]
        return self._fresh([*self._suggestions, *drawn, *near]) or self._fresh(self._left(random))

    def unseen(self, random: np.random.Generator) -> list[tuple[Settings, str]]:
        """Untried settings to choose from without a forecast, each with its source."""
        suggested = self._suggestions[:1] if random.random() < 0.5 else []
        fresh = [(each, "suggested by the sampler") for each in suggested if each not in self._tried]
        return [*fresh, *((each, "drawn evenly from the space") for each in self.drawn(random))]

    def drawn(self, random: np.random.Generator) -> list[Settings]:
        """Untried settings, drawn evenly from the space; from what is left of it where few are; empty where none is."""
        drawn = [self._cube.draw(random) for _ in range(_DRAWN)]
        return [each for each in drawn if each not in self._tried] or [*self._left(random)]

    def taken(self, key: str) -> bool:
        """Whether the settings of this key were tried."""
        return self._tried.has(key)

    def _fresh(self, settings: Sequence[Settings]) -> dict[str, Settings]:
        """The untried ones of these, by their keys."""
        by_key = {self._space.key(each): each for each in settings}
        return {key: each for key, each in by_key.items() if not self.taken(key)}

    def _few(self) -> Sequence[Settings]:
        """All settings that are left, where those fit in one batch of candidates."""
        left = self._tried.left
        return left if len(left) <= _SUGGESTED + _DRAWN + _NEIGHBOURS else []

    def _left(self, random: np.random.Generator) -> Sequence[Settings]:
        """A uniform sample of the settings that are left; empty where none is, or they cannot be listed."""
        left = self._tried.left
        return [left[index] for index in random.permutation(len(left))[:_DRAWN]]
