"""What a machine of a fleet is billed as: what its labels say, and what the study says where they say nothing."""

from __future__ import annotations

from collections.abc import Callable

from tracker.engine.fleet import Needs, Node
from tracker.engine.placement import label, market_of
from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.cost import check_billable
from tracker.pricing.price_point import PricePoint
from tracker.records import Market
from tracker.runner.plan import StudyPlan

SKU_LABELS = ("tracker/sku",)
REGION_LABELS = ("tracker/region", "ray.io/availability-region")


class NodeRates:
    """The rate of each machine, for a study. ``notify`` gets a sentence for each machine that can have none."""

    def __init__(self, plan: StudyPlan, notify: Callable[[str], None]) -> None:
        self._plan = plan
        self._notify = notify
        self._known: dict[tuple[str, bool], PricePoint | None] = {}

    def __call__(self, node: Node, needs: Needs) -> PricePoint | None:
        """What a machine is billed as for an attempt on its GPUs, or on its CPU alone; None where it takes none."""
        key = node.node_id, needs.accelerators > 0
        if key not in self._known:
            try:
                self._known[key] = self._point(node, needs)
            except PriceBookError as error:
                self._known[key] = None
                self._notify(f"machine {node.address} is left out, nobody knows what it costs: {error}")
        return self._known[key]

    def _point(self, node: Node, needs: Needs) -> PricePoint:
        plan, pricing = self._plan, self._plan.spec.pricing
        study = plan.price_points.get("cuda" if needs.accelerators else "cpu", plan.cpu_point)
        sku, market, region = label(node, SKU_LABELS), market_of(node), label(node, REGION_LABELS)
        if not (sku or market or region):
            return study
        if market and market not in list(Market):
            raise PriceBookError(f"its label says market '{market}'; {did_you_mean(market, list(Market))}")
        bought = Market(market) if market else pricing.market
        point = plan.price_book.point(sku or study.sku, bought, region=region or pricing.region)
        check_billable(point, accelerators=needs.accelerators)
        return point
