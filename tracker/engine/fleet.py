"""The machines that a cluster's engine works on: who is there, and a question to one of them. It knows no attempts.

Several threads use a fleet, each waits for answers of its own. On each machine lives one *host*, an object of which
``ask`` calls a method; it outlives whoever asks, and the next who connects finds it again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType, Protocol

Answer = NewType("Answer", object)
"""An answer that is awaited; hashable, and only the fleet that gave it reads it."""


class HostLostError(Exception):
    """The machine, or the host on it, is gone: no answer will come, and whatever ran there has ended or will."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an attempt needs of one machine; ``accelerator_model`` and ``market`` are "" where any will do."""

    cores: int
    accelerators: int = 0
    accelerator_model: str = ""
    memory_bytes: int = 0
    market: str = ""

    @property
    def words(self) -> str:
        """The needs in words.

        >>> Needs(2, 1, "H100", market="spot").words
        '2 cores and 1 × H100 (spot)'
        """
        return _words(self.cores, self.accelerators, self.accelerator_model) + (f" ({self.market})" * bool(self.market))


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the fleet.

    ``node_id`` names it for its life, and no other ever; ``address`` is what others reach it by, ``labels`` are what
    whoever started it says of it. ``accelerator_model`` is "" where there is none or it is unknown.
    ``draining_seconds`` is how long it still has, by the notice that was given; None without a notice.
    """

    node_id: str
    address: str
    cores: int
    accelerators: int
    accelerator_model: str
    memory_bytes: int
    labels: Mapping[str, str] = field(default_factory=dict)
    draining_seconds: float | None = None

    @property
    def words(self) -> str:
        """The machine in words."""
        return f"{self.address} with {_words(self.cores, self.accelerators, self.accelerator_model)}"


def _words(cores: int, accelerators: int, model: str) -> str:
    gpus = f" and {accelerators} × {model or 'GPU'}" if accelerators else ""
    return f"{cores} core{'s' * (cores != 1)}{gpus}"


class Fleet(Protocol):
    """Machines that come and go, each with a host."""

    def now(self) -> float:
        """Seconds of a clock that never jumps."""
        ...

    def nodes(self) -> Sequence[Node]:
        """The machines that are alive as far as is known: one that is dead for sure is not among them.

        Raises ClusterError where whoever knows the machines cannot be reached.
        """
        ...

    def ask(self, node_id: str, method: str, *arguments: Any) -> Answer:
        """Call a method of a machine's host, which is made with the first question; this does not wait.

        Several questions to one host are answered at once: one that waits keeps no other waiting.
        """
        ...

    def wait(self, answers: Collection[Answer], timeout_seconds: float) -> set[Answer]:
        """Wait until one of these is there, or so long, also without any; those that are there, or will never be."""
        ...

    def take(self, answer: Answer) -> Any:
        """What was answered, which ``wait`` returned.

        Raises HostLostError where no answer will come, and what the method raised.
        """
        ...

    def want(self, needs: Sequence[Needs]) -> None:
        """Say what would be started if there were room: all of it, each time. What makes machines may read it."""
        ...

    def close(self) -> None:
        """Leave the fleet; hosts stay."""
        ...
