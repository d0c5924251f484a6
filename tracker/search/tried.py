"""Which settings of a space were tried, so that none is trained, and paid for, twice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from tracker.records import Settings
from tracker.study.space import SearchSpace

MOST_LISTED = 10_000
"""A space with more combinations than this is not listed."""
NONE_LEFT = "every combination was tried"


class Tried:
    """The settings of ``space`` that were tried, and those that are left of a space that can be listed."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._taken: set[str] = set()

    def take(self, settings: Settings) -> None:
        """Mark settings as tried, however their trial ends."""
        key = self._space.key(settings)
        self._taken.add(key)
        if self.listed:
            self._left.pop(key, None)

    def __contains__(self, settings: Settings) -> bool:
        return self.has(self._space.key(settings))

    def has(self, key: str) -> bool:
        """Whether the settings of this key of their space were tried."""
        return key in self._taken

    @cached_property
    def listed(self) -> bool:
        """Whether the space is small enough to list what is left of it."""
        return self._space.size <= MOST_LISTED

    @property
    def all(self) -> bool:
        """Whether every combination was tried."""
        return self.listed and not self._left

    @property
    def left(self) -> Sequence[Settings]:
        """The untried combinations, in the order of the study file; empty where they are not listed."""
        return list(self._left.values()) if self.listed else []

    @cached_property
    def _left(self) -> dict[str, Settings]:
        listed = {self._space.key(each): each for each in self._space.combinations()}
        return {key: each for key, each in listed.items() if key not in self._taken}
