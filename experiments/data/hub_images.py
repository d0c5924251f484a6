"""Images with labels from a data set of Hugging Face datasets: one of the Hub's, or a local one.

Imported only where a study asks for such a source (see experiments.lazy).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from experiments.data.corpus import SPLITS
from experiments.data.hub import hub_fingerprint, hub_splits
from experiments.data.image_sources import DATASETS, FORMATS, ImageItem, ImageSource
from tracker.errors import DataError, did_you_mean


def hub_images(named: str, data: Mapping[str, Any], cache: Path) -> ImageSource:
    """The images of the data set ``named``, in its own splits (see experiments.data.hub.hub_splits).

    Raises DataError where it cannot be loaded, lacks a column, its images are none, or a row has no label or slice.
    """
    image, label = str(data.get("image_column", "image")), str(data.get("label_column", "label"))
    slice_column = str(data.get("slice_column", ""))
    splits = hub_splits(named, cache)
    labels = {split: _names(named, split, splits[split], label) for split in SPLITS}
    slices = {split: _names(named, split, splits[split], slice_column) for split in SPLITS} if slice_column else {}
    class_index, slice_index = _index(labels), _index(slices)
    items = []
    for split in SPLITS:
        rows = _undecoded(named, splits[split], image)
        for row, name in enumerate(labels[split]):
            place = f"{named}, row {row + 1} of {split}"
            of_slice = slice_index[slices[split][row]] if slices else None
            items.append(ImageItem(place, partial(_open, rows, row, image), class_index[name], split, of_slice))
    fingerprint, name = hub_fingerprint(splits), named.removeprefix(DATASETS)
    return ImageSource(name, fingerprint, tuple(class_index), tuple(items), f"column '{image}' of {named}")


def _names(named: str, split: str, rows: datasets.Dataset, column: str) -> list[str]:
    """The values of a column as texts; those of a column of class labels by their names."""
    _check_column(named, rows, column)
    feature, texts = rows.features[column], []
    for row, value in enumerate(rows[column], start=1):
        labelled = isinstance(feature, datasets.ClassLabel)
        if value is None or str(value) == "" or (labelled and value < 0):
            raise DataError(f"{named}: row {row} of {split} has no '{column}' ({value!r}); every row needs one")
        texts.append(feature.int2str(value) if labelled else str(value))
    return texts


def _index(names: Mapping[str, list[str]]) -> dict[str, int]:
    return {name: index for index, name in enumerate(sorted({each for of in names.values() for each in of}))}


def _check_column(named: str, rows: datasets.Dataset, column: str) -> None:
    if column not in rows.column_names:
        raise DataError(f"{named}: no column '{column}'; {did_you_mean(column, rows.column_names)}")


def _undecoded(named: str, rows: datasets.Dataset, column: str) -> datasets.Dataset:
    """The rows with their images as bytes, so that broken ones are met where they are opened."""
    _check_column(named, rows, column)
    if not isinstance(rows.features[column], datasets.Image):
        images = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
        raise DataError(f"{named}: column '{column}' holds no images; columns that do: {', '.join(images) or 'none'}")
    return rows.select_columns(column).cast_column(column, datasets.Image(decode=False))


def _open(rows: datasets.Dataset, row: int, column: str) -> Image.Image:
    stored = rows[row][column]
    if stored is None:
        raise ValueError("the row has no image")
    content = stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()
    return Image.open(io.BytesIO(content), formats=FORMATS)
