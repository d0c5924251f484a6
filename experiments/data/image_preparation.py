"""From a source of images to arrays: read, left out where they must be, divided into splits.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from experiments.data.array_data import ArrayCard, Arrays
from experiments.data.corpus import SPLITS, split_for_share
from experiments.data.image_pixels import CHANNELS, converted, square
from experiments.data.image_sources import FORMATS, ImageItem, ImageSource
from tracker.errors import DataError
from tracker.records import Settings

CORRUPT = ("fail", "skip")
LARGEST_DEFAULT_SIDE = 64
IMAGES_LOOKED_AT = 100
"""How many images decide the default side and channels."""
IMAGES_COUNTED_AT_ONCE = 1000
NAMES_SHOWN = 20
SMALLEST_DEVIATION = 1e-3
"""Keeps images that are all of one shade finite."""

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A prepared image; ``problem`` says why it cannot be read, "" where it can."""

    item: ImageItem
    pixel_hash: int
    square: np.ndarray
    problem: str = ""

    @property
    def split(self) -> str:
        """Its split: that of its source, or what its pixels say, so that equal images are never divided."""
        return self.item.split or split_for_share(self.pixel_hash / 2**64)


def image_arrays(
    source: ImageSource, data: Mapping[str, Any], settings: Settings, progress: Notify
) -> tuple[ArrayCard, dict[str, Arrays]]:
    """Card and arrays; inputs are uint8 (images, channels, side, side), in the order of a hash of their pixels.

    Images become squares whatever their proportions. The card has ``channels``, ``side``, and the ``mean`` and
    ``deviation`` of each channel of the training split, where 1 is white. Raises DataError for an image that cannot
    be read (unless the option ``corrupt`` is "skip"), a class without any that can, and an unknown option's value.
    """
    channels, side = _channels(source, data), int(settings.get("image_side") or _side(source))
    progress(f"reading {len(source.items):,} images as squares of {side} × {side}")
    decoded = _decode(source, channels, side, skip=_corrupt(data) == "skip")
    broken = [each for each in decoded if each.problem]
    if broken:
        named = _listed([f"{each.item.place} ({each.problem})" for each in broken])
        progress(f"left out {len(broken):,} unreadable image{'s' if len(broken) > 1 else ''}: {named}")
    readable = sorted((each for each in decoded if not each.problem), key=lambda each: each.pixel_hash)
    kept = _without_duplicates(readable) if settings["deduplicate"] else readable
    _check_classes(source, readable, kept)
    splits = {split: _arrays([each for each in kept if each.split == split], channels, side) for split in SPLITS}
    card = ArrayCard(
        name=source.name,
        fingerprint=source.fingerprint,
        classes=source.classes,
        rows={split: len(splits[split]["labels"]) for split in SPLITS},
        description=_description(source, len(kept), channels, side, len(broken), len(readable) - len(kept)),
        extra={"channels": channels, "side": side, **_statistics(splits["train"]["inputs"])},
    )
    return card, splits


def _channels(source: ImageSource, data: Mapping[str, Any]) -> int:
    named = str(data.get("channels", "auto"))
    if named in CHANNELS:
        return CHANNELS[named]
    if named != "auto":
        raise DataError(f"data option channels is '{named}'; allowed: auto, {', '.join(CHANNELS)}")
    grey = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "F")
    return 1 if all(mode in grey for mode, _ in _looked_at(source)) else 3


def _side(source: ImageSource) -> int:
    sides = [longest for _, longest in _looked_at(source)]
    return min(int(statistics.median_low(sides or [LARGEST_DEFAULT_SIDE])), LARGEST_DEFAULT_SIDE)


def _looked_at(source: ImageSource) -> list[tuple[str, int]]:
    """The mode and the longer side of images spread over the source, those that cannot be read left out."""
    found = []
    for item in islice(source.items, 0, None, max(1, len(source.items) // IMAGES_LOOKED_AT)):
        try:
            with item.open() as image:
                found.append((image.mode, max(image.size)))
        except Exception:  # noqa: BLE001 - said, or counted, where all images are read
            continue
    return found


def _corrupt(data: Mapping[str, Any]) -> str:
    named = str(data.get("corrupt", CORRUPT[0]))
    if named not in CORRUPT:
        raise DataError(f"data option corrupt is '{named}'; allowed: {', '.join(CORRUPT)}")
    return named


def _decode(source: ImageSource, channels: int, side: int, *, skip: bool) -> list[_Decoded]:
    with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes without holding the interpreter's lock
        return list(pool.map(partial(_decoded, channels=channels, side=side, skip=skip), source.items))


def _decoded(item: ImageItem, channels: int, side: int, skip: bool) -> _Decoded:
    try:
        with item.open() as image:
            whole = converted(image, channels)
    except Exception as error:  # Pillow's readers raise errors of all kinds for a broken file
        problem = _problem(error)
        if not skip:
            message = f'{item.place}: cannot be read as an image: {problem}; corrupt = "skip" leaves such ones out'
            raise DataError(message) from error
        return _Decoded(item, 0, np.empty(0), problem)
    pixels = hashlib.blake2b(f"{whole.mode} {whole.size} ".encode() + whole.tobytes(), digest_size=8)
    return _Decoded(item, int.from_bytes(pixels.digest(), "big"), square(whole, side))


def _problem(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is in none of the formats {', '.join(FORMATS)}"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _check_classes(source: ImageSource, readable: Sequence[_Decoded], kept: Sequence[_Decoded]) -> None:
    every = {item.label for item in source.items}
    if lost := every - {each.item.label for each in readable}:
        raise DataError(f"{source.name}: no image of class '{source.classes[min(lost)]}' can be read")
    unlearnt = every - {each.item.label for each in kept if each.split == "train"}
    if unlearnt and {each.split for each in kept} == {*SPLITS}:  # else that is what is wrong
        name = source.classes[min(unlearnt)]
        raise DataError(f"{source.name}: class '{name}' has no image in the training split; each class needs one")


def _without_duplicates(decoded: Sequence[_Decoded]) -> list[_Decoded]:
    """One image of those with the same pixels: that of the test split, then of validation, then the first."""
    first: dict[int, _Decoded] = {}
    for each in sorted(decoded, key=lambda each: -SPLITS.index(each.split)):
        first.setdefault(each.pixel_hash, each)
    return sorted(first.values(), key=lambda each: each.pixel_hash)


def _arrays(decoded: Sequence[_Decoded], channels: int, side: int) -> Arrays:
    inputs = np.empty((len(decoded), channels, side, side), np.uint8)
    for row, each in enumerate(decoded):
        inputs[row] = each.square
    arrays: dict[str, np.ndarray] = {
        "inputs": inputs,
        "labels": np.array([each.item.label for each in decoded], np.int64),
    }
    if any(each.item.slice is not None for each in decoded):
        arrays["slices"] = np.array([each.item.slice for each in decoded], np.int64)
    return arrays


def _statistics(inputs: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel, from how often each of the 256 shades occurs."""
    shades = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(inputs.shape[1]):
        parts = np.array_split(inputs[:, channel], 1 + len(inputs) // IMAGES_COUNTED_AT_ONCE)
        counts = sum(np.bincount(part.ravel(), minlength=256) for part in parts)
        mean = float((counts * shades).sum() / max(1, counts.sum()))
        variance = float((counts * (shades - mean) ** 2).sum() / max(1, counts.sum()))
        means.append(mean)
        deviations.append(max(variance**0.5, SMALLEST_DEVIATION))
    return {"mean": means, "deviation": deviations}


def _description(source: ImageSource, images: int, channels: int, side: int, broken: int, duplicates: int) -> str:
    colour = "grey" if channels == 1 else "colour"
    text = f"{source.description}: {images:,} {colour} images, {side} × {side}, in {len(source.classes)} classes"
    left_out = [f"{broken:,} unreadable"] if broken else []
    left_out += [f"{duplicates:,} duplicate"] if duplicates else []
    return text + (f"; {' and '.join(left_out)} images left out" if left_out else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (
        f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    )
