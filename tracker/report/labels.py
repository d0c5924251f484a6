"""Which points of a chart get a label, and on which side, so that labels do not overlap.

Works in pixels of a small chart: labels that fit there also fit in every larger one, where points are further apart and
the text has the same size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

CHARACTER_PIXELS = 6.8
LINE_PIXELS = 15.0
MARKER_PIXELS = 7.0  # from a marker's centre to the free space around it

MOST_LABELS = 60  # to try: no more fit into a chart

Box = tuple[float, float, float, float]  # left, bottom, right, top


def label_sides(
    xs: Sequence[float], ys: Sequence[float], texts: Sequence[str], limits: tuple[float, float], *, upwards: bool
) -> dict[int, str]:
    """The label side of each frontier point: the side where no point can be, if the label fits.

    ``xs`` rise; all in pixels, y upwards; ``upwards``: the empty side is above the frontier, else below.
    """
    empty_side = "top" if upwards else "bottom"
    sides = [f"{empty_side} left", "middle left", f"{empty_side} center"]
    # The ends answer most questions; between them, the steps that cover the largest area.
    areas = [
        abs(ys[at] - ys[at - 1]) * (following - xs[at]) if 0 < at < len(xs) - 1 else math.inf
        for at, following in enumerate([*xs[1:], limits[0]])
    ]
    order = sorted(range(len(xs)), key=lambda at: -areas[at])[:MOST_LABELS]
    return place_labels(list(zip(xs, ys, strict=True)), texts, order, sides, limits)


def place_labels(
    centres: Sequence[tuple[float, float]],
    texts: Sequence[str],
    order: Iterable[int],
    sides: Sequence[str],
    limits: tuple[float, float],
) -> dict[int, str]:
    """The side ("top left", …) of every label that fits, by the index of its point.

    ``centres`` are in pixels, y upwards; ``order`` is the priority of labels, ``sides`` the sides to try, and
    ``limits`` the width and height that labels must stay within.
    """
    markers = [_around(x, y) for x, y in centres]
    taken: list[Box] = []
    placed: dict[int, str] = {}
    for index in order:
        for side in sides:
            box = _label_box(*centres[index], len(texts[index]) * CHARACTER_PIXELS, side)
            others = [*taken, *(marker for at, marker in enumerate(markers) if at != index)]
            if _inside(box, limits) and not any(_overlap(box, other) for other in others):
                taken.append(box)
                placed[index] = side
                break
    return placed


def _around(x: float, y: float) -> Box:
    reach = MARKER_PIXELS - 1
    return x - reach, y - reach, x + reach, y + reach


def _label_box(x: float, y: float, width: float, side: str) -> Box:
    """The box of a text of this width that plotly draws on this side of a point."""
    vertical, horizontal = side.split()
    left = {"left": x - width - MARKER_PIXELS, "center": x - width / 2, "right": x + MARKER_PIXELS}[horizontal]
    bottom = {
        "top": y + MARKER_PIXELS / 2,
        "middle": y - LINE_PIXELS / 2,
        "bottom": y - LINE_PIXELS - MARKER_PIXELS / 2,
    }[vertical]
    return left, bottom, left + width, bottom + LINE_PIXELS


def _inside(box: Box, limits: tuple[float, float]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= limits[0] and box[3] <= limits[1]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
