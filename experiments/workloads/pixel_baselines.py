"""The cheap references: logistic regression and nearest neighbours, on the same images as the networks.

Imported only where one is trained (see experiments.lazy). Each fits once and reports one checkpoint. Of the settings
they read those of the data, and ``threads``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.array_data import load_array_card, load_examples
from experiments.data.images import prepared_images
from experiments.scores import probability_scores
from tracker.training.run import Run

MAX_ITERATIONS = 200
TOLERANCE = 1e-3
INVERSE_REGULARISATION = 0.1  # the best of 0.003, 0.01, 0.1 and 1 on the validation split of the digits
NEIGHBOURS = 5


def logistic_regression(run: Run) -> None:
    """Logistic regression on the normalised pixels."""
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    _train(run, model)


def nearest_neighbours(run: Run) -> None:
    """The vote of the NEIGHBOURS training images nearest in pixels; its parameters are the pixels it remembers."""
    _train(run, KNeighborsClassifier(NEIGHBOURS, algorithm="brute"))


@dataclass(frozen=True, slots=True)
class _Images:
    """Normalised pixels (images, pixels of all channels), labels and slices."""

    pixels: np.ndarray
    labels: np.ndarray
    slices: np.ndarray | None

    def first(self, count: int) -> _Images:
        return _Images(
            self.pixels[:count], self.labels[:count], self.slices if self.slices is None else self.slices[:count]
        )


def _train(run: Run, model: LogisticRegression | KNeighborsClassifier) -> None:
    train, validation, test = (_images(run, split) for split in ("train", "validation", "test"))
    classes = len(load_array_card(prepared_images(run)).classes)

    def scores(of: _Images) -> dict[str, float]:
        probabilities = np.zeros((len(of.labels), classes))
        probabilities[:, model.classes_] = model.predict_proba(of.pixels)
        return probability_scores(probabilities, of.labels, of.slices)

    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(run.settings["threads"])):
        model.fit(train.pixels, train.labels)
        seconds = time.perf_counter() - begin
        with run.evaluating():
            # Of as many as validation has: to look for the neighbours of all takes their number squared.
            training_loss = scores(train.first(len(validation.labels)))["validation_loss"]
            reported = scores(validation)
        run.report(1, training_loss=training_loss, **reported)
        with run.evaluating():
            begin = time.perf_counter()
            test_accuracy = scores(test)["accuracy"]
            test_seconds = time.perf_counter() - begin
    learnt = isinstance(model, LogisticRegression)
    run.conclude(
        test_accuracy=test_accuracy,
        parameters=model.coef_.size + model.intercept_.size if learnt else train.pixels.size,
        samples_per_second=len(train.labels) / seconds,
        predictions_per_second=len(test.labels) / test_seconds,
    )


def _images(run: Run, split: str) -> _Images:
    folder, share = prepared_images(run), float(run.settings["train_share"]) if split == "train" else 1.0
    saved, examples = load_array_card(folder).extra, load_examples(folder, split, torch.device("cpu"), share)
    mean, deviation = (np.array(saved[name], np.float32)[:, None, None] for name in ("mean", "deviation"))
    pixels = (examples.inputs.numpy().astype(np.float32) / 255 - mean) / deviation
    slices = None if examples.slices is None else examples.slices.numpy()
    return _Images(pixels.reshape(len(pixels), -1), examples.labels.numpy(), slices)
