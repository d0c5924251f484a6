"""What a machine of a fleet is billed as: what its labels say, else its cloud, else the study."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping

from tracker.engine.cluster.placement import label, market_of
from tracker.engine.node import Needs, Node
from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.cost import check_billable
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import Market
from tracker.runner.fleet_machines import FleetMachine
from tracker.study.spec import PricingSpec

SKU_LABELS = ("tracker/sku",)
REGION_LABELS = ("tracker/region", "ray.io/availability-region")


class NodeRates:
    """The rate of each machine, by ``book``. ``notify`` gets a sentence for each machine that can have none.

    ``pricing`` is the study's, and ``points`` its rates by device: what a machine is billed as that has no labels.
    ``machines`` are those that have said what they are: how their clouds sell them, and where the study names no SKU,
    the cheapest like them is theirs.
    """

    def __init__(
        self,
        book: PriceBook,
        pricing: PricingSpec,
        notify: Callable[[str], None],
        points: Mapping[str, PricePoint] | None = None,
        machines: Iterable[FleetMachine] = (),
    ) -> None:
        self._book = book
        self._pricing = pricing
        self._notify = notify
        self._points = points or {}
        self._machines = {machine.node.node_id: machine for machine in machines}
        self._known: dict[tuple[str, str], PricePoint | None] = {}

    def __call__(self, node: Node, needs: Needs) -> PricePoint | None:
        """What a machine is billed as for an attempt on its GPUs, or on its CPU alone; None where it takes none."""
        return self.on(node, "cuda" if needs.accelerators else "cpu")

    def on(self, node: Node, device: str) -> PricePoint | None:
        """What a machine is billed as for attempts on a device; None where it takes none."""
        if (node.node_id, device) not in self._known:
            try:
                self._known[node.node_id, device] = self._point(node, device)
            except PriceBookError as error:
                self._known[node.node_id, device] = None
                self._notify(f"machine {node.address} is left out, nobody knows what it costs: {error}")
        return self._known[node.node_id, device]

    def _point(self, node: Node, device: str) -> PricePoint:
        pricing, machine = self._pricing, self._machines.get(node.node_id)
        sku, market, region = label(node, SKU_LABELS), market_of(node), label(node, REGION_LABELS)
        if market and market not in list(Market):
            raise PriceBookError(f"its label says market '{market}'; {did_you_mean(market, list(Market))}")
        if not sku and (point := self._as_sold(node, device, market, region)) is not None:
            return point
        bought, place = Market(market) if market else pricing.market, region or pricing.region
        if not sku and machine is not None and pricing.sku[device] == "auto":
            return self._book.cheapest_for(machine.hardware, device, bought, place)
        if not sku and device not in self._points:
            raise PriceBookError(f"no label {SKU_LABELS[0]} says it")
        if not (sku or market or region):
            return self._points[device]
        named = _sku_of(sku, self._book) if sku else self._points[device].sku
        point = self._book.point(named, bought, region=place)
        check_billable(point, accelerators=int(device == "cuda"))
        return point

    def _as_sold(self, node: Node, device: str, market: str, region: str) -> PricePoint | None:
        """What a machine is billed as by its cloud's word, but for what labels say; None where the book lacks it."""
        machine = self._machines.get(node.node_id)
        if machine is None or (sold := machine.sold) is None:
            return None
        for place in (region or sold.region, self._pricing.region):  # the book may lack its own
            with contextlib.suppress(PriceBookError):
                point = self._book.point(sold.sku, Market(market or sold.market), region=place)
                check_billable(point, accelerators=int(device == "cuda"))
                return point
        return None


def as_label(sku: str) -> str:
    """A SKU as the label of a Ray node can have it.

    >>> as_label("aws/g5.xlarge")
    'aws_g5.xlarge'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", sku)


def _sku_of(text: str, book: PriceBook) -> str:
    """The SKU that a label names, as it is or ``as_label``; ``text`` where it names none."""
    return {as_label(sku): sku for sku in book.skus}.get(text, text)
