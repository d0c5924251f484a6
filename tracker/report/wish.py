"""What is wanted of a study, a quality, a cost, a time or several of them, and the point that answers it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tracker.errors import RequestError
from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints
from tracker.report.targets import Answer, best_of, best_under, cheapest_reaching, in_time, no_answer
from tracker.report.words import duration


@dataclass(frozen=True, slots=True)
class Wish:
    """``quality`` is the least that y has to be (the most, where less is better); ``cost`` the most that x may be.

    ``cost`` is in the unit of x (USD, for a price), ``wall_seconds`` is how long training may take. None is no bound.
    """

    quality: float | None = None
    cost: float | None = None
    wall_seconds: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it asks for nothing: then the whole frontier is the answer."""
        return self.quality is None and self.cost is None and self.wall_seconds is None

    def check(self) -> None:
        """Raises RequestError for a quality that is no number, and for a cost or a time that is not above 0."""
        if self.quality is not None and not math.isfinite(self.quality):
            raise RequestError(f"quality {self.quality:g}: allowed is a finite number")
        for what, value in (("cost", self.cost), ("deadline in seconds", self.wall_seconds)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise RequestError(f"{what} {value:g}: allowed is a finite number above 0")


def answer_to(found: AxisPoints, wish: Wish) -> Answer:
    """The point that ``wish`` asks for, in sentences; the nearest one where none meets it.

    With a quality it is the cheapest that reaches it, otherwise the best within the other bounds. Raises RequestError
    where Wish.check does.
    """
    wish.check()
    if wish.wall_seconds is None:
        return _within_cost(found, wish)
    near = found.within(wish.wall_seconds)
    if near.frontier.empty:
        return _none_in_time(found, wish.wall_seconds)
    answer = _within_cost(near, wish)
    alone = wish.quality is None and wish.cost is None
    question = f"{answer.question}{'' if alone else ','} in {duration(wish.wall_seconds)} or less"
    if answer.reached or wish.quality is None:
        return replace(answer, question=question)
    later = cheapest_reaching(found, wish.quality)
    meets = later.reached and (wish.cost is None or later.x <= wish.cost) and later.wall_seconds > wish.wall_seconds
    slower = f" Without the deadline it is {_timed(later)}." if meets else ""
    return replace(answer, question=question, sentence=f"{answer.sentence}{slower}")


def _within_cost(found: AxisPoints, wish: Wish) -> Answer:
    if wish.quality is None:
        return best_of(found, "Best") if wish.cost is None else best_under(found, wish.cost)
    cheapest = cheapest_reaching(found, wish.quality)
    if wish.cost is None or not cheapest.key:
        return cheapest
    limit = found.x_measure.words(wish.cost)
    question = f"{cheapest.question}, for {limit} or less"
    if cheapest.reached and cheapest.x <= wish.cost:
        return replace(cheapest, question=question)
    best = best_under(found, wish.cost)
    within = f"The best for {limit} is {best.point}." if best.reached else best.sentence
    return replace(best, question=question, sentence=f"{_misses(found, wish, cheapest)} {within}", reached=False)


def _misses(found: AxisPoints, wish: Wish, cheapest: Answer) -> str:
    if not cheapest.reached:
        return cheapest.sentence
    quality = f"{found.metric} {y_words(wish.quality or 0.0)}"
    return f"The cheapest with {quality}{in_time(found)} costs more than that: {cheapest.point}."


def _none_in_time(found: AxisPoints, wall_seconds: float) -> Answer:
    question = f"Best in {duration(wall_seconds)} or less"
    kept = found.points[found.points["kept"].to_numpy()]
    if kept.empty:
        return no_answer(found, question)
    quickest = best_of(found.within(float(kept["wall_seconds"].min())), question)
    sentence = f"No checkpoint was reached in {duration(wall_seconds)}; the quickest is {_timed(quickest)}."
    return replace(quickest, sentence=sentence, reached=False)


def _timed(answer: Answer) -> str:
    return f"{answer.point}, after {duration(answer.wall_seconds)}"
