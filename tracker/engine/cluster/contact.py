"""A machine of a fleet, as one coordinator knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker.engine.cluster.attempt import ClusterAttempt, Copy
from tracker.engine.cluster.messages import Key
from tracker.engine.cluster.node_time import NodeTime
from tracker.engine.node import Needs, Node


@dataclass(slots=True)
class Late:
    """An attempt that was given up: what is still heard of it, and for how many seconds it is known to have run."""

    copy: Copy
    share: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(cls, attempt: ClusterAttempt) -> Late:
        """Of one that was just given up: the rest of its log goes beside the one that its search has."""
        request, offset = attempt.request, attempt.copy.offset
        copy = Copy(request.folder / f"{request.attempt}.late.jsonl", offset, offset)
        return cls(copy, attempt.share, attempt.record.usage.wall_seconds)


@dataclass(slots=True, eq=False)
class Contact:
    """``met_at`` is when it was first seen, ``heard_at`` when it last said something, in seconds of the fleet's clock.

    ``time`` is how its time divides. ``following`` is whether it is being asked for news, ``lost`` whether what
    ran there was given up since it last said any. ``late`` are the attempts that were given up, until their last word
    is here; ``states`` the trials whose state it has. It takes nothing more before ``full_until``.
    """

    node: Node
    met_at: float
    heard_at: float
    time: NodeTime
    lost: bool = False
    following: bool = False
    drains: bool = False
    attempts: dict[Key, ClusterAttempt] = field(default_factory=dict)
    late: dict[Key, Late] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)
    full_until: float = 0.0
    _held: dict[str, Needs] = field(default_factory=dict)
    _held_cores: int = 0
    _held_accelerators: int = 0
    _held_memory_bytes: int = 0

    def heard(self, now: float, clock: float) -> None:
        """It says something at ``now``, when its own clock reads ``clock``."""
        if self.time.is_new:
            self.time.total_seconds = self.time.provisioning_seconds = now - self.met_at
        self.time.heard(clock)
        self.heard_at = now

    def waited_for(self, now: float) -> None:
        """It is lost, and an attempt waited for its part there until ``now``: its time counts so long, heard or not."""
        if self.time.clock is not None:
            self.time.heard(self.time.clock + now - self.heard_at)
            self.heard_at = now

    def hold(self, token: str, needs: Needs) -> None:
        """This was reserved there."""
        self.let_go(token)
        self._held[token] = needs
        self._held_cores += needs.cores
        self._held_accelerators += needs.accelerators
        self._held_memory_bytes += needs.memory_bytes

    def let_go(self, token: str) -> None:
        """It is free again; nothing where it was."""
        if (needs := self._held.pop(token, None)) is not None:
            self._held_cores -= needs.cores
            self._held_accelerators -= needs.accelerators
            self._held_memory_bytes -= needs.memory_bytes

    def let_all_go(self) -> None:
        """All is free again."""
        for token in list(self._held):
            self.let_go(token)

    @property
    def free_cores(self) -> int:
        """The cores that this coordinator has not reserved; others may have."""
        return self.node.cores - self._held_cores

    def has_room(self, needs: Needs, now: float) -> bool:
        """Whether it may be asked for a place."""
        return (
            needs.cores <= self.node.cores - self._held_cores
            and needs.accelerators <= self.node.accelerators - self._held_accelerators
            and needs.memory_bytes <= self.node.trial_memory_bytes - self._held_memory_bytes
            and not self.lost
            and not self.drains
            and now >= self.full_until
        )

    @property
    def known(self) -> dict[Key, int | None]:
        """How much of each log is here, in bytes, None of one that has ended."""
        late = {key: late.copy.offset for key, late in self.late.items()}
        return {key: attempt.known for key, attempt in self.attempts.items()} | late
