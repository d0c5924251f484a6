"""Where prepared images are, having them made where they are missing, and changing them a little while training.

Light to import: a trial finds its folder here without touching a heavy library (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments import lazy
from experiments.data.array_data import prepared_folder, prepared_for
from experiments.data.token_arrays import digest
from tracker.records import Settings
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever decoding or resizing changes."""

PREPARATION_KNOBS = ("deduplicate", "image_side")

DATA_OPTIONS: Mapping[str, str] = {
    "source": "'digits', those of scikit-learn; a folder of class folders, or of train, validation and test with class "
    "folders in each; 'datasets:NAME' or 'datasets:NAME:CONFIG'",
    "channels": "'grey' or 'rgb'; default 'auto': grey where no image has colours",
    "corrupt": "'fail' or 'skip' where an image cannot be read; default 'fail'",
    "image_column": "the column of the images, of datasets; default 'image'",
    "label_column": "the column of the classes, of datasets; default 'label'",
    "slice_column": "the column that names slices, of datasets; default the classes",
}
"""The keys of a study's ``[data]`` table."""


def prepare_images(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder of the image arrays for these settings, made from the source as it is now. Raises DataError."""
    source = lazy.call("experiments.data.image_sources:image_source", data, cache)
    key = _key(source.fingerprint, settings)
    preparation = "experiments.data.image_preparation:image_arrays"
    return prepared_folder(cache, "images", key, lambda: lazy.call(preparation, source, data, settings, progress))


def prepared_images(run: Run) -> Path:
    """The same folder for a run: array_data.prepared_for. Raises DataError."""
    key = _key(run.data_card.fingerprint, run.settings)
    return prepared_for(run, "images", key, lambda: prepare_images(run.data, run.settings, run.cache, print))


def _key(fingerprint: str, settings: Settings) -> str:
    relevant = {name: settings.get(name) for name in PREPARATION_KNOBS}
    return digest({"version": PREPARATION_VERSION, "source": fingerprint, **relevant})


def moved(images: Tensor, shift: float, flip: bool, generator: torch.Generator) -> Tensor:
    """Images (batch, channels, side, side), each moved at random by up to ``shift`` of its side, both ways.

    What comes in at an edge is the edge's own pixels. With ``flip``, a random half of them is mirrored left to right.
    ``generator``, on the CPU, decides all of it.
    """
    batch, channels, side, _ = images.shape
    reach = round(shift * side)
    offsets = torch.randint(-reach, reach + 1, (2, batch, 1), generator=generator)
    rows, columns = (torch.arange(side) + offsets).clamp(0, side - 1)
    if flip:
        mirrored = torch.rand(batch, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    pick = (
        torch.arange(batch)[:, None, None, None],
        torch.arange(channels)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    )
    return images[tuple(each.to(images.device) for each in pick)]
