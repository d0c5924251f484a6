"""Where images with labels come from: scikit-learn's digits, a folder of class folders, or a data set of datasets.

Nothing is decoded here but for the digits: a source lists its images and how to open each. Imported only where there
is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments import lazy
from experiments.data.corpus import SPLITS
from tracker.errors import DataError

RULE_VERSION = 1
"""Raise it whenever what is listed, or how it is read, changes."""

DIGITS = "digits"
DATASETS = "datasets:"
COLUMN_OPTIONS = ("image_column", "label_column", "slice_column")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for: some of its other readers start programs."""


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image.

    Attributes:
        place: where it is, for messages.
        open: opens it; raises whatever Pillow raises for what is no image.
        label: the index of its class.
        split: one of SPLITS, or "" where its pixels decide.
        slice: the index of its slice; None where slices are the classes.
    """

    place: str
    open: Callable[[], Image.Image]
    label: int
    split: str = ""
    slice: int | None = None


@dataclass(frozen=True, slots=True)
class ImageSource:
    """All images of a source. ``fingerprint`` follows from their bytes, labels and splits, and from the options."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    items: tuple[ImageItem, ...]
    description: str


def image_source(data: Mapping[str, Any], cache: Path) -> ImageSource:
    """The source that a study's ``[data]`` table names.

    Raises DataError for: no such source, folder or column, folders that are neither classes nor splits, a class
    folder without images, a class that training has no image of, a row without a label, a single class.
    """
    named = str(data.get("source", DIGITS))
    if not named.startswith(DATASETS) and (given := [name for name in COLUMN_OPTIONS if name in data]):
        raise DataError(f"data option {given[0]} is for a source '{DATASETS}NAME'; the source is '{named}'")
    source: ImageSource
    if named.startswith(DATASETS):
        source = lazy.call("experiments.data.hub_images:hub_images", named, data, cache)
    else:
        source = _digits() if named == DIGITS else _folder(Path(named).expanduser())
    if len(source.classes) < 2:
        raise DataError(f"{source.name}: its only class is '{source.classes[0]}'; two classes are needed")
    learnt = {item.label for item in source.items if item.split in ("", "train")}
    if unknown := next((item for item in source.items if item.label not in learnt), None):
        raise DataError(
            f"{source.name}: class '{source.classes[unknown.label]}' is in {unknown.split} but not in train "
            f"({unknown.place}); each class needs a training image"
        )
    options = {name: data[name] for name in ("channels", "corrupt", *COLUMN_OPTIONS) if name in data}
    digest = f"rule {RULE_VERSION}, {sorted(options.items())}, {source.fingerprint}"
    return replace(source, fingerprint=hashlib.sha256(digest.encode()).hexdigest()[:16])


def _digits() -> ImageSource:
    """1,797 digits written by 13 people, of 8 × 8: the test set of Alpaydin and Kaynak 1998, doi:10.24432/C50P49."""
    loaded = lazy.call("sklearn.datasets:load_digits")
    images = np.rint(loaded.images * (255 / 16)).astype(np.uint8)  # they have 17 shades
    items = tuple(
        ImageItem(f"digit {number}", partial(Image.fromarray, image), int(label))
        for number, (image, label) in enumerate(zip(images, loaded.target, strict=True))
    )
    fingerprint = hashlib.sha256(images.tobytes() + loaded.target.astype("<i8").tobytes()).hexdigest()
    return ImageSource("digits", fingerprint, tuple("0123456789"), items, "the handwritten digits of scikit-learn")


def _folder(root: Path) -> ImageSource:
    if not root.is_dir():
        raise DataError(
            f"data source '{_text(root)}' is neither '{DIGITS}' nor '{DATASETS}NAME' nor a folder (looked for "
            f"{_text(root.resolve())})"
        )
    folders = _class_folders(root)
    classes = sorted({folder.name for of_split in folders.values() for folder in of_split})
    digest, items = hashlib.sha256(), list[ImageItem]()
    for split, of_split in folders.items():
        for folder in of_split:
            for path in _images(folder):
                digest.update(f"{split}/{_text(folder.name)}/{_text(path.name)} {_digest(path)}\n".encode())
                opened = partial(Image.open, path, formats=FORMATS)
                items.append(ImageItem(_text(path), opened, classes.index(folder.name), split))
    name, description = _text(root.resolve().name), f"the folder {_text(root)}"
    return ImageSource(name, digest.hexdigest(), tuple(map(_text, classes)), tuple(items), description)


def _class_folders(root: Path) -> dict[str, list[Path]]:
    """The class folders of each split; of split "" where the folder is not divided."""
    folders = _listed(root, Path.is_dir)
    names = {folder.name for folder in folders}
    divided = "train" in names and bool(names & {"validation", "test"})
    if divided and names != set(SPLITS):
        raise DataError(
            f"{_text(root)}: its folders are {', '.join(sorted(map(_text, names)))}; where splits are given they are "
            f"{', '.join(SPLITS)}, all three and nothing else"
        )
    found = {split: _listed(root / split, Path.is_dir) for split in SPLITS} if divided else {"": folders}
    for split, of_split in found.items():
        if not of_split:
            raise DataError(f"{_text(root / split)}: holds no class folder; images are expected as CLASS/IMAGE in it")
    return found


def _listed(folder: Path, kind: Callable[[Path], bool]) -> list[Path]:
    """What of this kind stands in a folder, hidden ones left out, by name."""
    try:
        return sorted(each for each in folder.iterdir() if kind(each) and not each.name.startswith("."))
    except OSError as error:
        raise DataError(f"data folder '{_text(folder)}' cannot be read: {error.strerror}") from error


def _images(folder: Path) -> list[Path]:
    found = [path for path in _listed(folder, Path.is_file) if path.suffix.lower() in ENDINGS]
    if not found:
        raise DataError(
            f"class folder '{_text(folder)}' holds no image; allowed endings: {', '.join(ENDINGS)} (where splits are "
            f"given, the folders are {', '.join(SPLITS)}, with class folders in each)"
        )
    return found


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"  # said, or left out, where it is to be decoded


def _text(name: Path | str) -> str:
    """A file's name as text that can be printed, whatever bytes it is of."""
    return os.fsencode(name).decode(errors="backslashreplace")
