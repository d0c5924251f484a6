"""How good a classifier is: on all examples, and on the slice that it is worst on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.training_loop import Batch
from tracker.records import Direction
from tracker.training.run import Run

SMALLEST_SLICE = 10
"""Slices of fewer examples are left out: one example would move their accuracy by a tenth and more."""

SMALLEST_PROBABILITY = 1e-7
"""Keeps the loss finite where a class had no training example."""

CLASSIFIER_METRICS: Mapping[str, Direction] = {
    "accuracy": Direction.MAXIMIZE,
    "validation_loss": Direction.MINIMIZE,
    "training_loss": Direction.MINIMIZE,
    "worst_slice_accuracy": Direction.MAXIMIZE,
    "slice_accuracy_gap": Direction.MINIMIZE,
}
"""What every classifier reports after each epoch."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A model on some examples: mean cross-entropy, accuracies, predictions a second.

    ``worst_slice_accuracy`` is the accuracy on the slice that it is worst on, and ``slice_accuracy_gap`` how much
    better it does on the best one; slices are the classes, or what the batches name.
    """

    loss: float
    accuracy: float
    worst_slice_accuracy: float
    slice_accuracy_gap: float
    predictions_per_second: float

    @property
    def reported(self) -> dict[str, float]:
        """What is reported after an epoch, beside the training loss."""
        return {
            "accuracy": self.accuracy,
            "validation_loss": self.loss,
            "worst_slice_accuracy": self.worst_slice_accuracy,
            "slice_accuracy_gap": self.slice_accuracy_gap,
        }


def classification_loss(run: Run) -> Callable[[nn.Module, Batch], Tensor]:
    """Mean cross-entropy of a model that gives logits; a batch is (inputs, labels, …)."""
    smoothing = float(run.settings["label_smoothing"])
    return lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], label_smoothing=smoothing)


def classifier_scores(run: Run, model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """The scores on all batches together, without dropout and without gradients.

    A batch is (inputs, labels) or (inputs, labels, slices), with the index of each example's slice.
    """
    begin = time.perf_counter()
    model.eval()
    loss_sum, right, slices = torch.zeros((), device=run.device), [], []
    with torch.no_grad():
        for inputs, labels, *named in batches:
            with run.precision.autocast(run.device):
                logits = model(inputs)
            loss_sum += F.cross_entropy(logits.float(), labels, reduction="sum")
            right.append(logits.argmax(dim=1) == labels)
            slices.append(named[0] if named else labels)
    correct, of_slice = torch.cat(right), torch.cat(slices)
    loss = loss_sum.item() / len(correct)  # waits for the device: the clock is read after it
    seconds = time.perf_counter() - begin
    worst, best = slice_extremes(correct.cpu(), of_slice.cpu())
    return Scores(loss, correct.double().mean().item(), worst, best - worst, len(correct) / seconds)


def probability_scores(
    probabilities: np.ndarray, labels: np.ndarray, slices: np.ndarray | None = None
) -> dict[str, float]:
    """The same figures, as reported, from the probabilities (examples, classes) that any classifier gives."""
    likelihood = probabilities[np.arange(len(labels)), labels].clip(min=SMALLEST_PROBABILITY)
    correct = torch.from_numpy(probabilities.argmax(axis=1) == labels)
    worst, best = slice_extremes(correct, torch.from_numpy(labels if slices is None else slices))
    loss = float(-np.log(likelihood).mean())
    return Scores(loss, correct.double().mean().item(), worst, best - worst, 0.0).reported


def slice_extremes(correct: Tensor, slices: Tensor) -> tuple[float, float]:
    """The accuracy of the worst and of the best slice; the overall one where no slice is large enough."""
    sizes = torch.bincount(slices)
    accuracies = torch.bincount(slices, weights=correct.double()) / sizes
    counted = accuracies[sizes >= SMALLEST_SLICE]
    if not len(counted):
        overall = correct.double().mean().item()
        return overall, overall
    return counted.min().item(), counted.max().item()
