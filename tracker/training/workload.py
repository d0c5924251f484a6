"""The protocol that training code follows to be searched, measured and priced."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tracker.errors import WorkloadError, did_you_mean
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run

Progress = Callable[[str], None]
"""Told a short sentence now and then while something long is being prepared."""


@runtime_checkable
class Workload(Protocol):
    """Something that can be trained with different settings.

    Instances hold no state between calls: each call may happen in another process.
    """

    knobs: Mapping[str, Knob]
    """The settings that ``train`` reads, besides the hardware knobs."""

    metrics: Mapping[str, Direction]
    """The metrics that every checkpoint reports, with the way each gets better."""

    data_options: Mapping[str, str]
    """The keys that a study's ``[data]`` table may have, each with a line of help."""

    baselines: Mapping[str, Callable[[Run], None]]
    """Cheap references by name, trained once a study on the same data; may be empty."""

    def prepare(self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Progress) -> DataCard:
        """Make ready, under ``cache``, whatever trials with these settings would otherwise each redo.

        Called once before the first trial and must be cheap when there is nothing left to do.
        ``settings`` are the study's fixed settings and defaults. Raises DataError.
        """
        ...

    def train(self, run: Run) -> None:
        """Train once with ``run.settings``, reporting a checkpoint after every epoch."""
        ...


@dataclass(frozen=True, slots=True)
class PredictionTexts:
    """What a language model would read and write in the trained model's place, one text and one answer a prediction.

    ``split`` is where the texts are from, ``fingerprint`` that of the data, as in their DataCard.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    split: str
    fingerprint: str


@runtime_checkable
class TellsTexts(Protocol):
    """What a workload may have besides the members of Workload, where its predictions are about texts."""

    def prediction_texts(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> PredictionTexts:
        """A fair sample of at most ``limit`` texts as they were before any cleaning, and the right answer to each.

        The arguments are as in ``Workload.prepare``. Raises DataError.
        """
        ...


def load_workload(reference: str) -> Workload:
    """The workload named "package.module:name" or "path/to/file.py:name".

    ``name`` is an instance, or a class that is called without arguments. Raises WorkloadError.
    """
    place, colon, name = reference.rpartition(":")
    if not colon or not place or not name:
        raise WorkloadError(f"workload '{reference}' is not of the form 'package.module:name' or 'file.py:name'")
    module = _load_file(place) if place.endswith(".py") else _load_module(place)
    if not hasattr(module, name):
        public = [each for each in vars(module) if not each.startswith("_")]
        raise WorkloadError(f"workload '{reference}': no '{name}' in {place}; {did_you_mean(name, public)}")
    workload = getattr(module, name)
    workload = workload() if isinstance(workload, type) else workload
    missing = [part for part in Workload.__annotations__ | {"prepare": 0, "train": 0} if not hasattr(workload, part)]
    if missing:
        raise WorkloadError(
            f"workload '{reference}' lacks {', '.join(missing)}; see tracker.training.workload.Workload"
        )
    checked: Workload = workload
    return checked


def _load_module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise WorkloadError(f"workload module '{name}' was not found (no module named '{error.name}')") from None
        raise WorkloadError(f"workload module '{name}' cannot be imported: {error}") from error
    except Exception as error:
        raise WorkloadError(f"workload module '{name}' cannot be imported: {error!r}") from error


def _load_file(place: str) -> object:
    path = Path(place).resolve()
    if not path.is_file():
        raise WorkloadError(f"workload file '{place}' was not found")
    spec = importlib.util.spec_from_file_location(f"workload_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise WorkloadError(f"workload file '{place}' is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise WorkloadError(f"workload file '{place}' cannot be imported: {error!r}") from error
    return module
