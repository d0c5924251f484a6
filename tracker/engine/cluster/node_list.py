"""The machines of a fleet at a moment: what each is, what it costs an hour, what runs there and what is idle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tracker.engine.cluster.asking import ask_all
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.cluster.messages import Running
from tracker.engine.node import Needs, Node
from tracker.pricing.price_point import PricePoint

ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class NodeRow:
    """``point`` is what it is billed as, None where nobody knows; ``running`` is None where it does not answer."""

    node: Node
    point: PricePoint | None
    running: tuple[Running, ...] | None

    @property
    def idle_share(self) -> float:
        """The share of the machine that no attempt has."""
        taken = sum(self.node.share(each.cores, each.accelerators) for each in self.running or ())
        return max(0.0, 1.0 - taken)

    @property
    def idle_usd_per_hour(self) -> float | None:
        """What an hour of that costs; None where nobody knows what the machine does, or costs."""
        if self.point is None or self.running is None:
            return None
        return self.point.usd_per_hour * self.idle_share


def node_list(fleet: Fleet, rate: Callable[[Node, Needs], PricePoint | None]) -> list[NodeRow]:
    """Every machine that the fleet names, by its name. Raises ClusterError where the fleet cannot be reached."""
    nodes = {node.node_id: node for node in fleet.nodes()}
    said = ask_all(fleet, nodes, ANSWER_SECONDS, "running")
    running = {node_id: attempts for node_id, attempts in said if not isinstance(attempts, Exception)}
    return [
        NodeRow(node, rate(node, Needs(node.cores, node.accelerators)), running.get(node_id))
        for node_id, node in sorted(nodes.items())
    ]
