"""The same study on other machines: its likely price by SKU and market."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.errors import PriceBookError
from tracker.pricing.price_point import PricePoint
from tracker.records import Market
from tracker.report.estimate.billing import Billing
from tracker.report.estimate.likely import LikelyCost
from tracker.report.estimate.outlay import Outlay
from tracker.runner.plan import StudyPlan


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine and how it is bought: what the study spends there, or why nobody knows (``problem``, else "").

    ``rests_on`` says where its seconds are from.
    """

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
            "sku": self.sku,
            "market": str(self.market),
            "usd_per_hour": self.usd_per_hour,
            "rests_on": self.rests_on,
            "likely_usd": self.outlay and self.outlay.spend_usd.document,
            "trials": self.outlay and self.outlay.trials.document,
            "wall_seconds": self.outlay and self.outlay.seconds.document,
            "problem": self.problem,
        }


def offers(plan: StudyPlan, likely: LikelyCost, billing: Billing, skus: Sequence[str]) -> list[Offer]:
    """Each SKU in every market that it is sold in, or in the scenario's; the cheapest first, unknown ones last.

    Raises PriceBookError for a SKU that the price book does not have, or not in that market, region or on that day.
    """
    found = [offer for sku in dict.fromkeys(skus) for offer in _of_sku(plan, likely, billing, sku)]
    return sorted(found, key=lambda each: each.outlay.spend_usd.likely if each.outlay else float("inf"))


def points_of(plan: StudyPlan, billing: Billing, sku: str) -> list[PricePoint]:
    """The rates of a SKU that count under a scenario: one a market. Raises PriceBookError."""
    book, scenario = plan.price_book, billing.scenario
    markets = [scenario.market] if scenario.market else list(dict.fromkeys(row.market for row in book.history(sku)))
    region = scenario.region or plan.spec.pricing.region
    points, problems = [], []
    for market in markets:
        try:
            points.append(book.point(sku, market, scenario.as_of, region))
        except PriceBookError as error:
            problems.append(error)
    if not points:
        raise problems[0]
    return points


def _of_sku(plan: StudyPlan, likely: LikelyCost, billing: Billing, sku: str) -> Iterator[Offer]:
    for point in points_of(plan, billing, sku):
        device = "cuda" if point.accelerator else "cpu"
        if problem := _other_kind(plan, point, device):
            yield Offer(sku, point.market, point.usd_per_hour, problem=problem)
            continue
        try:
            outlay = likely.at(billing.at(device, point)).outlay
        except PriceBookError as error:
            yield Offer(sku, point.market, point.usd_per_hour, problem=str(error))
            continue
        yield Offer(sku, point.market, point.usd_per_hour, "seconds as on this machine", outlay)


def _other_kind(plan: StudyPlan, point: PricePoint, device: str) -> str:
    """Why the seconds of this machine do not hold on another; "" where they do."""
    hardware = plan.hardware
    if device not in plan.space.devices:
        return f"this study does not train on {'a GPU' if device == 'cuda' else 'a CPU'} here"
    if device == "cuda" and point.accelerator != hardware.accelerator:
        return f"{point.accelerator} is another processor than this machine's {hardware.accelerator}"
    if device == "cpu" and point.architecture not in ("", hardware.architecture):
        return f"{point.architecture} is another processor than this machine's {hardware.architecture}"
    return ""
