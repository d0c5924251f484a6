"""Where images with boxes come from: synthetic scenes, or files in COCO's form with a folder of images.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.data.array_data import ArrayCard, Arrays
from experiments.data.coco_file import CocoFile, CocoImage, read_coco
from experiments.data.corpus import SPLITS, split_for_share, stable_hash
from experiments.data.image_pixels import CHANNELS, converted, letterboxed, scale_to_fit
from experiments.data.image_sources import FORMATS
from experiments.data.left_out import say_left_out
from experiments.data.scenes import NO_OBJECT, SYNTHETIC
from experiments.data.synthetic_scenes import RULE_VERSION as SYNTHETIC_RULE
from experiments.data.synthetic_scenes import SIDE, SyntheticScene, synthetic_scenes
from experiments.data.token_arrays import digest
from tracker.errors import DataError
from tracker.records import Settings

RULE_VERSION = 1
"""Raise it whenever what is listed, or how it is split, changes."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One image. ``open`` gives it in the source's colours; it raises DataError for what is none."""

    name: str
    split: str
    size: tuple[int, int]
    objects: Sequence[tuple[Sequence[float], str]]
    open: Callable[[], Image.Image]


@dataclass(frozen=True, slots=True)
class SceneSource:
    """All images of a source; ``unusable`` says what of it cannot be used, which ``skip`` leaves out."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    description: str
    channels: int
    skip: bool
    unusable: tuple[str, ...]
    read: Callable[[], Iterator[Scene]]


def scene_source(options: Mapping[str, Any]) -> SceneSource:
    """The source that these options name. Raises DataError."""
    if options["source"] == SYNTHETIC:
        return _synthetic(int(options["scenes"]), int(options["seed"]))
    return _coco(
        Path(options["source"]).expanduser(),
        Path(options["images"]).expanduser() if options["images"] else None,
        CHANNELS[options["channels"]],
        skip=options["corrupt"] == "skip",
    )


def scene_arrays(
    source: SceneSource, settings: Settings, progress: Callable[[str], None]
) -> tuple[ArrayCard, Mapping[str, Arrays]]:
    """Card and arrays (experiments.data.scenes), images in the order of a hash of their names.

    Raises DataError for what cannot be used, unless that is to be skipped, and where no class has a training example.
    """
    side = int(settings["image_side"])
    unusable = list(source.unusable)
    _refuse(source, unusable)
    found: dict[str, list[tuple[int, np.ndarray, Scene]]] = {split: [] for split in SPLITS}
    progress(f"reading the images of {source.name}")
    for scene in source.read():
        try:
            pixels = letterboxed(scene.open(), side)
        except DataError as error:
            unusable.append(str(error))
            _refuse(source, unusable)
            continue
        found[scene.split].append((stable_hash(scene.name), pixels, scene))
    learnt = {label for _, _, scene in found["train"] for _, label in scene.objects}
    missing = [each for each in source.classes if each not in learnt]
    unusable += [f"{source.name}: class '{each}' has no example in the training split" for each in missing]
    _refuse(source, unusable)
    say_left_out(unusable, progress)
    classes = tuple(each for each in source.classes if each in learnt)
    if not classes:
        raise DataError(f"{source.name}: no class has an example in the training split")
    left_out = f"; {len(unusable):,} that cannot be used left out" if unusable else ""
    card = ArrayCard(
        source.name,
        source.fingerprint,
        classes,
        {split: len(of) for split, of in found.items()},
        f"{source.description}, at {side} × {side}{left_out}",
        {"channels": source.channels, "side": side},
    )
    arrays = {split: _arrays(sorted(of, key=lambda each: each[0]), classes, side) for split, of in found.items()}
    for split, of_split in arrays.items():
        if not (of_split["labels"] != NO_OBJECT).any():
            raise DataError(f"{source.name}: the {split} split has no box ({dict(card.rows)}); each split needs one")
    return card, arrays


def _refuse(source: SceneSource, unusable: Sequence[str]) -> None:
    if unusable and not source.skip:
        raise DataError(f"{unusable[0]}; corrupt = 'skip' leaves out what cannot be used")


def _arrays(scenes: list[tuple[int, np.ndarray, Scene]], classes: tuple[str, ...], side: int) -> Arrays:
    kept = [[each for each in scene.objects if each[1] in classes] for _, _, scene in scenes]
    most = 1 + max(map(len, kept), default=0)  # so that every image has a place without an object
    boxes = np.zeros((len(scenes), most, 4), np.float32)
    labels = np.full((len(scenes), most), NO_OBJECT, np.int64)
    for row, (objects, (_, _, scene)) in enumerate(zip(kept, scenes, strict=True)):
        for place, (box, label) in enumerate(objects):
            boxes[row, place] = np.asarray(box) * scale_to_fit(*scene.size, side)
            labels[row, place] = classes.index(label)
    inputs = np.stack([pixels for _, pixels, _ in scenes]) if scenes else np.empty((0, 1, side, side), np.uint8)
    return {"inputs": inputs, "boxes": boxes, "labels": labels}


def _synthetic(count: int, seed: int) -> SceneSource:
    def read() -> Iterator[Scene]:
        for each in synthetic_scenes(count, seed):
            yield Scene(each.name, each.split, (SIDE, SIDE), _named(each), partial(Image.fromarray, each.pixels))

    return SceneSource(
        name="synthetic scenes",
        fingerprint=digest({"synthetic scenes": {"rule": SYNTHETIC_RULE, "scenes": count, "seed": seed}}),
        classes=tuple("0123456789"),
        description=f"{count:,} SYNTHETIC scenes of one to five digits on a canvas; where is which digit?",
        channels=1,
        skip=False,
        unusable=(),
        read=read,
    )


def _named(scene: SyntheticScene) -> list[tuple[Sequence[float], str]]:
    return [(box, str(label)) for box, label in zip(scene.boxes, scene.labels, strict=True)]


def _coco(path: Path, images: Path | None, channels: int, *, skip: bool) -> SceneSource:
    files = {split: path / f"{split}.json" for split in SPLITS} if path.is_dir() else {"": path}
    if missing := [file for file in files.values() if not file.is_file()]:
        raise DataError(
            f"data source '{path}' lacks {missing[0].name}; a folder has {', '.join(f'{each}.json' for each in SPLITS)}"
            if path.is_dir()
            else f"data source '{path}' is neither '{SYNTHETIC}' nor a file or folder (looked for {path.resolve()})"
        )
    folder = images or (path if path.is_dir() else path.parent)
    if not folder.is_dir():
        raise DataError(f"images = '{folder}' is no folder (looked for {folder.resolve()})")
    found = {split: read_coco(file) for split, file in files.items()}
    classes = tuple(sorted({name for each in found.values() for name in each.classes}))
    if not classes:
        raise DataError(f"{path}: it has no category")
    fingerprint = hashlib.sha256(f"rule {RULE_VERSION}, {channels}, {skip}\n".encode())
    for split, file in files.items():
        fingerprint.update(f"{split}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
        for image in found[split].images:
            fingerprint.update(_content(folder / image.file_name))

    def read() -> Iterator[Scene]:
        for split, each in found.items():
            for image in each.images:
                chosen = split or split_for_share(stable_hash(image.file_name) / 2**64)
                opened = partial(_opened, folder / image.file_name, image, channels)
                yield Scene(image.file_name, chosen, (image.width, image.height), image.objects, opened)

    return SceneSource(
        name=path.resolve().stem,
        fingerprint=fingerprint.hexdigest()[:16],
        classes=classes,
        description=_described(path, found),
        channels=channels,
        skip=skip,
        unusable=tuple(reason for each in found.values() for reason in each.unusable),
        read=read,
    )


def _described(path: Path, found: Mapping[str, CocoFile]) -> str:
    images = sum(len(each.images) for each in found.values())
    boxes = sum(len(image.objects) for each in found.values() for image in each.images)
    crowds = sum(each.crowds for each in found.values())
    without = f" ({crowds:,} crowd regions left out)" if crowds else ""
    return f"{path.resolve().name}: {images:,} images with {boxes:,} boxes{without}"


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        return f"error {error.errno}".encode()  # said, or left out, where it is to be decoded


def _opened(path: Path, image: CocoImage, channels: int) -> Image.Image:
    """The image as it is stored, not turned by its EXIF orientation: COCO's boxes are for the stored pixels.

    Raises DataError where it is no image, or is not of the size that the file says.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
            whole = converted(opened, channels, upright=False)
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise errors of all kinds for a broken file
        raise DataError(f"{image.place}: '{image.file_name}' cannot be read as an image: {error}") from None
    if whole.size != (image.width, image.height):
        raise DataError(
            f"{image.place}: '{image.file_name}' is {whole.width} × {whole.height}, "
            f"not {image.width} × {image.height} as it says"
        )
    return whole
