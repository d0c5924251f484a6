"""The protocol that training code follows to be searched, measured and priced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run

Progress = Callable[[str], None]
"""Receives a short sentence now and then during a long preparation."""


@runtime_checkable
class Workload(Protocol):
    """Something that can be trained with different settings.

    Instances hold no state between calls: each call may happen in another process. Of a class that a study names,
    only ``train`` is required: tracker.training.loading fills in the rest, as this describes it for each.
    """

    knobs: Mapping[str, Knob]
    """The settings that ``train`` reads, besides the hardware knobs; none by default."""

    metrics: Mapping[str, Direction]
    """The metrics that every checkpoint reports, with the way each gets better.

    If empty or missing, a study names its quality metric and direction, and checkpoints need no other.
    """

    data_options: Mapping[str, str]
    """The keys that a study's ``[data]`` table may have, each with a line of help; none by default."""

    baselines: Mapping[str, Callable[[Run], None]]
    """Cheap references by name, trained once per study on the same data; may be empty or missing."""

    def prepare(self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Progress) -> DataCard:
        """Make ready, under ``cache``, whatever trials with these settings would otherwise each redo.

        Called once before the first trial and must be cheap when there is nothing left to do. ``settings`` are the
        study's fixed settings and defaults. Raises DataError. Without this method there is nothing to prepare, and
        nothing is known about the data.
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


Predictor = Callable[[Sequence[Any]], list[Any]]
"""Some inputs as they come from outside (texts, rows, nested lists of numbers) to one JSON-able answer each."""

WEIGHTS = ("fp32", "bf16", "int8")
"""The number formats that a kept model's weights can be served in."""


@runtime_checkable
class Predicts(Protocol):
    """What a workload may have besides the members of Workload, whose kept models can then be served."""

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """The model whose kept files (``Run.artifact``) are in ``folder``, with its weights in one of WEIGHTS."""
        ...

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """At most ``limit`` inputs of the test split, as ``predictor`` takes them.

        The arguments are as in ``Workload.prepare``. Raises DataError.
        """
        ...


@runtime_checkable
class ScoresAnswers(Protocol):
    """What a workload that predicts may have besides, where answers can be good without being the only right ones."""

    def answer_scores(
        self, inputs: Sequence[Any], answers: Sequence[Any], data: Mapping[str, Any], settings: Settings, cache: Path
    ) -> Mapping[str, float]:
        """The workload's metrics of a predictor's answers to these inputs of ``prediction_inputs``, on the test split.

        The other arguments are as in ``Workload.prepare``. Raises DataError.
        """
        ...
