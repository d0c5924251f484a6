"""What the machines of a fleet are billed as: by their labels, else as the study says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracker.engine.fleet import Needs, Node
from tracker.engine.placement import MARKET_LABELS, label
from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.cost import check_billable
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import Hardware, Market
from tracker.study.spec import PricingSpec

SKU_LABEL = "tracker/sku"
REGION_LABELS = ("tracker/region", "ray.io/availability-region")


@dataclass(slots=True)
class FleetRates:
    """The rate of each machine of a fleet, by ``book`` and what the study's ``pricing`` says of those without labels.

    ``hardware`` is what is known of machines, by their ids. ``notify`` gets a sentence for a machine that has no rate:
    nothing runs there.
    """

    book: PriceBook
    pricing: PricingSpec
    hardware: Mapping[str, Hardware]
    notify: Callable[[str], None]
    _known: dict[tuple[str, str], PricePoint | None] = field(default_factory=dict)

    def __call__(self, node: Node, needs: Needs) -> PricePoint | None:
        """What a machine is billed as, for an attempt of these needs; None where it has no rate."""
        return self.on(node, "cuda" if needs.accelerators else "cpu")

    def on(self, node: Node, device: str) -> PricePoint | None:
        """What a machine is billed as for trials on a device; None where it has no rate."""
        if (node.node_id, device) not in self._known:
            try:
                self._known[node.node_id, device] = self._rate(node, device)
            except PriceBookError as error:
                self.notify(f"nothing runs on {node.address} with {device}: {error}")
                self._known[node.node_id, device] = None
        return self._known[node.node_id, device]

    def _rate(self, node: Node, device: str) -> PricePoint:
        """Raises PriceBookError for a label that names nothing, and where there is no such rate."""
        market, region = self._market(node), label(node, REGION_LABELS) or self.pricing.region
        labelled = label(node, (SKU_LABEL,))
        named = _sku_of(labelled, self.book) if labelled else self.pricing.sku[device]
        if named == "auto":
            return self.book.cheapest_for(self._hardware(node), device, market, region)
        point = self.book.point(named, market, region=region)
        check_billable(point, accelerators=int(device == "cuda"))
        return point

    def _market(self, node: Node) -> Market:
        """Raises PriceBookError for a label that is no market."""
        text = label(node, MARKET_LABELS).replace("-", "_")
        try:
            return Market(text) if text else self.pricing.market
        except ValueError:
            raise PriceBookError(f"its label says the market '{text}'; {did_you_mean(text, list(Market))}") from None

    def _hardware(self, node: Node) -> Hardware:
        known = self.hardware.get(node.node_id)
        if known is None:  # it came later: machines of one fleet are taken to be of one architecture
            architecture = next((each.architecture for each in self.hardware.values()), "x86_64")
            return Hardware(
                "", "", architecture, node.cores, node.memory_bytes, node.accelerator_model, node.accelerators
            )
        return known


def as_label(sku: str) -> str:
    """A SKU as a node's label can have it.

    >>> as_label("aws/g5.xlarge")
    'aws_g5.xlarge'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", sku)


def _sku_of(text: str, book: PriceBook) -> str:
    """The SKU that a label names. Raises PriceBookError where it names none."""
    labels = {as_label(sku): sku for sku in book.skus}
    if text not in labels:
        raise PriceBookError(f"its label {SKU_LABEL}={text} names no SKU; {did_you_mean(text, labels)}")
    return labels[text]
