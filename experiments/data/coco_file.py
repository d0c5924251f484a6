"""Images with boxes from a json file in the form of COCO (Lin et al. 2014, arXiv:1405.0312; cocodataset.org).

{"images": [{"id": …, "file_name": …, "width": …, "height": …}], "categories": [{"id": …, "name": …}],
 "annotations": [{"id": …, "image_id": …, "category_id": …, "bbox": [left, top, width, height], "iscrowd": 0}]}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.data.text_encoding import UNDECODABLE
from tracker.errors import DataError

SHOWN = 40
SLACK = 1.0
"""Pixels by which a box may reach over the image's edge, where it was rounded; it is cut off there."""

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class CocoImage:
    """One image and its objects: each box, in pixels of the image, with the name of its class."""

    place: str
    file_name: str
    width: int
    height: int
    objects: list[tuple[Box, str]] = field(default_factory=list)


@dataclass(slots=True)
class CocoFile:
    """What a file holds. ``unusable`` says of each row that cannot be used why; ``crowds`` are left out regions."""

    images: list[CocoImage]
    classes: tuple[str, ...]
    unusable: list[str]
    crowds: int


def read_coco(path: Path) -> CocoFile:
    """Images, categories and annotations of the file. Raises DataError where it is not of COCO's form."""
    try:
        whole = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as json: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    for name in ("images", "categories", "annotations"):
        if not isinstance(whole, dict) or not isinstance(whole.get(name), list):
            raise DataError(f"{path}: no list '{name}'; allowed: COCO's json, with images, categories and annotations")
    unusable = list[str]()
    categories = dict(_checked(path, "categories", whole, _category, unusable))
    images = dict(_checked(path, "images", whole, _image, unusable))
    names = {each: str(category["name"]) for each, category in categories.items()}
    if len(set(names.values())) < len(names):
        raise DataError(f"{path}: two categories are named alike; each needs a name of its own")
    found = {
        each: CocoImage(f"{path}: images row {image['row']} (id {_shown(each)})", *_sizes(image))
        for each, image in images.items()
    }
    crowds = 0
    for number, row in enumerate(whole["annotations"], start=1):
        try:
            image, crowd, box, category = _annotation(row, found, names)
        except ValueError as error:
            unusable.append(f"{path}: annotations row {number}{_identity(row)}: {error}")
            continue
        crowds += crowd
        if not crowd:
            image.objects.append((box, category))
    return CocoFile(list(found.values()), tuple(sorted(names.values())), unusable, crowds)


def _checked(
    path: Path, kind: str, whole: Mapping[str, Any], problem: Any, unusable: list[str]
) -> Iterator[tuple[int | str, dict[str, Any]]]:
    """The rows of a kind that have an id of their own, and nothing wrong."""
    seen = set[int | str]()
    for number, row in enumerate(whole[kind], start=1):
        place = f"{path}: {kind} row {number}{_identity(row)}"
        identity = row.get("id") if isinstance(row, dict) else None
        if not isinstance(row, dict):
            reason = f"it is {_shown(row)}; allowed: an object"
        elif isinstance(identity, bool) or not isinstance(identity, int | str):
            reason = f"its id is {_shown(identity)}; allowed: a whole number"
        elif identity in seen:
            reason = "another row before it has the same id"
        else:
            reason = problem(row)
        if reason:
            unusable.append(f"{place}: {reason}")
            continue
        seen.add(identity)  # type: ignore[arg-type]
        yield identity, {**row, "row": number}  # type: ignore[misc]


def _category(row: Mapping[str, Any]) -> str:
    name = row.get("name")
    return "" if _is_name(name) else f"its name is {_shown(name)}; allowed: a text"


def _image(row: Mapping[str, Any]) -> str:
    if not _is_name(row.get("file_name")):
        return f"its file_name is {_shown(row.get('file_name'))}; allowed: a path below the folder of the images"
    if Path(row["file_name"]).is_absolute() or ".." in Path(row["file_name"]).parts:
        return f"its file_name is {_shown(row['file_name'])}; allowed: a path below the folder of the images"
    for name in ("width", "height"):
        value = row.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1_000_000:
            return f"its {name} is {_shown(value)}; allowed: a whole number of pixels"
    return ""


def _sizes(image: Mapping[str, Any]) -> tuple[str, int, int]:
    return image["file_name"], image["width"], image["height"]


def _annotation(
    row: Any, images: Mapping[int | str, CocoImage], names: Mapping[int | str, str]
) -> tuple[CocoImage, bool, Box, str]:
    """Image, whether it is a crowd, box and class. Raises ValueError that says what is wrong."""
    if not isinstance(row, dict):
        raise ValueError(f"it is {_shown(row)}; allowed: an object")
    image_id, category_id, given = (row.get(name) for name in ("image_id", "category_id", "bbox"))
    if not isinstance(image_id, int | str) or image_id not in images:
        raise ValueError(f"no usable image has the id {_shown(image_id)}, its image_id")
    if not isinstance(category_id, int | str) or category_id not in names:
        raise ValueError(f"no category has the id {_shown(category_id)}, its category_id; there are {_few(names)}")
    image = images[image_id]
    if row.get("iscrowd"):
        return image, True, (0.0, 0.0, 0.0, 0.0), names[category_id]
    if not isinstance(given, list) or len(given) != 4 or not all(_is_number(each) for each in given):
        raise ValueError(f"its bbox is {_shown(given)}; allowed: four numbers, left, top, width and height in pixels")
    left, top, width, height = (float(each) for each in given)
    if width <= 0 or height <= 0:
        raise ValueError(f"its bbox {_shown(given)} has no area")
    if left < -SLACK or top < -SLACK or left + width > image.width + SLACK or top + height > image.height + SLACK:
        raise ValueError(f"its bbox {_shown(given)} is outside of the image, {image.width} × {image.height}")
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    left, top = max(left, 0.0), max(top, 0.0)
    if right <= left or bottom <= top:
        raise ValueError(f"its bbox {_shown(given)} is outside of the image, {image.width} × {image.height}")
    return image, False, (left, top, right - left, bottom - top), names[category_id]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value and not UNDECODABLE.search(value)


def _identity(row: Any) -> str:
    return f" (id {_shown(row['id'])})" if isinstance(row, dict) and "id" in row else ""


def _few(names: Mapping[int | str, str]) -> str:
    return ", ".join(_shown(each) for each in list(names)[:8]) or "none"


def _shown(value: Any) -> str:
    whole = repr(value).encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= SHOWN else f"{whole[: SHOWN - 1]}…"
