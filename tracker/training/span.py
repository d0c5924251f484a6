"""The machines of an attempt that trains on several: which part of it each has, and how they reach the first."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Part:
    """What an attempt has of one of its machines: ``cores`` are CPU numbers there, ``accelerators`` GPUs' indices.

    ``token`` names the reservation of them to that machine.
    """

    node: str
    cores: tuple[int, ...]
    accelerators: tuple[int, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Span:
    """The machines of an attempt: this one has number ``part`` of ``parts``, the first has process 0.

    That one is reached at ``address``. On its port ``line`` the other machines say how their parts end, on ``store``
    the processes find each other; both are 0 until it has opened them.
    """

    parts: tuple[Part, ...]
    address: str
    part: int = 0
    line: int = 0
    store: int = 0

    @property
    def key(self) -> str:
        """What the machines of an attempt know and no stranger does."""
        return self.parts[0].token

    def ranks(self, processes: int) -> range:
        """Those of an attempt's processes that train on this machine."""
        each = processes // len(self.parts)
        return range(self.part * each, (self.part + 1) * each)

    def opened(self, line: int, store: int) -> Span:
        """The same, once the first machine listens on these ports."""
        return replace(self, line=line, store=store)

    def at(self, part: int) -> Span:
        """The same, as another of its machines sees it."""
        return replace(self, part=part)
