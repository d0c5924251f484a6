"""The machines that a cluster's engine works on: who is there, and a question to one of them. It knows no attempts.

Several threads use a fleet, each waits for answers of its own. On each machine lives one *host*, an object of which
``ask`` calls a method; it outlives whoever asks, and the next who connects finds it again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NewType, Protocol

from tracker.engine.node import Needs, Node

Answer = NewType("Answer", object)
"""An answer that is awaited; hashable, and only the fleet that gave it reads it."""


class HostLostError(Exception):
    """The machine, or the host on it, is gone: no answer will come, and whatever ran there has ended or will."""


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
