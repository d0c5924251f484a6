"""A fleet on a virtual clock, with scripted failures. Nothing waits: time passes only while somebody waits for it."""

from __future__ import annotations

import copy
import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from experiments.benchmarks.simulated_host import SimulatedHost
from tracker.engine.cluster.fleet import HostLostError
from tracker.engine.node import Node

LATENCY_SECONDS = 0.01
FAULTS = ("lose_question", "lose_answer", "repeat", "delay", "tear", "disconnect")
"""What may happen to the next question to a machine, or its answer."""


@dataclass(eq=False)
class Asked:
    """A question and its answer."""

    node_id: str
    done: bool = False
    value: Any = None
    error: BaseException | None = None


class FakeFleet:
    """Machines by name; each has a clock of its own, minutes apart from the others'."""

    def __init__(self, **host_options):
        self.clock = 1000.0
        self.hosts: dict[str, SimulatedHost] = {}
        self.dead: list[SimulatedHost] = []
        self.known: dict[str, Node] = {}
        self.silent: set[str] = set()
        self.faults: dict[str, list[str]] = {}
        self.met: Counter[str] = Counter()
        self.wanted = []
        self._options = host_options
        self._due = []
        self._order = itertools.count()
        self._names = itertools.count()
        self._open: dict[str, list[Asked]] = {}

    def add(self, cores=2, **labels):
        """Another machine; its name."""
        name = f"node-{next(self._names)}"
        skew_seconds = 137.0 * len(self.known) - 200.0
        host = SimulatedHost(lambda: self.clock, self.later, cores, skew_seconds, **self._options)
        self.hosts[name] = host
        self.known[name] = Node(name, name, cores, 0, "", 2**33, labels)
        return name

    def kill(self, name, *, noticed=True):
        """A machine is gone; ``noticed`` is whether the fleet knows, or only nobody answers."""
        host = self.hosts.pop(name)
        host.die()
        self.dead.append(host)
        if noticed:
            self.notice(name)
        else:
            self.silent.add(name)

    def notice(self, name):
        """The fleet notices that a machine is gone."""
        del self.known[name]
        self.silent.discard(name)
        for asked in self._open.pop(name, []):
            asked.done, asked.error = True, HostLostError(name)

    def silence(self, name):
        """Nothing comes to a machine and from it any more; what it does, it does on."""
        self.silent.add(name)

    def heal(self, name):
        """A machine that was cut off is there again; what was said meanwhile is lost."""
        self.silent.discard(name)

    def drain(self, name, seconds):
        """A machine will be gone after so long."""
        self.known[name] = replace(self.known[name], draining_seconds=seconds)
        self.later(seconds, lambda: self.kill(name) if name in self.hosts else None)

    def fault(self, name, fault):
        """What happens to the next question to a machine."""
        self.faults.setdefault(name, []).append(fault)

    def later(self, seconds, act):
        """Do something after so long."""
        heapq.heappush(self._due, (self.clock + seconds, next(self._order), act))

    def pass_time(self, seconds):
        """Nobody looks for so long: the coordinator stalls."""
        self._run_until(self.clock + seconds, lambda: False)

    def now(self):
        return self.clock

    def nodes(self):
        return list(self.known.values())

    def ask(self, node_id, method, *arguments):
        asked = Asked(node_id)
        if node_id not in self.known:
            asked.done, asked.error = True, HostLostError(node_id)
            return asked
        self._open.setdefault(node_id, []).append(asked)
        fault = self.faults[node_id].pop(0) if self.faults.get(node_id) else ""
        self.met[fault] += 1
        if fault == "disconnect":
            self.later(LATENCY_SECONDS, lambda: self._answer(asked, error=ConnectionError(node_id)))
        arguments = copy.deepcopy(arguments)
        if fault == "tear" and method == "arrive":
            arguments = (*arguments[:3], arguments[3][:-1] + b"?")
        for _ in range(0 if fault == "lose_question" else 2 if fault == "repeat" else 1):
            delay_seconds = 20.0 if fault == "delay" else LATENCY_SECONDS
            self.later(delay_seconds, lambda: self._deliver(asked, fault, method, arguments))
        return asked

    def wait(self, answers, timeout_seconds):
        self._run_until(self.clock + timeout_seconds, lambda: any(answer.done for answer in answers))
        return [answer for answer in answers if answer.done]  # in the order of their questions, each time

    def take(self, answer):
        if answer.error is not None:
            raise answer.error
        return answer.value

    def want(self, needs):
        self.wanted.append(list(needs))

    def close(self):
        pass

    def _run_until(self, until, happened):
        while not happened() and self._due and self._due[0][0] <= until:
            at, _, act = heapq.heappop(self._due)
            self.clock = max(self.clock, at)
            act()
        if not happened():
            self.clock = max(self.clock, until)

    def _deliver(self, asked, fault, method, arguments):
        host = self.hosts.get(asked.node_id)
        if host is None or asked.node_id in self.silent:
            return
        if method == "news":
            self._wait_for_news(asked, fault, host, *arguments)
            return
        value, error = _outcome(getattr(host, method), *arguments)
        if fault == "tear" and method == "piece" and value:
            value = value[:-1] + b"?"
        self._reply(asked, fault, value, error)

    def _wait_for_news(self, asked, fault, host, study, known, lease_seconds, timeout_seconds, waited_seconds=0.0):
        if not host.alive:
            return
        if host.has_news(study, known) or waited_seconds >= timeout_seconds:
            self._reply(asked, fault, *_outcome(host.news, study, known))
            return
        again = (asked, fault, host, study, known, lease_seconds, timeout_seconds, waited_seconds + 0.1)
        self.later(0.1, lambda: self._wait_for_news(*again))

    def _reply(self, asked, fault, value, error):
        if fault != "lose_answer":
            self.later(LATENCY_SECONDS, lambda: self._answer(asked, copy.deepcopy(value), error))

    def _answer(self, asked, value=None, error=None):
        if asked.node_id not in self.silent and not asked.done:
            asked.done, asked.value, asked.error = True, value, error
            self._open.get(asked.node_id, []).remove(asked)


def _outcome(method, *arguments):
    try:
        return method(*arguments), None
    except Exception as raised:  # noqa: BLE001 - as a host raises it
        return None, raised
