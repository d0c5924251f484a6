"""The machines of a cluster as a table: what each has, costs, runs and has idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tracker.engine.cluster.fleet import Fleet
from tracker.engine.cluster.node_list import NodeRow, node_list
from tracker.pricing.price_book import PriceBook
from tracker.runner.fleet_machines import FleetMachine
from tracker.runner.node_rates import NodeRates
from tracker.runner.study_notes import study_of
from tracker.study.spec import PricingSpec


def fleet_table(
    fleet: Fleet, machines: Sequence[FleetMachine], book: PriceBook, notify: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each of a fleet's machines; ``notify`` gets a sentence for each without a rate.

    Keys: node_id, address, cores, accelerators, accelerator_model, memory_bytes, sku, market, region, usd_per_hour (the
    whole machine's; these four are None without a rate), running (attempts by study; None where it does not answer),
    idle_share, idle_usd_per_hour, draining_seconds (None where it stays). Raises ClusterError.
    """
    rates = NodeRates(book, PricingSpec(), notify, machines=machines)
    rows = node_list(fleet, lambda node, needs: rates(node, needs) if node.cores else None)
    return [_row(row) for row in rows if row.node.cores]


def _row(row: NodeRow) -> dict[str, Any]:
    node, point, running = row.node, row.point, row.running
    return {
        "node_id": node.node_id,
        "address": node.address,
        "cores": node.cores,
        "accelerators": node.accelerators,
        "accelerator_model": node.accelerator_model,
        "memory_bytes": node.memory_bytes,
        "sku": point.sku if point else None,
        "market": point.market if point else None,
        "region": point.region if point else None,
        "usd_per_hour": point.usd_per_hour if point else None,
        "running": None if running is None else dict(Counter(study_of(each.key.study) for each in running)),
        "idle_share": row.idle_share,
        "idle_usd_per_hour": row.idle_usd_per_hour,
        "draining_seconds": node.draining_seconds,
    }
