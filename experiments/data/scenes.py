"""Images with boxes from a study's ``[data]`` table to arrays on disk and in memory, which trials read.

A prepared folder holds, for each split, SPLIT-inputs.npy (uint8, images × channels × side × side), SPLIT-boxes.npy
(float32, images × most objects × 4: left, top, width and height in pixels of those images) and SPLIT-labels.npy (int64,
images × most objects, -1 after the last one), with ``card.json`` beside them. Light to import: what decodes images is
imported where there is something to prepare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments import lazy
from experiments.data.array_data import chosen_options, prepared_folder, prepared_for
from experiments.data.token_arrays import digest
from experiments.training_loop import Batch
from tracker.errors import DataError
from tracker.records import Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run

PREPARATION_VERSION = 2
"""Raise it whenever images are read or resized in another way."""
SYNTHETIC = "synthetic"
NO_OBJECT = -1
SYNTHETIC_OPTIONS: Mapping[str, Knob] = {
    "scenes": Knob("int", 1500, "made-up scenes", low=64, high=1_000_000),  # with fewer a split may lack a class
    "seed": Knob("int", 0, "the seed of every random number in the scenes", low=0),
}
COCO_OPTIONS: Mapping[str, Knob] = {
    "images": Knob("str", "", "the folder of the images; by default that of the json"),
    "channels": Knob("str", "rgb", "the colours of images", choices=("grey", "rgb")),
    "corrupt": Knob("str", "fail", "what to do about what cannot be used", choices=("fail", "skip")),
}

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scenes:
    """The images of one split, on one device, with their boxes and labels as on disk."""

    inputs: Tensor
    boxes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Tensor) -> Batch:
        """(inputs, boxes, labels) of these rows."""
        return self.inputs[rows], self.boxes[rows], self.labels[rows]


def prepare_scenes(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Notify) -> Path:
    """The folder of the images for these settings, made from the source as it is now. Raises DataError."""
    source = lazy.call("experiments.data.scene_sources:scene_source", _options(data))
    key = _key(source.fingerprint, settings)
    made = "experiments.data.scene_sources:scene_arrays"
    return prepared_folder(cache, "scenes", key, lambda: lazy.call(made, source, settings, progress))


def prepared_scenes(run: Run) -> Path:
    """The same folder for a run: array_data.prepared_for. Raises DataError."""
    key = _key(run.data_card.fingerprint, run.settings)
    return prepared_for(run, "scenes", key, lambda: prepare_scenes(run.data, run.settings, run.cache, print))


def load_scenes(folder: Path, split: str, device: torch.device, share: float = 1.0, first: int = 0) -> Scenes:
    """The first ``share`` of a split's images, at least one, and of those the first ``first`` (0 for all)."""
    arrays = []
    for name in ("inputs", "boxes", "labels"):
        array = np.load(folder / f"{split}-{name}.npy", mmap_mode="c")
        used = array[: max(1, round(share * len(array)))]
        arrays.append(torch.from_numpy(used[: first or None]).to(device))
    return Scenes(*arrays)


def with_boxes(scenes: Scenes, whose: str) -> Scenes:
    """``scenes``. Raises DataError where none of them has a box: there is nothing to learn, or to measure with."""
    if not bool((scenes.labels != NO_OBJECT).any()):
        raise DataError(f"none of the {len(scenes):,} {whose} images that are used has a box; use more of them")
    return scenes


def _options(data: Mapping[str, Any]) -> dict[str, Any]:
    """The source's options by name, ``source`` among them, with their defaults. Raises DataError."""
    place = str(data.get("source", SYNTHETIC))
    known = SYNTHETIC_OPTIONS if place == SYNTHETIC else COCO_OPTIONS
    return {"source": place} | chosen_options(data, place, known)


def _key(fingerprint: str, settings: Settings) -> str:
    relevant = {"image_side": settings["image_side"]}
    return digest({"version": PREPARATION_VERSION, "scenes": fingerprint, **relevant})
