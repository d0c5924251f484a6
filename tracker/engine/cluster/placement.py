"""Where an attempt may run: the machines that have what it needs, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from tracker.engine.cluster.contact import Contact
from tracker.engine.node import Needs, Node
from tracker.pricing.price_point import PricePoint

STATE_ELSEWHERE = 1.1
"""A trial moves away from its state to a machine that is cheaper by more than this: bringing it costs time."""
MARKET_LABELS = ("tracker/market", "ray.io/market-type")
Rate = Callable[[Node, Needs], PricePoint | None]
"""What a machine is billed as, for an attempt of these needs; None where it may have none."""


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
        and needs.memory_bytes <= node.trial_memory_bytes
        and needs.accelerator_model in ("", node.accelerator_model)
        and (not needs.market or market_of(node) in ("", needs.market))
    )


def lacking(nodes: Sequence[Node], needs: Needs, rate: Rate) -> str:
    """What is waited for, in a sentence, where these machines would never do; "" where they would."""
    able = [node for node in nodes if could_meet(node, needs)]
    if needs.nodes == 1 and able:
        return ""
    points = [point for node in able if needs.nodes > 1 and (point := rate(node, needs)) is not None]
    if max(Counter(points).values(), default=0) >= needs.nodes:
        return ""
    wanted = f"a machine with {needs.words}"
    if needs.nodes > 1:
        wanted = f"{needs.nodes} machines of one SKU, market and region, each with {needs.words}"
    there = ", ".join(
        node.words + f", {node.trial_memory_bytes / 2**30:.1f} GB of memory for trials" * bool(needs.memory_bytes)
        for node in nodes[:5]
    )
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    return f"waiting for {wanted}; there are: {there or 'none'}{more}"


def places(contacts: Iterable[Contact], needs: Needs, now: float) -> list[Contact]:
    """The machines with room."""
    return [contact for contact in contacts if contact.has_room(needs, now) and could_meet(contact.node, needs)]


def alike(
    contacts: Iterable[Contact], needs: Needs, trial: str, rate: Rate
) -> Iterator[tuple[PricePoint, Sequence[Contact]]]:
    """Machines that an attempt at a trial may have together, all of one rate, at least as many as it needs.

    The cheapest an hour come first, of equals those that would be left with least; one that has the trial's state
    counts as cheaper, and one with GPUs is left to those that need them while there is another. Where an attempt needs
    one machine, each is by itself.
    """
    rated = ((rate(contact.node, needs), contact) for contact in contacts)
    billed = [(point, contact) for point, contact in rated if point and needs.market in ("", point.market)]

    def order(each: tuple[PricePoint, Contact]) -> tuple[bool, float, int]:
        point, contact = each
        idle_accelerators = contact.node.accelerators > 0 and not needs.accelerators
        usd_per_hour = point.usd_per_hour * contact.node.share(needs.cores, needs.accelerators)
        elsewhere = 1.0 if trial in contact.states else STATE_ELSEWHERE
        return idle_accelerators, usd_per_hour * elsewhere, contact.free_cores

    billed.sort(key=order)
    if needs.nodes == 1:
        yield from ((point, [contact]) for point, contact in billed)
        return
    groups: dict[PricePoint, list[Contact]] = {}
    for point, contact in billed:
        groups.setdefault(point, []).append(contact)
    yield from ((point, group) for point, group in groups.items() if len(group) >= needs.nodes)
