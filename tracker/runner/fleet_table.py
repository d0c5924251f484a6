"""The machines of a cluster as a table: what each has, costs, runs and has idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tracker.pricing.price_book import PriceBook
from tracker.runner.fleet_machines import FleetMachine
from tracker.runner.node_rates import NodeRates
from tracker.runner.study_notes import study_of
from tracker.study.spec import PricingSpec


def fleet_table(
    machines: Sequence[FleetMachine], book: PriceBook, notify: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each machine; ``notify`` gets a sentence for each without a rate.

    Keys: node_id, address, cores, accelerators, accelerator_model, memory_bytes, sku, market, region, usd_per_hour (the
    whole machine's; these four are None without a rate), running (attempts by study), idle_cores, idle_accelerators,
    draining_seconds (None where it stays).
    """
    rates = NodeRates(book, PricingSpec(), notify, hardware={each.node.node_id: each.hardware for each in machines})
    return [_row(machine, rates) for machine in machines]


def _row(machine: FleetMachine, rates: NodeRates) -> dict[str, Any]:
    node = machine.node
    point = rates.on(node, "cuda" if node.accelerators else "cpu")
    return {
        "node_id": node.node_id,
        "address": node.address,
        "cores": node.cores,
        "accelerators": node.accelerators,
        "accelerator_model": machine.hardware.accelerator,
        "memory_bytes": machine.hardware.memory_bytes,
        "sku": point.sku if point else None,
        "market": point.market if point else None,
        "region": point.region if point else None,
        "usd_per_hour": point.usd_per_hour if point else None,
        "running": dict(Counter(study_of(key.study) for key, _, _ in machine.running)),
        "idle_cores": max(0, node.cores - sum(cores for _, cores, _ in machine.running)),
        "idle_accelerators": max(0, node.accelerators - sum(gpus for _, _, gpus in machine.running)),
        "draining_seconds": node.draining_seconds,
    }
