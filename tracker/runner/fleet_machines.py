"""The machines of a cluster, as their hosts describe them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tracker.engine.cluster.asking import ask_all
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.cluster.placement import market_of
from tracker.engine.host.cloud import Sold
from tracker.engine.node import Node
from tracker.errors import ClusterError
from tracker.records import Hardware
from tracker.study.formats import PACKAGE, own_version
from tracker.study.space import Offer

HOST = "tracker.engine.host.node_host:NodeHost"
HELLO_SECONDS = 120.0
"""How long a machine may take until its host answers for the first time: it imports torch."""


@dataclass(frozen=True, slots=True)
class FleetMachine:
    """A machine of a fleet: what the fleet and its host say of it.

    ``clock_seconds`` is how far its clock is ahead of this machine's, ``sold`` how its cloud sells it.
    """

    node: Node
    hardware: Hardware
    clock_seconds: float
    sold: Sold | None = None

    @property
    def words(self) -> str:
        """The machine in words."""
        return f"{self.node.words} ({self.node.node_id[:8]})"


@contextlib.contextmanager
def connected(address: str, *, allow_open: bool = False) -> Iterator[Fleet]:
    """A Ray cluster, while the context is open.

    Raises RequestError where Ray is not installed, for a malformed address and an open cluster; ClusterError where
    there is no cluster that can be used.
    """
    from tracker.engine.ray.fleet import RayFleet  # an extra

    # Hosts of another version are strangers: they may not know what is asked of them.
    fleet = RayFleet(address, HOST, allow_open=allow_open, namespace=f"{PACKAGE}-{own_version()}")
    try:
        yield fleet
    finally:
        fleet.close()


def greet(fleet: Fleet) -> list[FleetMachine]:
    """The machines of a fleet that can train, by their addresses. Raises ClusterError where there is none."""
    nodes = {node.node_id: node for node in fleet.nodes() if node.cores}
    found, problems = [], dict.fromkeys(nodes, "it does not answer")
    for node_id, hello in ask_all(fleet, nodes, HELLO_SECONDS, "hello"):
        if isinstance(hello, Exception):
            problems[node_id] = str(hello)
        else:
            ahead = hello.time - time.time()
            found.append(FleetMachine(nodes[node_id], _given(hello.hardware, nodes[node_id]), ahead, hello.sold))
    if not found:
        said = "; ".join(f"{nodes[node_id].address}: {problem}" for node_id, problem in problems.items())
        raise ClusterError(f"no machine of the cluster can train: {said or 'none has cores'}")
    return sorted(found, key=lambda machine: (machine.node.address, machine.node.node_id))


def offers(machine: FleetMachine, market: str) -> list[Offer]:
    """What a machine is to trials; it is bought as ``market`` where its labels do not say."""
    bought = market_of(machine.node) or (machine.sold.market if machine.sold else market)
    gpus = [Offer("cuda", machine.node.accelerator_model, bought)] if machine.node.accelerators else []
    return [Offer("cpu", "", bought), *gpus]


def _given(hardware: Hardware, node: Node) -> Hardware:
    """What the fleet gives of a machine: it may be less than all."""
    return replace(
        hardware,
        cores=min(hardware.cores, node.cores),
        accelerator_count=min(hardware.accelerator_count, node.accelerators),
        memory_bytes=min(hardware.memory_bytes, node.memory_bytes or hardware.memory_bytes),
    )
