"""Where an attempt may run: the machines that have what it needs, the best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracker.engine.cluster.contact import Contact
from tracker.engine.node import Needs, Node

MARKET_LABELS = ("tracker/market", "ray.io/market-type")


def label(node: Node, names: Iterable[str]) -> str:
    """The first of these labels that a machine has; "" without any."""
    return next((node.labels[name] for name in names if node.labels.get(name)), "")


def market_of(node: Node) -> str:
    """How a machine is bought, as its labels say: on_demand, spot, …; "" where they do not."""
    return label(node, MARKET_LABELS).replace("-", "_")


def could_meet(node: Node, needs: Needs) -> bool:
    """Whether a machine would do if nothing else ran on it; one whose labels name no market is bought as any."""
    return (
        needs.cores <= node.cores
        and needs.accelerators <= node.accelerators
        and needs.memory_bytes <= node.memory_bytes
        and needs.accelerator_model in ("", node.accelerator_model)
        and market_of(node) in ("", needs.market or market_of(node))
    )


def lacking(nodes: Sequence[Node], needs: Needs) -> str:
    """What is waited for, in a sentence, where none of these machines would ever do; "" where one would."""
    if any(could_meet(node, needs) for node in nodes):
        return ""
    there = ", ".join(node.words for node in nodes[:5])
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    return f"waiting for a machine with {needs.words}; there are: {there or 'none'}{more}"


def places(contacts: Iterable[Contact], needs: Needs, trial: str, now: float) -> list[Contact]:
    """The machines with room: first the one that has the trial's state, then those that would be left with least.

    A machine with GPUs is left to those that need them while there is another.
    """
    fitting = [contact for contact in contacts if contact.has_room(needs, now) and could_meet(contact.node, needs)]

    def order(contact: Contact) -> tuple[bool, bool, int]:
        idle_accelerators = contact.node.accelerators > 0 and not needs.accelerators
        return trial not in contact.states, idle_accelerators, contact.free_cores

    return sorted(fitting, key=order)
