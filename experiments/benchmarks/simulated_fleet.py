"""A fleet of simulated hosts whose time passes as fast as wanted, whatever its coordinator does meanwhile."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from experiments.benchmarks.simulated_host import SimulatedHost
from tracker.engine.cluster.fleet import Answer, HostLostError
from tracker.engine.cluster.messages import Key
from tracker.engine.node import Needs, Node

LATENCY_SECONDS = 0.005
"""From a question's asking to its host, and as long back, whatever the speed: so many of this process's seconds."""
LOOK_SECONDS = 0.1
"""After so long a host notices what its trainings wrote: real ones look at all of them five times a second."""
SHORTEST_WAIT_SECONDS = 0.01
"""So long at least a coordinator waits for an answer, in this process's seconds, as fast as the fleet's may pass."""
RAY_NOTICES_SECONDS = 62.5
"""After so long Ray names a machine no more that says nothing (measured)."""
At = Callable[[float, Callable[[], None]], None]
MakeHost = Callable[[Callable[[], float], At, Node, Callable[[], None]], SimulatedHost]
"""Makes the host of a node, from a clock, what calls a function later, the node, and whom it tells that it has news."""


@dataclass(eq=False)
class _Asked:
    node_id: str
    awaited_by: threading.Condition | None = None
    done: bool = False
    value: Any = None
    error: BaseException | None = None


@dataclass(eq=False)
class _Waiting:
    """A question for news that has no answer yet."""

    asked: _Asked
    study: str
    known: Mapping[Key, int | None]


@dataclass
class Machine:
    """A machine, its host, and from when to when it was there, by the fleet's clock."""

    node: Node
    host: SimulatedHost
    began: float
    ended_at: float | None = None
    silent: bool = False
    looks: bool = False
    open: list[_Asked] = field(default_factory=list)
    waiting: list[_Waiting] = field(default_factory=list)


class SimulatedFleet:
    """A Fleet. ``speed`` of its seconds pass in one; ``make_host`` makes the host of each machine.

    A thread is the world: it carries questions and answers, and lets hosts act when their time has come. Where
    ``news_seconds`` is given, a host without news says so after that time, whatever it was asked.
    """

    def __init__(self, make_host: MakeHost, speed: float = 1.0, news_seconds: float | None = None) -> None:
        self.speed = speed
        self.machines: dict[str, Machine] = {}
        """All that ever were, by their names."""
        self._make_host, self._news_seconds = make_host, news_seconds
        self._known: dict[str, Node] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._names = itertools.count(), itertools.count()
        self._lock = threading.RLock()
        self._sooner = threading.Condition(self._lock)
        self._began, self._stalled_until = time.monotonic(), 0.0
        self._closed = False
        self._world = threading.Thread(target=self._run, name="simulated machines", daemon=True)
        self._world.start()

    # What happens to machines.

    def add(self, node: Node) -> str:
        """Add a machine like this one; the name that it gets."""
        with self._lock:
            name = f"node-{next(self._names)}"
            node = replace(node, node_id=name, address=name)
            host = self._make_host(self.now, self.later, node, lambda: self._speaks(name))
            self.machines[name] = Machine(node, host, self.now())
            self._known[name] = node
            return name

    def kill(self, name: str, *, noticed: bool) -> None:
        """A machine is gone. Where that is ``noticed``, the fleet knows at once, else only nobody answers."""
        with self._lock:
            machine = self.machines[name]
            if machine.ended_at is None:
                machine.host.die()
                machine.ended_at, machine.silent = self.now(), True
                self.later(0.0 if noticed else RAY_NOTICES_SECONDS, lambda: self._notice(machine))

    def drain(self, name: str, seconds: float) -> None:
        """A machine will be gone after so long, as is said now."""
        with self._lock:
            self._known[name] = replace(self._known[name], draining_seconds=seconds)
            self.later(seconds, lambda: self.kill(name, noticed=True))

    def stall(self, seconds: float) -> None:
        """Whoever uses this fleet is held up for so many of the process's seconds, while the machines go on."""
        self._stalled_until = time.monotonic() + seconds

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after so long."""
        with self._lock:
            at = self.now() + seconds
            if not self._due or at < self._due[0][0]:
                self._sooner.notify()
            heapq.heappush(self._due, (at, next(self._order), act))

    # What a coordinator uses.

    def now(self) -> float:
        """Seconds of the fleet's clock."""
        return 1000.0 + (time.monotonic() - self._began) * self.speed

    def nodes(self) -> Sequence[Node]:
        """The machines that are known to be alive."""
        with self._lock:
            return list(self._known.values())

    def ask(self, node_id: str, method: str, *arguments: Any) -> Answer:
        """Call a method of a machine's host; this does not wait."""
        self._hold()
        asked = _Asked(node_id)
        with self._lock:
            if node_id not in self._known:
                asked.done, asked.error = True, HostLostError(node_id)
            else:
                machine = self.machines[node_id]
                machine.open.append(asked)
                self.later(LATENCY_SECONDS * self.speed, lambda: self._deliver(machine, asked, method, arguments))
        return cast(Answer, asked)

    def wait(self, answers: Collection[Answer], timeout_seconds: float) -> set[Answer]:
        """Wait until one of these is there, or so long; those that are there."""
        self._hold()
        until = self.now() + max(timeout_seconds, SHORTEST_WAIT_SECONDS * self.speed if timeout_seconds else 0.0)
        awaited = cast(Collection[_Asked], answers)
        with (answered := threading.Condition(self._lock)):
            for each in awaited:
                each.awaited_by = answered
            while not (done := {each for each in awaited if each.done}) and (left := until - self.now()) > 0:
                answered.wait(left / self.speed)
        return cast(set[Answer], done)

    def take(self, answer: Answer) -> Any:
        """What was answered. Raises HostLostError, and what the method raised."""
        asked = cast(_Asked, answer)
        if asked.error is not None:
            raise asked.error
        return asked.value

    def want(self, needs: Sequence[Needs]) -> None:
        """Nobody makes machines for it."""

    def close(self) -> None:
        """End the world."""
        with self._lock:
            self._closed = True
            self._sooner.notify()
        self._world.join()

    def _hold(self) -> None:
        if threading.current_thread() is not self._world:
            while (left := self._stalled_until - time.monotonic()) > 0:
                time.sleep(left)

    # The world.

    def _run(self) -> None:
        while not self._closed:
            with self._lock:
                left = self._due[0][0] - self.now() if self._due else self.speed
                if left > 0:
                    self._sooner.wait(left / self.speed)
                else:
                    heapq.heappop(self._due)[2]()

    def _notice(self, machine: Machine) -> None:
        self._known.pop(machine.node.node_id)
        for asked in list(machine.open):
            self._answer(machine, asked, error=HostLostError(machine.node.node_id))

    def _deliver(self, machine: Machine, asked: _Asked, method: str, arguments: tuple[Any, ...]) -> None:
        if machine.silent:
            return
        if method == "news":
            study, known, _, timeout_seconds = arguments
            waiting = _Waiting(asked, study, known)
            machine.waiting.append(waiting)
            seconds = self._news_seconds or timeout_seconds
            self.later(seconds, lambda: self._say_news(machine, waiting))
            self._look(machine)
            return
        try:
            value, error = getattr(machine.host, method)(*arguments), None
        except Exception as raised:  # noqa: BLE001 - as a host raises it
            value, error = None, raised
        self._reply(machine, asked, value, error)

    def _speaks(self, name: str) -> None:
        """A host's trainings wrote something."""
        machine = self.machines[name]
        if not machine.looks:
            machine.looks = True
            self.later(LOOK_SECONDS, lambda: self._look(machine))

    def _look(self, machine: Machine) -> None:
        """Whoever waits for what is new on a machine gets it."""
        machine.looks = False
        for waiting in list(machine.waiting):
            if machine.host.has_news(waiting.study, waiting.known):
                self._say_news(machine, waiting)

    def _say_news(self, machine: Machine, waiting: _Waiting) -> None:
        if waiting in machine.waiting and not machine.silent:
            machine.waiting.remove(waiting)
            self._reply(machine, waiting.asked, machine.host.news(waiting.study, waiting.known), None)

    def _reply(self, machine: Machine, asked: _Asked, value: Any, error: Exception | None) -> None:
        def arrive() -> None:
            if not machine.silent:
                self._answer(machine, asked, value, error)

        self.later(LATENCY_SECONDS * self.speed, arrive)

    def _answer(self, machine: Machine, asked: _Asked, value: Any = None, error: Exception | None = None) -> None:
        if not asked.done:
            asked.done, asked.value, asked.error = True, value, error
            machine.open.remove(asked)
            if asked.awaited_by is not None:
                asked.awaited_by.notify()
