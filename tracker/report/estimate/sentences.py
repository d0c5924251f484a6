"""An estimate in words: what `tracker estimate` prints, and the two lines of `tracker run`."""

from __future__ import annotations

from tracker.pricing.money_unit import MoneyUnit
from tracker.report import words
from tracker.report.estimate.estimate import Estimate, Trained
from tracker.report.estimate.outlay import CONFIDENCE, Spread
from tracker.study.spec import STRATEGIES


def two_lines(estimate: Estimate) -> list[str]:
    """What a study will cost, and for that how many trials in how long, or why that is not known."""
    likely = estimate.likely
    if likely is None:
        return [f"cost: {at_most(estimate)}", f"what is likely is not known: {estimate.grounds.sentence}"]
    return [
        f"cost: {at_most(estimate)}; likely {money(likely.outlay.spend_usd, estimate.unit)}, "
        f"{estimate.grounds.sentence}",
        f"{trials_and_time(estimate, likely)}; one whole training {_one(estimate, likely)}",
    ]


def at_most(estimate: Estimate) -> str:
    """The bound, with what it is."""
    bound = estimate.at_most
    if bound is None or bound.usd is None:
        return "nothing bounds it"
    return f"at most {words.money(bound.usd, MoneyUnit(estimate.currency))} ({bound.sentence.partition(':')[0]})"


def money(usd: Spread, unit: MoneyUnit) -> str:
    """A likely amount with its range; without one where both ends read the same."""
    low, likely, high = (words.money(each, unit) for each in (usd.low, usd.likely, usd.high))
    return likely if low == high else f"{likely} ({low} to {high})"


def trials_and_time(estimate: Estimate, likely: Trained) -> str:
    """How many trials the budget buys, and how long they take."""
    trials, seconds = likely.outlay.trials, likely.outlay.seconds
    low, most_likely, high = round(trials.low), round(trials.likely), round(trials.high)
    count = words.several(most_likely, "whole training") + ("" if low == high else f" ({low:,} to {high:,})")
    if estimate.strategy == STRATEGIES[0] and estimate.budget_trials is None and likely.first_usd > 0:
        most = (likely.outlay.spend_usd.likely - estimate.fixed.usd - estimate.fixed.data_usd) / likely.first_usd
        if most >= most_likely + 1:
            count += f", or up to {round(most):,} trials that are paused at their first checkpoint"
    took = words.duration(seconds.likely)
    if seconds.high > 1.05 * seconds.low:
        took += f" ({words.duration(seconds.low)} to {words.duration(seconds.high)})"
    return f"{count} in {took}, at most {estimate.workers:,} at once"


TRAINING_COLUMNS = ("one training", "price", "range", "time")


def training_rows(estimate: Estimate, likely: Trained) -> list[tuple[str, ...]]:
    """Whole trainings as texts, a row each in TRAINING_COLUMNS."""
    return [
        (
            each.name,
            words.money(each.usd.likely, estimate.unit),
            _from_to(each.usd.low, each.usd.high, estimate.unit),
            words.duration(each.seconds.likely),
        )
        for each in likely.trainings
    ]


def _one(estimate: Estimate, likely: Trained) -> str:
    low = min(each.usd.likely for each in likely.trainings)
    high = max(each.usd.likely for each in likely.trainings)
    return money(Spread(low, low, high), estimate.unit) if low == high else _from_to(low, high, estimate.unit)


def _from_to(low: float, high: float, unit: MoneyUnit) -> str:
    return f"{words.money(low, unit)} to {words.money(high, unit)}"


def confidence_sentence() -> str:
    """What the figures in brackets are."""
    return f"in brackets: what {CONFIDENCE:.0%} of such studies lie between, if past runs are like the ones to come"
