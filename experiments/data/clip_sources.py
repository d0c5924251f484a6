"""Where clips come from: made on this machine, or a folder of class folders with a clip each as frames or as an array.

A clip is a folder of images, by name, or a file NAME.npy of whole numbers from 0 to 255: frames × height × width, or
frames × height × width × 1 or 3. Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.data import synthetic_clips
from experiments.data.array_data import ArrayCard, Arrays
from experiments.data.clips import SYNTHETIC
from experiments.data.corpus import SPLITS, split_for_share, stable_hash
from experiments.data.image_pixels import CHANNELS, converted, square
from experiments.data.image_sources import ENDINGS, FORMATS
from experiments.data.left_out import say_left_out
from experiments.data.token_arrays import digest
from tracker.errors import DataError
from tracker.records import Settings

RULE_VERSION = 1
"""Raise it whenever what is listed, or how it is split, changes."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip. ``frames`` gives uint8 (frames, channels, side, side); it raises DataError for what is none."""

    name: str
    label: int
    split: str
    frames: Callable[[int], np.ndarray]


@dataclass(frozen=True, slots=True)
class ClipSource:
    """All clips of a source, listed by ``read``; ``skip`` leaves out those that cannot be used."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    description: str
    count: int
    channels: int
    skip: bool
    read: Callable[[], Iterator[Clip]]


def clip_source(options: Mapping[str, Any]) -> ClipSource:
    """The source that these options name, all of them there. Raises DataError."""
    if options["source"] == SYNTHETIC:
        return _synthetic(int(options["clips"]), int(options["seed"]))
    return _folder(Path(options["source"]).expanduser(), str(options["channels"]), skip=options["corrupt"] == "skip")


def clip_arrays(
    source: ClipSource, settings: Settings, progress: Callable[[str], None]
) -> tuple[ArrayCard, Mapping[str, Arrays]]:
    """Card and arrays; inputs are uint8 (clips, frames, channels, side, side), the middle ``stored_frames`` of each.

    Raises DataError for a clip that is shorter, that holds frames of unequal sizes or that cannot be read, unless
    those are to be skipped, and for a class without any in the training split.
    """
    side, frames = int(settings["image_side"]), int(settings["stored_frames"])
    found: dict[str, list[tuple[int, int, np.ndarray]]] = {split: [] for split in SPLITS}
    unusable = list[str]()
    progress(f"reading {source.count:,} clips: {source.name}")
    for clip in source.read():
        try:
            whole = clip.frames(side)
            if len(whole) < frames:
                raise DataError(f"{clip.name}: it has {len(whole)} frames; stored_frames = {frames} are needed")
        except DataError as error:
            if not source.skip:
                raise DataError(f"{error}; corrupt = 'skip' leaves such clips out") from None
            unusable.append(str(error))
            continue
        begin = (len(whole) - frames) // 2
        found[clip.split].append((stable_hash(clip.name), clip.label, whole[begin : begin + frames]))
    say_left_out(unusable, progress)
    _check_classes(source, {split: {label for _, label, _ in of} for split, of in found.items()})
    left_out = f"; {len(unusable):,} that cannot be used left out" if unusable else ""
    card = ArrayCard(
        source.name,
        source.fingerprint,
        source.classes,
        {split: len(of) for split, of in found.items()},
        f"{source.description}: {frames} frames of {side} × {side}{left_out}",
        {"channels": source.channels, "side": side, "frames": frames},
    )
    empty = (0, frames, source.channels, side, side)
    return card, {split: _arrays(sorted(of, key=lambda clip: clip[0]), empty) for split, of in found.items()}


def _check_classes(source: ClipSource, found: Mapping[str, set[int]]) -> None:
    for label, name in enumerate(source.classes):
        if not any(label in of_split for of_split in found.values()):
            raise DataError(f"{source.name}: no clip of class '{name}' can be used")
        if label not in found["train"]:
            raise DataError(f"{source.name}: class '{name}' has no clip in the training split; each class needs one")


def _arrays(clips: list[tuple[int, int, np.ndarray]], empty: tuple[int, ...]) -> Arrays:
    return {
        "inputs": np.stack([frames for _, _, frames in clips]) if clips else np.empty(empty, np.uint8),
        "labels": np.array([label for _, label, _ in clips], np.int64),
    }


def _synthetic(count: int, seed: int) -> ClipSource:
    def read() -> Iterator[Clip]:
        for each in synthetic_clips.synthetic_clips(count, seed):
            yield Clip(each.name, each.label, each.split, partial(_resized, each.frames, 1))

    return ClipSource(
        name="synthetic clips",
        fingerprint=digest({"synthetic clips": {"rule": synthetic_clips.RULE_VERSION, "clips": count, "seed": seed}}),
        classes=synthetic_clips.MOTIONS,
        description=f"{count:,} SYNTHETIC clips of digits that move over a canvas; which motion is it?",
        count=count,
        channels=1,
        skip=False,
        read=read,
    )


def _folder(root: Path, channels: str, *, skip: bool) -> ClipSource:
    if not root.is_dir():
        raise DataError(f"data source '{root}' is neither '{SYNTHETIC}' nor a folder (looked for {root.resolve()})")
    listed = list(_listed(root))
    classes = tuple(sorted({label for _, label, _ in listed}))
    if len(classes) < 2:
        raise DataError(f"{root}: its only class is '{classes[0]}'; two classes are needed")
    fingerprint = hashlib.sha256(f"rule {RULE_VERSION}, {channels}, {skip}\n".encode())
    for path, label, split in listed:
        fingerprint.update(f"{split}\0{label}\0{path.name}\0{_content(path)}\n".encode("utf-8", "surrogatepass"))

    def read() -> Iterator[Clip]:
        for path, label, split in listed:
            name = path.relative_to(root).as_posix()
            chosen = split or split_for_share(stable_hash(name) / 2**64)
            yield Clip(name, classes.index(label), chosen, partial(_frames_of, path, name, CHANNELS[channels]))

    return ClipSource(
        name=root.resolve().name,
        fingerprint=fingerprint.hexdigest()[:16],
        classes=classes,
        description=f"clips in {len(classes)} folders of '{root.resolve().name}'; which one is it from?",
        count=len(listed),
        channels=CHANNELS[channels],
        skip=skip,
        read=read,
    )


def _listed(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Each clip's path, class and split, "" where a hash of its name decides. Raises DataError."""
    folders = _visible(root, Path.is_dir, "a folder for each class")
    names = {folder.name for folder in folders}
    if not names & set(SPLITS):
        places = [(folder, "") for folder in folders]
    elif names == set(SPLITS):
        places = [(each, split.name) for split in folders for each in _visible(split, Path.is_dir, "a folder a class")]
    else:
        shown = ", ".join(sorted(names))
        raise DataError(f"{root}: its folders are {shown}; allowed: one per class, or {', '.join(SPLITS)} and no other")
    for folder, split in places:
        clips = _visible(
            folder, lambda each: each.is_dir() or each.suffix.lower() == ".npy", "folders of frames, or .npy"
        )
        yield from ((clip, folder.name, split) for clip in clips)


def _visible(folder: Path, kind: Callable[[Path], bool], needed: str) -> list[Path]:
    try:
        found = sorted(each for each in folder.iterdir() if each.name[0] not in "._" and kind(each))
    except OSError as error:
        raise DataError(f"data folder '{folder}' cannot be read: {error.strerror}") from None
    if not found:
        raise DataError(f"{folder}: nothing usable is in it; needed: {needed}")
    return found


def _content(path: Path) -> str:
    try:
        files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
        return hashlib.sha256(b"".join(os.fsencode(each.name) + each.read_bytes() for each in files)).hexdigest()
    except OSError as error:
        return f"error {error.errno}"  # said, or left out, where it is to be read


def _frames_of(path: Path, name: str, channels: int, side: int) -> np.ndarray:
    if path.is_dir():
        return _from_images(path, name, channels, side)
    try:
        frames = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{name}: cannot be read as an array: {str(error).splitlines()[0]}") from None
    if not isinstance(frames, np.ndarray) or not (np.issubdtype(frames.dtype, np.number) or frames.dtype == bool):
        held = f"an array of {frames.dtype}" if isinstance(frames, np.ndarray) else "several arrays"
        raise DataError(f"{name}: it holds {held}; allowed: one array of whole numbers from 0 to 255")
    if frames.ndim not in (3, 4) or not frames.size or frames.shape[3:] not in ((), (1,), (3,)):
        shape = " × ".join(map(str, frames.shape))
        raise DataError(f"{name}: its shape is {shape}; allowed: frames × height × width, or that × 1 or 3")
    if not (np.issubdtype(frames.dtype, np.integer) and frames.min() >= 0 and frames.max() <= 255):
        held = f"{frames.dtype} from {frames.min()} to {frames.max()}"
        raise DataError(f"{name}: it holds {held}; allowed: whole numbers from 0 to 255")
    pictures = frames[..., None] if frames.ndim == 3 else frames
    return _resized(pictures.astype(np.uint8).transpose(0, 3, 1, 2), channels, side)


def _from_images(folder: Path, name: str, channels: int, side: int) -> np.ndarray:
    try:
        paths = sorted(each for each in folder.iterdir() if each.suffix.lower() in ENDINGS and each.name[0] != ".")
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None
    if not paths:
        raise DataError(f"{name}: no image is in it; allowed endings: {', '.join(ENDINGS)}")
    found, size = [], None
    for path in paths:
        try:
            with Image.open(path, formats=FORMATS) as image:
                whole = converted(image, channels)
        except Exception as error:  # noqa: BLE001 - Pillow's readers raise errors of all kinds for a broken file
            raise DataError(f"{name}/{path.name}: cannot be read as an image: {error}") from None
        if size not in (None, whole.size):
            was, now = ("{} × {}".format(*each) for each in (size or (0, 0), whole.size))
            raise DataError(
                f"{name}/{path.name}: it is {now}, the frames before it {was}; a clip's are all of one size"
            )
        size = whole.size
        found.append(square(whole, side))
    return np.stack(found)


def _resized(frames: np.ndarray, channels: int, side: int) -> np.ndarray:
    """Frames (frames, c, h, w) as (frames, channels, side, side)."""
    if frames.shape[1:] == (channels, side, side):
        return frames
    pictures = (Image.fromarray(each[0] if len(each) == 1 else each.transpose(1, 2, 0)) for each in frames)
    return np.stack([square(converted(picture, channels), side) for picture in pictures])
