"""A frontier as steps: what each step up costs, and after which one a point of quality gets dear."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints
from tracker.report.words import figure, several

MOST_STEPS = 10
"""So many steps are read out; of more, only the ones that ``best_buys`` marks."""
RULE = (
    "the knee: the point of the frontier that lies farthest above the straight line from its cheapest to its best"
    " point, the cost on a logarithmic scale (Satopää et al. 2011, Kneedle)"
)
COLUMNS = [
    *("from_trial", "from_epoch", "from_quality", "from_cost", "trial", "epoch", "quality", "cost"),
    *("more_quality", "more_cost", "cost_per_step", "best_buy"),
]


@dataclass(frozen=True, slots=True)
class Knee:
    """Where it stops paying: the row ``at`` of the frontier.

    ``before`` and ``beyond`` are what a step of y (AxisPoints.step) costs on the way from the cheapest point to the
    knee, and from there to the best one, in the unit of x.
    """

    at: int
    before: float
    beyond: float


def marginal_steps(found: AxisPoints) -> pd.DataFrame:
    """One row for each step from a frontier point to the next better one, in COLUMNS.

    Costs are in the unit of x (USD for prices); cost_per_step is that of one more ``found.step`` of y. more_quality is
    always above 0. best_buy marks the end of a step that is on the upper concave hull of y against x: the points from
    which, dollar for dollar, the best that money buys next is another one of them; between them a point of y costs more
    and more.
    """
    frontier = found.frontier
    before, after = frontier.iloc[:-1].reset_index(drop=True), frontier.iloc[1:].reset_index(drop=True)
    return pd.DataFrame(
        {
            "from_trial": before["trial"],
            "from_epoch": before["epoch"],
            "from_quality": before["y"],
            "from_cost": before["x"],
            "trial": after["trial"],
            "epoch": after["epoch"],
            "quality": after["y"],
            "cost": after["x"],
            "more_quality": found.sign * (after["y"] - before["y"]),
            "more_cost": after["x"] - before["x"],
            "cost_per_step": after["x_per_step"],
            "best_buy": best_buys(found)[1:],
        },
        columns=COLUMNS,
    )


def best_buys(found: AxisPoints) -> NDArray[np.bool_]:
    """Which points [n] of the frontier are on its upper concave hull, its cheapest and its best point among them."""
    x, gain = found.frontier["x"].to_numpy(), found.sign * found.frontier["y"].to_numpy()
    hull: list[int] = []
    for at in range(len(x)):
        while len(hull) > 1 and _below(x, gain, hull[-2], hull[-1], at):
            hull.pop()
        hull.append(at)
    kept = np.zeros(len(x), dtype=np.bool_)
    kept[hull] = True
    return kept


def _below(x: NDArray[np.float64], gain: NDArray[np.float64], first: int, middle: int, last: int) -> bool:
    """Whether the middle point is on or below the line between the two others."""
    rise, run = gain[last] - gain[first], x[last] - x[first]
    return bool((gain[middle] - gain[first]) * run <= rise * (x[middle] - x[first]))


def knee(found: AxisPoints) -> Knee | None:
    """Where the frontier stops paying, by RULE; None of fewer than three points, and where no point is above the line.

    Beyond it a factor on the cost buys less than it does on average over the frontier.
    """
    frontier = found.frontier
    if len(frontier) < 3:
        return None
    cost, gain = np.log(frontier["x"].to_numpy()), found.sign * frontier["y"].to_numpy()
    above = (gain - gain[0]) / (gain[-1] - gain[0]) - (cost - cost[0]) / (cost[-1] - cost[0])
    at = int(above.argmax())
    if above[at] <= 1e-9:
        return None
    return Knee(at, _slope(found, 0, at), _slope(found, at, len(frontier) - 1))


def _slope(found: AxisPoints, first: int, last: int) -> float:
    rows = found.frontier.iloc[[first, last]]
    return float(np.diff(rows["x"])[0] / (found.sign * np.diff(rows["y"])[0]) * found.step)


def step_sentences(found: AxisPoints) -> list[str]:
    """The frontier in words: where it starts, what each step up costs, and where it stops paying."""
    frontier, steps, words = found.frontier, marginal_steps(found), found.x_measure.words
    first = frontier.iloc[0]
    sentences = [f"It starts at {found.metric} {y_words(first['y'])} for {words(first['x'])}, by {first['short']}."]
    if steps.empty:
        return [*sentences, "It is a single point: nothing that was trained is better at any price."]
    shown = best_buys(found) if len(steps) > MOST_STEPS else np.ones(len(frontier), dtype=np.bool_)
    places = np.flatnonzero(shown)
    if len(places) < len(frontier):
        left = len(frontier) - len(places)
        sentences.append(
            "The steps between its best buys, where a point costs more and more;"
            f" {several(left, 'point')} between them {'is' if left == 1 else 'are'} left out:"
        )
    sentences += [_step(found, first, last) for first, last in itertools.pairwise(places.tolist())]
    return [*sentences, _stop(found)]


def _step(found: AxisPoints, first: int, last: int) -> str:
    before, after = found.frontier.iloc[first], found.frontier.iloc[last]
    words = found.x_measure.words
    return (
        f"{y_words(before['y'])} → {y_words(after['y'])} costs {words(after['x'] - before['x'])} more,"
        f" {words(_slope(found, first, last))} {_per(found)}: {after['short']} for {words(after['x'])}"
    )


def _per(found: AxisPoints) -> str:
    return "a point" if found.step == 0.01 else f"for {found.step:g} of {found.metric}"


def _stop(found: AxisPoints) -> str:
    """Where it stops paying, in words."""
    end = knee(found)
    if end is None and len(found.frontier) < 3:
        return "Two points do not show where it stops paying."
    if end is None:
        return (
            f"It stops paying nowhere: no point lies above the line from the cheapest to the best. The rule is {RULE}."
        )
    point, words = found.frontier.iloc[end.at], found.x_measure.words
    return (
        f"It stops paying after {point['short']}, {found.metric} {y_words(point['y'])} for {words(point['x'])}: up to"
        f" there {words(end.before)} {_per(found)}, beyond it {words(end.beyond)},"
        f" {figure(end.beyond / end.before)} times as much. The rule is {RULE}."
    )
