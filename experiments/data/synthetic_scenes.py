"""SYNTHETIC scenes: one to five of scikit-learn's handwritten digits on a noisy canvas, at several scales.

Nobody photographed them. They replace images with boxes where there are none, and what a model reaches on them says
nothing about real ones. The rule, whole:

- A digit is one of the 1,797 images of 8 × 8 (Alpaydin and Kaynak 1998, doi:10.24432/C50P49). A hash of its pixels says
  its split, and a scene has digits of one split only, so that no digit is in two splits.
- Each of one to five digits has a scale of its own, 14 to 36 pixels, and a brightness. Boxes are those of its ink, and
  no two of them share more than OVERLAP of the smaller one: what finds no place in TRIES draws is left out.
- Behind them is a texture, and over all is noise.

Every random number follows from the seed and the number of the scene alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments.data.corpus import split_for_share, stable_hash
from experiments.data.synthetic_clips import digits_with_splits, placed, texture

RULE_VERSION = 1
"""Raise it whenever the rule above, or any figure below, changes."""

SIDE = 96
MOST_DIGITS = 5
SMALLEST, LARGEST = 14.0, 36.0
OVERLAP = 0.1
TRIES = 20


@dataclass(frozen=True, slots=True)
class SyntheticScene:
    """One scene: ``pixels`` uint8 (SIDE, SIDE), boxes (objects, 4) of left, top, width and height, and their digits."""

    name: str
    split: str
    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def synthetic_scenes(count: int, seed: int) -> Iterator[SyntheticScene]:
    """``count`` scenes."""
    digits, labels, splits = digits_with_splits()
    places = {split: np.flatnonzero(np.array(splits) == split) for split in set(splits)}
    for number in range(count):
        split = split_for_share(stable_hash(f"scene {seed} {number}") / 2**64)
        draw = np.random.default_rng([seed, number])
        picture, boxes, shown = texture(draw, SIDE), list[np.ndarray](), list[int]()
        for _ in range(int(draw.integers(1, MOST_DIGITS + 1))):
            which = int(draw.choice(places[split]))
            for _ in range(TRIES):
                scale = draw.uniform(SMALLEST, LARGEST)
                centre = draw.uniform(scale / 2, SIDE - scale / 2, 2)
                box = _box(digits[which], centre, scale)
                if all(_shared(box, other) <= OVERLAP for other in boxes):
                    picture = picture + draw.uniform(0.6, 1.0) * placed(digits[which], centre, scale, SIDE)
                    boxes.append(box)
                    shown.append(int(labels[which]))
                    break
        noisy = picture + draw.normal(0, draw.uniform(0.02, 0.12), (SIDE, SIDE))
        pixels = np.rint(255 * noisy.clip(0.0, 1.0)).astype(np.uint8)
        yield SyntheticScene(f"synthetic scene {number}", split, pixels, np.stack(boxes), np.array(shown))


def _box(digit: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Left, top, width and height of a digit's ink, in pixels from the canvas's corner."""
    ink = [np.flatnonzero(digit.any(axis=1 - axis)) for axis in range(2)]
    (top, bottom), (left, right) = (
        (centre[axis] + (each[0] - 4) * scale / 8 + 0.5, centre[axis] + (each[-1] - 3) * scale / 8 + 0.5)
        for axis, each in enumerate(ink)
    )
    edges = np.array([left, top, right, bottom]).clip(0, SIDE)
    return np.concatenate([edges[:2], edges[2:] - edges[:2]])


def _shared(one: np.ndarray, other: np.ndarray) -> float:
    """The area that two boxes share, over that of the smaller one."""
    edges = np.minimum(one[:2] + one[2:], other[:2] + other[2:]) - np.maximum(one[:2], other[:2])
    return float(edges.clip(0).prod() / min(one[2:].prod(), other[2:].prod()))
