"""What a study will cost before it is run: at most, likely, how many trials, how long; each figure with its ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import RequestError
from tracker.pricing.currency import USD, ExchangeRate, exchange_rate
from tracker.pricing.money_unit import MoneyUnit, money_unit
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.report import words
from tracker.report.estimate.billing import Billing
from tracker.report.estimate.fixed_work import fixed_work
from tracker.report.estimate.grounds import Grounds, grounds_of
from tracker.report.estimate.offers import Offer, offers, targets_in_markets
from tracker.report.estimate.outlay import Fixed, Outlay, Room
from tracker.report.estimate.past import PastRun, past_of
from tracker.report.estimate.sizes import TrainingCost, training_costs
from tracker.report.plain import plain
from tracker.runner.bounds import bounds, most_trials
from tracker.runner.checked import Bound
from tracker.runner.outline import outline
from tracker.runner.plan import StudyPlan
from tracker.store.home import Home
from tracker.study.document import StudyDocument

PROBE_HINT = "`tracker estimate STUDY.toml --probe` trains two short trials to find out"


@dataclass(frozen=True)
class Trained:
    """What past runs let expect: the study's outlay, whole trainings, and other machines.

    ``first_usd`` is what a training costs until its first checkpoint: where trials are paused, many stop there.
    """

    outlay: Outlay
    trainings: Sequence[TrainingCost]
    offers: Sequence[Offer]
    first_usd: float


@dataclass(frozen=True)
class Estimate:
    """What a study will cost. ``at_most`` is the lowest bound that is a figure, None where there is none.

    ``likely`` is None where ``grounds`` say that no past run says anything. ``fixed`` comes before its trials.
    ``remarks`` are sentences that a reader must know.
    """

    study: str
    strategy: str
    at_most: Bound | None
    likely: Trained | None
    grounds: Grounds
    fixed: Fixed
    workers: int
    budget_trials: int | None
    scenario: Scenario
    price_book: str
    currency: ExchangeRate
    remarks: Sequence[str]

    @property
    def unit(self) -> MoneyUnit:
        """The unit that amounts are shown in: by the prices of its trainings."""
        prices = [each.usd.likely for each in self.likely.trainings] if self.likely else []
        return money_unit(prices, self.currency)

    @property
    def most_usd(self) -> float | None:
        """The most that is known of what it may cost, in USD: its bound, else the high end of what is likely."""
        if self.at_most is not None and self.at_most.usd is not None:
            return self.at_most.usd
        return self.likely.outlay.spend_usd.high if self.likely else None

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe; money in USD, times in seconds."""
        likely = self.likely
        found: dict[str, Any] = plain(
            {
                "study": self.study,
                "at_most": self.at_most and {"usd": self.at_most.usd, "because": self.at_most.sentence},
                "likely_usd": likely and likely.outlay.spend_usd.document,
                "trials": likely and likely.outlay.trials.document,
                "wall_seconds": likely and likely.outlay.seconds.document,
                "workers": self.workers,
                "rests_on": self.grounds.document,
                "before_trials": {
                    "usd": self.fixed.usd,
                    "data_usd": self.fixed.data_usd,
                    "wall_seconds": self.fixed.seconds,
                },
                "first_checkpoint_usd": likely and likely.first_usd,
                "trainings": [each.document for each in likely.trainings] if likely else [],
                "on": [each.document for each in likely.offers] if likely else [],
                "scenario": None if self.scenario.is_empty else self.scenario.document,
                "price_book": self.price_book,
                "notes": list(self.remarks),
            }
        )
        return found


def estimate_cost(
    document: StudyDocument,
    home: Home,
    *,
    scenario: Scenario = AS_BILLED,
    currency: str = USD.code,
    on: Sequence[str] = (),
    workers: int | None = None,
    probe: str = "",
) -> Estimate:
    """Estimate a study from past runs in a home; ``probe`` names the study of its probe, "" without one.

    ``on`` are SKUs and accelerators to price it on too, ``workers`` the most trials at once. Raises StudyFileError,
    HardwareError; PriceBookError, PredictionError and ScenarioError for unknown names; and RequestError where the
    machines of ``on`` are asked for and no past run says anything.
    """
    document = document.anchored(Path.cwd())
    outline(document, home)  # what is wrong with the file is said before anything is read
    past = past_of(document, home)
    plan = outline(document, home, past.defaults)
    billing = Billing.of(plan, scenario)
    targets = targets_in_markets(on, plan, scenario)
    rate = exchange_rate(currency, plan.price_book.exchange_rates, scenario.as_of)
    grounds, runs = grounds_of(plan, past, probe)
    before = [run for run in past.runs if run.hardware == (grounds.machine or plan.hardware.label)]
    fixed, remarks = fixed_work(plan, before, billing)
    at_most, likely = _lowest(list(bounds(billing.on(plan)))), None
    at_once = Room.of(plan, workers).workers
    if runs:
        from tracker.report.estimate.likely import LikelyCost  # it learns with scipy, whose import takes long

        cost = LikelyCost(plan, runs, before, workers, grounds.deviation)
        priced = cost.at(billing)
        at_once = cost.room.at_once(priced.pool)
        trials = most_trials(plan)
        if at_most is None and trials is not None:
            at_most = cost.dearest(priced, trials)
        likely = Trained(
            priced.outlay,
            training_costs(priced.pool, plan.space, cost.doubt),
            offers(plan, cost, billing, targets),
            float(np.median(priced.pool.first_usd)),
        )
    found = Estimate(
        plan.spec.name,
        plan.spec.strategy,
        at_most,
        likely,
        grounds,
        fixed,
        at_once,
        most_trials(plan),
        billing.scenario,
        plan.price_book.version,
        rate,
        [*(remarks if likely else ()), *_remarks(plan, runs)],
    )
    if on:
        check_likely(found, "its price on other machines")
    return found


def check_known(estimate: Estimate) -> None:
    """Raise RequestError where nothing can be said: nothing bounds the cost, and no past run says anything."""
    if estimate.most_usd is None:
        check_likely(estimate, "what it will cost")


def check_likely(estimate: Estimate, what: str) -> None:
    """Raise RequestError where no past run says anything."""
    if estimate.likely is None:
        why = f"{estimate.grounds.sentence}; {PROBE_HINT}"
        raise RequestError(f"study '{estimate.study}': nothing is known of {what}: {why}")


def _lowest(every: Sequence[Bound]) -> Bound | None:
    known = [bound for bound in every if bound.usd is not None]
    return min(known, key=lambda bound: bound.usd or 0.0, default=None)


def _remarks(plan: StudyPlan, runs: Sequence[PastRun]) -> list[str]:
    """What a reader must know of the figures of this plan."""
    remarks = []
    if busy := sum(run.busy for run in runs):
        remarks.append(f"{busy:,} of {words.several(len(runs), 'past run')} trained while the machine was busy")
    if plan.spec.engine.name != "local":
        remarks.append("times and rates are those of this machine; on a cluster those of its machines count")
    return remarks
