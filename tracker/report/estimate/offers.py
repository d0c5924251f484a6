"""The same study on other machines: its likely price by SKU and market."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracker.errors import PredictionError, PriceBookError
from tracker.pricing.price_point import PricePoint
from tracker.pricing.scenario import Scenario
from tracker.records import Market
from tracker.report.estimate.billing import Billing
from tracker.report.estimate.outlay import Outlay
from tracker.report.prediction_targets import Target, find_targets
from tracker.runner.plan import StudyPlan

if TYPE_CHECKING:
    from tracker.report.estimate.likely import LikelyCost

SAME = "seconds as on this machine"
"""What a price on a machine like this one rests on."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine and how it is bought: what the study spends there, or why nobody knows (``problem``, else "").

    ``rests_on`` says where its seconds are from.
    """

    name: str
    sku: str
    market: Market
    usd_per_hour: float
    rests_on: str = ""
    outlay: Outlay | None = None
    problem: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe."""
        return {
            "on": self.name,
            "sku": self.sku,
            "market": str(self.market),
            "usd_per_hour": self.usd_per_hour,
            "rests_on": self.rests_on,
            "likely_usd": self.outlay and self.outlay.spend_usd.document,
            "trials": self.outlay and self.outlay.trials.document,
            "wall_seconds": self.outlay and self.outlay.seconds.document,
            "problem": self.problem,
        }


def offers(plan: StudyPlan, likely: LikelyCost, billing: Billing, targets: Sequence[Target]) -> list[Offer]:
    """The study on each target; the cheapest first, those that nobody knows last."""
    found = [_offer(plan, likely, billing, target) for target in targets]
    return sorted(found, key=lambda each: each.outlay.spend_usd.likely if each.outlay else math.inf)


def targets_in_markets(names: Sequence[str], plan: StudyPlan, scenario: Scenario) -> list[Target]:
    """The machines of these names (prediction_targets.find_targets) in every market, or in the scenario's.

    Raises PredictionError for an unknown name, PriceBookError for one that has no rate in any of them.
    """
    scenario = Scenario(region=plan.spec.pricing.region or None).then(scenario)
    found: list[Target] = []
    for name in dict.fromkeys(names):
        markets = [scenario.market] if scenario.market else list(Market)
        missing: list[PriceBookError] = []
        for market in markets:
            try:
                found += find_targets([name], plan.price_book, scenario.then(Scenario(market=market)))
            except PriceBookError as error:
                missing.append(error)
        if len(missing) == len(markets):
            raise missing[0]
    return found


def _offer(plan: StudyPlan, likely: LikelyCost, billing: Billing, target: Target) -> Offer:
    point = target.point
    device = "cpu" if target.accelerator is None else "cuda"
    there = billing.at(device, point)
    outlay, rests_on, problem = None, SAME, ""
    most = likely.most_cores
    try:
        if device == "cpu" and point.vcpu is not None and most > point.vcpu:
            problem = f"trials take up to {most:,.0f} cores, it has {point.vcpu:g}"
        elif _is_same(plan, point, device):
            outlay = likely.at(there).outlay
        else:
            outlay, rests_on = likely.on(target.accelerator, there)
    except (PredictionError, PriceBookError) as error:
        problem = str(error)
    return Offer(target.name, point.sku, point.market, point.usd_per_hour, "" if problem else rests_on, outlay, problem)


def _is_same(plan: StudyPlan, point: PricePoint, device: str) -> bool:
    """Whether the seconds of this machine are taken to hold on another, for what runs on ``device``."""
    hardware = plan.hardware
    if plan.space.devices != (device,):
        return False
    if device == "cuda":
        return point.accelerator == hardware.accelerator
    return point.architecture in ("", hardware.architecture)
