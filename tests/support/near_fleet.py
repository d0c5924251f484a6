"""A fleet in this process: real hosts, each with a folder of its own, asked by threads. Machines die or are cut off."""

from __future__ import annotations

import copy
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace

from tracker.engine.cluster.fleet import HostLostError
from tracker.engine.cluster.placement import market_of
from tracker.engine.host.host import Host
from tracker.engine.host.node_host import Hello
from tracker.engine.node import Node
from tracker.pricing.price_book import load_price_book
from tracker.records import Hardware, Market

RATE = load_price_book().point("aws/m7i.large", Market.ON_DEMAND)


class NearHost(Host):
    """A host that says at once what its machine is."""

    def hello(self):
        cores = len(self._seats._ledger.cores)
        hardware = Hardware("Linux", "a CPU", "x86_64", cores, 2**33, precisions={"cpu": ("fp32", "bf16")})
        return Hello(hardware, time.time())


class NearFleet:
    """``cores`` are the CPU numbers of each machine; their names are node-0, node-1, ...

    Where they are asked to find each other, ``address`` is that of all.
    """

    def __init__(self, folder, cores, labels=None, orphan_seconds=600.0, address=""):
        self.hosts = {
            f"node-{number}": NearHost(folder / f"node-{number}", mine, orphan_seconds=orphan_seconds)
            for number, mine in enumerate(cores)
        }
        self.known = {
            name: Node(name, address or name, len(mine), 0, "", 2**33, labels or {})
            for name, mine in zip(self.hosts, cores, strict=True)
        }
        self.wanted = []
        self.cut = set()
        self._threads = ThreadPoolExecutor(32)

    def now(self):
        return time.monotonic()

    def nodes(self):
        return list(self.known.values())

    def ask(self, node_id, method, *arguments):
        if node_id in self.cut:
            return Future()
        return self._threads.submit(self._call, node_id, method, copy.deepcopy(arguments))

    def _call(self, node_id, method, arguments):
        host = self.hosts.get(node_id)
        value = getattr(host, method)(*arguments) if host else None
        if node_id not in self.hosts:
            raise HostLostError(node_id)
        return value

    def wait(self, answers, timeout_seconds):
        if not answers:
            time.sleep(timeout_seconds)
        return wait_for(answers, timeout_seconds, FIRST_COMPLETED).done if answers else set()

    def take(self, answer):
        return answer.result()

    def want(self, needs):
        self.wanted.append(list(needs))

    def close(self):
        for host in self.hosts.values():
            host.close()
        self._threads.shutdown(wait=False)

    def quiet(self):
        """Wait until everything is answered that was asked."""
        self._threads.shutdown()
        self._threads = ThreadPoolExecutor(32)

    def label(self, node_id, labels):
        """Whoever started a machine says this of it."""
        self.known[node_id] = replace(self.known[node_id], labels=labels)

    def kill(self, node_id):
        """The machine is gone, and the fleet knows it."""
        del self.known[node_id]
        self.hosts.pop(node_id).close()

    def drain(self, node_id, seconds):
        """The machine will be gone."""
        self.known[node_id] = replace(self.known[node_id], draining_seconds=seconds)


def rate(node, needs):
    """Every machine is billed alike, in its own market."""
    return replace(RATE, market=Market.SPOT) if market_of(node) == "spot" else RATE
