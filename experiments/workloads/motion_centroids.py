"""The cheap reference for clips: the nearest centroid of features that are like optical flow.

Where brightness moves, its change over time times its slope points against the motion (Horn and Schunck 1981,
doi:10.1016/0004-3702(81)90024-2, without the smoothing). Averaged over parts of a frame and of a clip, that roughly
distinguishes lines, circles and growth. Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import time

import numpy as np
import torch
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.clips import prepared_clips
from experiments.scores import probability_scores
from experiments.workloads.video_classifier import Shape, batches
from tracker.training.run import Run

PARTS, MOMENTS = 2, 3
"""Parts of a frame each way, and of a clip, that are averaged over."""


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data, and ``threads``."""
    folder = prepared_clips(run)
    card = load_array_card(folder)
    shape = Shape.of(run.settings, len(card.classes), card.extra)
    splits = {split: load_examples(folder, split, torch.device("cpu")) for split in ("validation", "test")}
    splits["train"] = load_examples(folder, "train", torch.device("cpu"), float(run.settings["train_share"]))
    model = make_pipeline(StandardScaler(), NearestCentroid())
    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(run.settings["threads"])):
        features = motion_features(splits["train"], shape)
        model.fit(features, splits["train"].labels.numpy())
        seconds = time.perf_counter() - begin
        with run.evaluating():
            training_loss = _scores(model, features, splits["train"], shape)["validation_loss"]
            scores = _scores(model, motion_features(splits["validation"], shape), splits["validation"], shape)
        run.report(1, training_loss=training_loss, **scores)
        with run.evaluating():
            begin = time.perf_counter()
            test = _scores(model, motion_features(splits["test"], shape), splits["test"], shape)
            test_seconds = time.perf_counter() - begin
    run.conclude(
        test_accuracy=test["accuracy"],
        parameters=model[-1].centroids_.size,
        samples_per_second=len(splits["train"]) / seconds,
        predictions_per_second=len(splits["test"]) / test_seconds,
    )


def motion_features(examples: Examples, shape: Shape) -> np.ndarray:
    """Features (clips, …): over parts of the frame and moments, how brightness moves down, right, and how much."""
    return np.concatenate([_features(clips.float().mean(dim=2).numpy()) for clips, _ in batches(examples, shape)])


def _features(clips: np.ndarray) -> np.ndarray:
    """Of clips (n, frames, side, side) in grey."""
    over_time = clips[:, 1:] - clips[:, :-1]
    middle = (clips[:, 1:] + clips[:, :-1]) / 2
    down, right = np.gradient(middle, axis=(2, 3))
    moved = np.stack([-over_time * down, -over_time * right, np.abs(over_time)], axis=1)
    found = [
        part.mean(axis=(2, 3, 4))
        for moment in np.array_split(moved, min(MOMENTS, moved.shape[2]), axis=2)
        for row in np.array_split(moment, PARTS, axis=3)
        for part in np.array_split(row, PARTS, axis=4)
    ]
    return np.concatenate(found, axis=1) / 255.0


def _scores(model: Pipeline, features: np.ndarray, examples: Examples, shape: Shape) -> dict[str, float]:
    """What is reported of these examples; a class counts by how near its centroid is."""
    centroids = model[-1]
    apart = np.linalg.norm(model[0].transform(features)[:, None] - centroids.centroids_, axis=2)
    likelihood = np.exp(-(apart - apart.min(axis=1, keepdims=True)))
    probabilities = np.zeros((len(examples), shape.classes))
    probabilities[:, centroids.classes_] = likelihood / likelihood.sum(axis=1, keepdims=True)
    return probability_scores(probabilities, examples.labels.numpy())
