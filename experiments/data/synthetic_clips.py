"""SYNTHETIC clips: one of scikit-learn's handwritten digits that moves over a noisy canvas in one of eight ways.

Nobody filmed them. They replace videos where there are none, and what a model reaches on them says nothing about
real ones. The rule, whole:

- A digit is one of the 1,797 images of 8 × 8 (Alpaydin and Kaynak 1998, doi:10.24432/C50P49), at a size of its own. A
  hash of its pixels says its split, so that no digit is in two splits. Which digit it is says nothing about the class.
- It moves by one of MOTIONS: in a straight line, on a circle, or growing or shrinking where it is. Speed, place, phase
  and brightness are drawn; lines and circles have a little jitter.
- Behind it is a still texture, and every frame has noise of its own.

Every random number follows from the seed and the number of the clip alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments import lazy
from experiments.data.corpus import split_for_share

RULE_VERSION = 1
"""Raise it whenever the rule above, or any figure below, changes."""

MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise", "growing", "shrinking")
FRAMES = 24
SIDE = 32
_HEADINGS = {"left": (0.0, -1.0), "right": (0.0, 1.0), "up": (-1.0, 0.0), "down": (1.0, 0.0)}


@dataclass(frozen=True, slots=True)
class SyntheticClip:
    """One clip: ``frames`` is uint8 (FRAMES, 1, SIDE, SIDE), ``label`` a place in MOTIONS."""

    name: str
    label: int
    split: str
    frames: np.ndarray


def synthetic_clips(count: int, seed: int) -> Iterator[SyntheticClip]:
    """``count`` clips, the motions in turn."""
    digits, _, splits = digits_with_splits()
    for number in range(count):
        draw = np.random.default_rng([seed, number])
        which, label = int(draw.integers(len(digits))), number % len(MOTIONS)
        frames = _frames(digits[which], MOTIONS[label], draw)
        yield SyntheticClip(f"synthetic clip {number}", label, splits[which], frames)


def digits_with_splits() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The digits, (1797, 8, 8) from 0 to 1, which digit each is, and the split that a hash of its pixels says."""
    loaded = lazy.call("sklearn.datasets:load_digits")
    digits = np.asarray(loaded.images, dtype=np.float32) / 16
    return digits, np.asarray(loaded.target, dtype=np.int64), [split_for_share(_pixel_share(each)) for each in digits]


def _pixel_share(digit: np.ndarray) -> float:
    return int.from_bytes(hashlib.blake2b(digit.tobytes(), digest_size=8).digest(), "big") / 2**64


def _frames(digit: np.ndarray, motion: str, draw: np.random.Generator) -> np.ndarray:
    size, centre = draw.uniform(9.0, 14.0), draw.uniform(0.35 * SIDE, 0.65 * SIDE, 2)
    speed, phase, radius = draw.uniform(0.35, 0.8), draw.uniform(0, 2 * math.pi), draw.uniform(4.0, 7.0)
    brightness, noise = draw.uniform(0.6, 1.0), draw.uniform(0.03, 0.12)
    ground = texture(draw, SIDE)
    found = np.empty((FRAMES, 1, SIDE, SIDE), np.uint8)
    for frame in range(FRAMES):
        time = frame - (FRAMES - 1) / 2
        place, scale = centre + draw.normal(0, 0.15, 2), size
        if motion in _HEADINGS:
            place = place + np.array(_HEADINGS[motion]) * speed * time
        elif motion in ("clockwise", "anticlockwise"):
            turn = phase + (1 if motion == "clockwise" else -1) * speed * time / 2.5
            place = place + radius * np.array([math.sin(turn), math.cos(turn)])
        else:
            scale = size * math.exp((1 if motion == "growing" else -1) * speed * time / 18)
        picture = ground + brightness * placed(digit, place, scale, SIDE) + draw.normal(0, noise, (SIDE, SIDE))
        found[frame, 0] = np.rint(255 * picture.clip(0.0, 1.0))
    return found


def placed(digit: np.ndarray, place: np.ndarray, scale: float, side: int) -> np.ndarray:
    """The digit (8, 8) on a canvas (side, side), its middle at ``place``, ``scale`` pixels wide; bilinear."""
    rows, columns = ((np.arange(side, dtype=np.float32) - place[axis]) / scale * 8 + 3.5 for axis in range(2))
    padded = np.pad(digit, 1)
    (row, down), (column, right) = (_parts(each) for each in (rows, columns))
    upper = padded[row][:, column] * (1 - right) + padded[row][:, column + 1] * right
    lower = padded[row + 1][:, column] * (1 - right) + padded[row + 1][:, column + 1] * right
    return np.asarray(upper * (1 - down[:, None]) + lower * down[:, None])


def _parts(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places on a line of 8 pixels with one of padding at either end: the pixel before, and the share of the next."""
    inside = (places + 1).clip(0.0, 8.999)
    whole = np.floor(inside).astype(np.int64)
    return whole, (inside - whole).astype(np.float32)


def texture(draw: np.random.Generator, side: int) -> np.ndarray:
    """A background (side, side): smoothed noise, darker than a digit."""
    patches = -(-side // 6)
    coarse = draw.uniform(0.0, 0.35, (patches, patches))
    fine = np.kron(coarse, np.ones((6, 6)))[:side, :side]
    kernel = np.ones(5) / 5
    for axis in (0, 1):
        fine = np.apply_along_axis(lambda line: np.convolve(np.pad(line, 2, mode="edge"), kernel, "valid"), axis, fine)
    return fine
