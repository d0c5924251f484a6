"""Labelled examples as arrays on disk: what workloads on images, tables and sounds prepare and trials read.

A prepared folder holds, for each split, SPLIT-inputs.npy (examples first), SPLIT-labels.npy (int64, the index of the
class) and, where slices are named, SPLIT-slices.npy (int64), with ``card.json`` beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.data.corpus import SPLITS, with_classes
from experiments.data.files import whole_folder
from experiments.training_loop import Batch
from tracker.errors import DataError
from tracker.records import DataCard
from tracker.study.knobs import Knob
from tracker.training.meter import bytes_below
from tracker.training.run import Run

_EXTRA_KEY = "told"  # of card.json, which prepared folders already have
Arrays = Mapping[str, np.ndarray]
"""The arrays of one split by name: inputs, labels and maybe slices."""


@dataclass(frozen=True, slots=True)
class ArrayCard:
    """A prepared folder's ``card.json``. ``extra`` is whatever else the workload must know about its data."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    description: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def data_card(self, folder: Path) -> DataCard:
        """The card that the tracker records."""
        size_bytes = bytes_below(folder)
        description = with_classes(self.description, self.classes)
        return DataCard(self.name, self.fingerprint, self.rows, len(self.classes), description, size_bytes)


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one split, on one device."""

    inputs: Tensor
    labels: Tensor
    slices: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Batch:
        """(inputs, labels), or (inputs, labels, slices), of these rows."""
        batch = (self.inputs[rows], self.labels[rows])
        return batch if self.slices is None else (*batch, self.slices[rows])


def prepared_folder(
    cache: Path, kind: str, fingerprint: str, make: Callable[[], tuple[ArrayCard, Mapping[str, Arrays]]]
) -> Path:
    """The folder of ``kind`` with this fingerprint, made from what ``make`` gives where it is not there yet.

    Raises DataError where a split has no example or the training split only one class.
    """
    folder = cache / f"{kind}-{fingerprint}"
    if folder.is_dir():
        return folder
    card, splits = make()
    for split in SPLITS:
        if not len(splits[split]["labels"]):
            raise DataError(f"{card.name}: the {split} split is empty ({dict(card.rows)}); each split needs an example")
    if len(np.unique(splits["train"]["labels"])) < 2:
        raise DataError(f"{card.name}: its training examples are all of one class; two are needed")
    with whole_folder(folder) as partial:
        for split, arrays in splits.items():
            for name, array in arrays.items():
                np.save(partial / f"{split}-{name}.npy", array)
        stored = asdict(card)
        stored[_EXTRA_KEY] = stored.pop("extra")
        (partial / "card.json").write_text(json.dumps(stored, indent=2))
    return folder


def prepared_for(run: Run, kind: str, key: str, prepare: Callable[[], Path]) -> Path:
    """The folder of ``kind`` with this key, for a run, without looking at the source where it is there already.

    Where a study searches a knob of the preparation, the first trial with a value prepares its data, and pays for that.
    Raises DataError where the source is no longer what the study started with.
    """
    folder = run.cache / f"{kind}-{key}"
    if folder.is_dir() or prepare() == folder:
        return folder
    fingerprint = run.data_card.fingerprint
    raise DataError(f"the data are no longer those that the study started with, of fingerprint {fingerprint}")


def chosen_options(data: Mapping[str, Any], place: str, known: Mapping[str, Knob]) -> dict[str, Any]:
    """The values of a source's own options, with their defaults. Raises DataError for one that is unknown or wrong."""
    for name, value in data.items():
        if name != "source" and name not in known:
            raise DataError(f"data option '{name}' is not for source = '{place}'; allowed with it: {', '.join(known)}")
        if name in known and (problem := known[name].problem(value)):
            raise DataError(f"data option '{name}': {problem}")
    return {name: data.get(name, knob.default) for name, knob in known.items()}


def load_array_card(folder: Path) -> ArrayCard:
    """Read ``card.json``."""
    fields = json.loads((folder / "card.json").read_text())
    extra = fields.pop(_EXTRA_KEY)
    return ArrayCard(**{**fields, "classes": tuple(fields["classes"]), "extra": extra})


def load_examples(folder: Path, split: str, device: torch.device, share: float = 1.0) -> Examples:
    """The first ``share`` of a split's examples, at least one, memory-mapped so that processes share the pages."""
    arrays = {}
    for name in ("inputs", "labels", "slices"):
        if (path := folder / f"{split}-{name}.npy").exists():
            array = np.load(path, mmap_mode="c")  # copy on write: torch warns of arrays that it could not write to
            arrays[name] = torch.from_numpy(array[: max(1, round(share * len(array)))]).to(device)
    return Examples(**arrays)
