"""A convolutional network or a Vision Transformer that tells the class of an image, trained from scratch.

The models are experiments.workloads.image_models, images come as arrays from experiments.data, and the loop over
epochs is experiments.training_loop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments import lazy
from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.images import DATA_OPTIONS, moved, prepare_images, prepared_images
from experiments.inference import with_weights
from experiments.scores import CLASSIFIER_METRICS, classification_loss, classifier_scores
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from experiments.workloads.image_models import ConvolutionalNetwork, Shape, VisionTransformer, make_model
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

EVALUATION_BATCH = 256


class ImageClassifier:
    """The workload: tells which class an image is of. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "architecture": Knob("str", "cnn", "convolutional or Vision Transformer", choices=("cnn", "vit")),
        "size": Knob("int", 2, "the dial that width and depth follow from", low=1, high=64),
        "image_side": Knob("int", None, "pixels a side that images get; default as most, 64 at most", low=4, high=1024),
        "patch": Knob("int", 4, "pixels a side that the Vision Transformer reads as one", low=1, high=256),
        "dropout": Knob("float", 0.1, "share of an image's mean that is dropped while training", low=0.0, high=0.9),
        "shift": Knob("float", 0.0, "share of the side that training images move by, at most", low=0.0, high=0.5),
        "flip": Knob("bool", False, "mirror a random half of the training images, left to right"),
        "train_share": Knob("float", 1.0, "share of the training split that is used", low=0.001, high=1.0),
        "deduplicate": Knob("bool", False, "keep one image of those with the same pixels"),
        "channels_last": Knob("bool", False, "store a convolutional network's maps pixel by pixel"),
        "activation_checkpointing": Knob("bool", False, "recompute activations rather than keep them"),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = CLASSIFIER_METRICS
    data_options: Mapping[str, str] = DATA_OPTIONS

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Read and resize the images, and divide them into splits. Raises DataError."""
        folder = prepare_images(data, settings, cache, progress)
        return load_array_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one classifier; keeps its weights and what it takes to use them."""
        settings = run.settings
        torch.manual_seed(run.seed)
        folder = prepared_images(run)
        card = load_array_card(folder)
        train = load_examples(folder, "train", run.device, float(settings["train_share"]))
        validation = load_examples(folder, "validation", run.device)
        model = make_model(Shape.of(settings, card.told["channels"], card.told["side"], len(card.classes)))
        model.normalise_with(card.told["mean"], card.told["deviation"])
        set_up(model.to(run.device), settings)
        batch_size = int(settings["batch_size"])
        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=lambda epoch: training_batches(train, settings, seed=run.seed * 1_000_003 + epoch),
            loss=classification_loss(run),
            evaluate=lambda trained: classifier_scores(run, trained, batches(validation)).reported,
            keep=lambda trained, kept: save(trained, model.shape, card.classes, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = classifier_scores(run, done.model, batches(load_examples(folder, "test", run.device)))
        run.conclude(
            test_accuracy=test.accuracy,
            parameters=sum(each.numel() for each in model.parameters()),
            flops=training_flops(model, done.samples),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,  # by now everything is compiled
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Images to the names of their classes, by the model that ``save`` kept in ``folder``.

        An image is nested lists of numbers from 0 to 255, height × width or height × width × channels, of any size.
        The predictor raises DataError for anything else.
        """
        told = json.loads((folder / "settings.json").read_text())
        shape = Shape(**told["shape"])
        model = make_model(shape)
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)

        def predict(images: Sequence[Any]) -> list[str]:
            if not images:
                return []
            squares: np.ndarray = lazy.call(
                "experiments.data.image_pixels:arrays_of", images, shape.channels, shape.side
            )
            with torch.inference_mode():
                found = ready(torch.from_numpy(squares).to(device)).argmax(dim=1).tolist()
            return [told["classes"][index] for index in found]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """Images of the test split as they were prepared, height × width × channels. Raises DataError."""
        folder = prepare_images(data, settings, cache, lambda _: None)
        images: np.ndarray = np.load(folder / "test-inputs.npy", mmap_mode="r")[:limit]
        nested: list[Any] = images.transpose(0, 2, 3, 1).tolist()
        return nested

    @staticmethod
    def _logistic_regression(run: Run) -> None:
        lazy.call("experiments.workloads.pixel_baselines:logistic_regression", run)

    @staticmethod
    def _nearest_neighbours(run: Run) -> None:
        lazy.call("experiments.workloads.pixel_baselines:nearest_neighbours", run)

    baselines: Mapping[str, Callable[[Run], None]] = {
        "logistic regression on pixels": _logistic_regression,
        "nearest neighbours in pixels": _nearest_neighbours,
    }


def set_up(model: ConvolutionalNetwork | VisionTransformer, settings: Settings) -> None:
    """How the model is to be computed, which changes nothing of what it computes."""
    model.checkpointing = bool(settings["activation_checkpointing"])
    if settings["channels_last"] and isinstance(model, ConvolutionalNetwork):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its maps follow its weights
    if settings["compile"]:
        model.compile()


def training_batches(train: Examples, settings: Settings, seed: int) -> Iterator[Batch]:
    """All examples once, in random order and moved at random, as ``seed`` alone decides."""
    generator = torch.Generator().manual_seed(seed)
    shift, flip = float(settings["shift"]), bool(settings["flip"])
    order = torch.randperm(len(train), generator=generator)
    for rows in torch.split(order, int(settings["batch_size"])):
        images, *others = train.take(rows.to(train.labels.device))
        if shift or flip:
            images = moved(images, shift, flip, generator)
        yield (images, *others)


def batches(examples: Examples) -> Iterator[Batch]:
    """All examples as they stand, for evaluation."""
    for rows in torch.split(torch.arange(len(examples), device=examples.labels.device), EVALUATION_BATCH):
        yield examples.take(rows)


def training_flops(model: ConvolutionalNetwork | VisionTransformer, samples: int) -> float:
    """Floating-point operations of training on so many images; what is computed again is counted once.

    Two for each multiply-add of the forward pass, and twice as many in the backward pass (Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1).
    """
    return 6.0 * model.multiplications() * samples


def save(model: nn.Module, shape: Shape, classes: tuple[str, ...], folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the shape and the names of the classes."""
    torch.save(model.state_dict(), folder / "model.pt")
    (folder / "settings.json").write_text(json.dumps({"shape": asdict(shape), "classes": classes}, indent=2))
