"""The cheap reference for objects: a window slides over the image, and its nearest neighbours say what is in it.

Windows have the sizes that are common in training. Each is resized to PATCH pixels each way and compared with the
training's objects and with places where none is. Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments import lazy
from experiments.data.array_data import load_array_card
from experiments.data.scenes import Scenes, load_scenes, prepared_scenes, with_boxes
from experiments.workloads.object_detector import objects_of
from tracker.training.run import Run

PATCH = 8
SIZES = (0.15, 0.5, 0.85)
"""Quantiles of the longer sides of training boxes: the sides of windows."""
STEPS_A_WINDOW = 3
NEIGHBOURS = 5
MOST_EXAMPLES = 600
"""Objects that are kept to compare with; of places without any, twice as many."""
MOST_JUDGED = 300
"""Objects whose classes the losses are the mean of, the first ones."""
LEAST_SCORE = 0.3
MOST_SHARED = 0.3
"""Of two windows of a class that share more than this (intersection over union), the one of lower score is left out."""
OBJECT_SHARE = 0.2
"""A place shares less than this with every object where it serves as an example of nothing."""
CPU = torch.device("cpu")


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data.

    The losses are the mean cross-entropy of what is in the objects' boxes.
    """
    settings, folder = run.settings, prepared_scenes(run)
    classes = len(load_array_card(folder).classes)
    train_split = with_boxes(load_scenes(folder, "train", CPU, float(settings["train_share"])), "training")
    validation = with_boxes(
        load_scenes(folder, "validation", CPU, first=int(settings["validation_images"])), "validation"
    )
    test = load_scenes(folder, "test", CPU, first=int(settings["test_images"]))
    run.ready()
    begin = time.perf_counter()
    window = SlidingWindow(train_split, classes, run.seed)
    seconds = time.perf_counter() - begin
    with run.evaluating():
        losses = {"training_loss": window.loss(train_split), "validation_loss": window.loss(validation)}
        scores = window.scores(validation)
    run.report(1, **losses, **scores)
    with run.evaluating():
        begin = time.perf_counter()
        scores = window.scores(test)
        test_seconds = time.perf_counter() - begin
    run.conclude(
        test_mean_average_precision=scores["mean_average_precision"],
        samples_per_second=len(train_split) / seconds,
        predictions_per_second=len(test) / test_seconds,
    )


class SlidingWindow:
    """Finds objects by the nearest neighbours of windows. The class after the last one is nothing."""

    def __init__(self, scenes: Scenes, classes: int, seed: int) -> None:
        self.classes = classes
        objects = objects_of(scenes)
        sides = np.concatenate([each[:, 2:4].max(axis=1) for each in objects])
        self.sides = [max(2, round(each)) for each in np.quantile(sides, SIZES)]
        draw, examples, labels = np.random.default_rng(seed), list[np.ndarray](), list[np.ndarray]()
        for image, found in zip(scenes.inputs, objects, strict=True):
            windows = self.windows(image)
            empty = windows[(overlaps(windows, found[:, :4]) < OBJECT_SHARE).all(axis=1)]
            empty = empty[draw.permutation(len(empty))[: 2 * max(1, len(found))]]
            examples.append(patches(image, np.concatenate([squared(found[:, :4]), empty])))
            labels.append(np.concatenate([found[:, 4], np.full(len(empty), classes)]))
            if sum(map(len, labels)) > 3 * MOST_EXAMPLES:
                break
        self.examples = torch.from_numpy(np.concatenate(examples))
        self.labels = torch.from_numpy(np.concatenate(labels).astype(np.int64))

    def windows(self, image: Tensor) -> np.ndarray:
        """Every window of an image (channels, side, side): (windows, 4) of left, top, width and height."""
        found, edge = [], image.shape[-1]
        for side in self.sides:
            starts = np.arange(0, max(1, edge - side + 1), max(1, side // STEPS_A_WINDOW))
            left, top = (each.ravel() for each in np.meshgrid(starts, starts))
            found.append(np.stack([left, top, np.full(len(left), side), np.full(len(left), side)], axis=1))
        return np.concatenate(found).astype(np.float64)

    def likelihoods(self, examples: np.ndarray) -> np.ndarray:
        """Of each class, and of nothing, (examples, classes + 1): a neighbour counts by how near it is."""
        neighbours = min(NEIGHBOURS, len(self.labels))
        apart, nearest = torch.cdist(torch.from_numpy(examples), self.examples).topk(neighbours, largest=False)
        nearness = 1 / apart.double().clamp(min=1e-3)
        found = torch.zeros(len(examples), self.classes + 1, dtype=torch.float64)
        found.scatter_add_(1, self.labels[nearest], nearness / nearness.sum(1, keepdim=True))
        return np.asarray(found.numpy())

    def detections(self, image: Tensor) -> np.ndarray:
        """What is in an image: (n, 6) of left, top, width, height, score and class."""
        windows = self.windows(image)
        likelihood = self.likelihoods(patches(image, windows))[:, : self.classes]
        rows, labels = np.nonzero(likelihood >= LEAST_SCORE)
        found = np.column_stack([windows[rows], likelihood[rows, labels], labels])
        kept = list[np.ndarray]()
        for each in found[np.argsort(-found[:, 4], kind="stable")]:
            same = [other[:4] for other in kept if other[5] == each[5]]
            if not same or overlaps(each[None, :4], np.stack(same)).max() <= MOST_SHARED:
                kept.append(each)
        return np.stack(kept) if kept else np.empty((0, 6))

    def scores(self, scenes: Scenes) -> dict[str, float]:
        """The average precisions on these images."""
        found = [self.detections(image) for image in scenes.inputs]
        scores: dict[str, float] = lazy.call(
            "experiments.detection_scores:average_precisions", found, objects_of(scenes), self.classes
        )
        return scores

    def loss(self, scenes: Scenes) -> float:
        """Mean cross-entropy of the classes of the objects' boxes, of about MOST_JUDGED at most."""
        losses = list[float]()
        for image, found in zip(scenes.inputs, objects_of(scenes), strict=True):
            if len(found) and len(losses) < MOST_JUDGED:
                likelihood = self.likelihoods(patches(image, squared(found[:, :4])))
                losses += (-np.log(likelihood[np.arange(len(found)), found[:, 4].astype(int)].clip(min=1e-3))).tolist()
        return float(np.mean(losses))


def patches(image: Tensor, boxes: np.ndarray) -> np.ndarray:
    """The boxes of an image (channels, side, side), resized: (boxes, channels × PATCH × PATCH), contrast evened."""
    given = torch.from_numpy(boxes).float()
    steps = (torch.arange(PATCH) + 0.5) / PATCH
    x, y = (given[:, axis, None] + given[:, 2 + axis, None] * steps for axis in range(2))
    grid = torch.stack([x[:, None, :].expand(-1, PATCH, -1), y[:, :, None].expand(-1, -1, PATCH)], dim=3)
    places = (grid / image.shape[-1] * 2 - 1).flatten(0, 1).unsqueeze(0)
    whole = F.grid_sample(image.float().unsqueeze(0), places, align_corners=False)[0]
    found = whole.unflatten(1, (len(boxes), PATCH)).transpose(0, 1).flatten(1)
    even: np.ndarray = ((found - found.mean(1, keepdim=True)) / (found.std(1, keepdim=True) + 8.0)).numpy()
    return even


def squared(boxes: np.ndarray) -> np.ndarray:
    """Squares around the middles of boxes (n, 4), as wide as their longer sides: as windows are."""
    side = boxes[:, 2:].max(axis=1, keepdims=True)
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2 - side / 2, side, side], axis=1)


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4): (n, m)."""
    begin = np.maximum(one[:, None, :2], other[None, :, :2])
    end = np.minimum((one[:, :2] + one[:, 2:])[:, None], (other[:, :2] + other[:, 2:])[None])
    shared = (end - begin).clip(0).prod(axis=2)
    return np.asarray(shared / (one[:, 2:].prod(axis=1)[:, None] + other[:, 2:].prod(axis=1)[None] - shared))
