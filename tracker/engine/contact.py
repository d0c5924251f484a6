"""A machine of a fleet, as one coordinator knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker.engine.cluster_attempt import ClusterAttempt, Copy
from tracker.engine.fleet import Needs, Node
from tracker.engine.messages import Key


@dataclass(slots=True, eq=False)
class Contact:
    """``heard_at`` is when it last said something, in seconds of the fleet's clock; ``clock`` what its own was then.

    ``following`` is whether it is being asked for news, ``lost`` whether what ran there was given up since it last said
    any.

    ``held`` is what was reserved there, by its token. ``late`` are the attempts that were given up, until their last
    word is here; ``states`` the trials whose state it has. It takes nothing more before ``full_until``.
    """

    node: Node
    heard_at: float
    clock: float = 0.0
    lost: bool = False
    following: bool = False
    drains: bool = False
    attempts: dict[Key, ClusterAttempt] = field(default_factory=dict)
    late: dict[Key, Copy] = field(default_factory=dict)
    held: dict[str, Needs] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)
    full_until: float = 0.0

    @property
    def free_cores(self) -> int:
        """The cores that this coordinator has not reserved; others may have."""
        return self.node.cores - sum(needs.cores for needs in self.held.values())

    @property
    def free_accelerators(self) -> int:
        """The GPUs that this coordinator has not reserved; others may have."""
        return self.node.accelerators - sum(needs.accelerators for needs in self.held.values())

    def has_room(self, needs: Needs, now: float) -> bool:
        """Whether it may be asked for a place."""
        fits = needs.cores <= self.free_cores and needs.accelerators <= self.free_accelerators
        return fits and not self.lost and not self.drains and now >= self.full_until

    @property
    def known(self) -> dict[Key, int | None]:
        """How much of each log is here, in bytes, None of one that has ended."""
        late = {key: copy.offset for key, copy in self.late.items()}
        return {key: attempt.known for key, attempt in self.attempts.items()} | late
