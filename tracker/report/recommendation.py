"""What to buy: the cheapest checkpoint that is nearly as good as the best one, and the best one for half the money."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.report import words
from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints, axis_points, parse_key
from tracker.report.targets import Answer, best_under, cheapest_reaching
from tracker.store.run_table import StudyTable

TOLERANCE = 0.01
"""How far below the best quality the target lies, as a share of the best: little is lost, and it often costs half."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An answer to act on: ``title`` asks, ``figure`` answers in one number, ``answer`` says it in sentences.

    ``epoch`` is that of the checkpoint it names.
    """

    title: str
    figure: str
    answer: Answer
    epoch: int


def recommendations(table: StudyTable) -> list[Recommendation]:
    """The cheapest run at the target, and the best for half of what the best costs; none without a frontier.

    The second is left out where the frontier has a single point: then there is nothing to choose.
    """
    found = axis_points(table)
    frontier = found.frontier
    if frontier.empty:
        return []
    best = frontier.iloc[-1]
    target = target_quality(found)
    share = words.percent(TOLERANCE)
    side = "below" if found.sign > 0 else "above"
    cheapest = cheapest_reaching(found, target)
    answers = [
        _recommended(
            found,
            cheapest,
            f"Cheapest at the target: {found.metric} {y_words(target)}, {share} {side} the best ({y_words(best['y'])})",
            "x",
        )
    ]
    if len(frontier) > 1:
        budget = float(f"{best['x'] / 2:.3g}")
        title = f"Best under {found.x_measure.words(budget)}, half of what the best costs"
        answers.append(_recommended(found, best_under(found, budget), title, "y"))
    return answers


def target_quality(found: AxisPoints) -> float:
    """The best quality less TOLERANCE of its size, with four significant digits.

    Raises IndexError without a frontier.
    """
    best = float(found.frontier["y"].iloc[-1])
    return float(f"{best - found.sign * TOLERANCE * abs(best):.4g}")


def _recommended(found: AxisPoints, answer: Answer, title: str, what: str) -> Recommendation:
    frontier = found.frontier
    epoch = parse_key(answer.key)[1] or 0
    row = frontier[(frontier["run"] == answer.run) & (frontier["epoch"] == epoch)].iloc[0]
    figure = found.x_measure.words(row["x"]) if what == "x" else y_words(row["y"])
    return Recommendation(title, figure, answer, epoch)
