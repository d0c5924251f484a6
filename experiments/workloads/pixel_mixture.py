"""The cheap reference for generated images: a Gaussian mixture of each class, in the images' principal components.

Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.images import prepared_images
from experiments.sample_judge import Jury
from experiments.training_loop import Batch
from tracker.training.run import Run

CPU = torch.device("cpu")
COMPONENTS = 32  # MIXTURES and COMPONENTS: the best of 1, 2, 4 and of 16, 24, 32, 48 on the validation digits
MIXTURES = 4
LEAST_IMAGES_A_MIXTURE = 10
LEAST_VARIANCE = 1e-3
"""Added to each variance, in squared shades where black is -1 and white 1."""


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data, and ``threads``.

    Its training_loss is the mean negative log-likelihood of the training images' components, in nats.
    """
    folder = prepared_images(run)
    train_split = load_examples(folder, "train", CPU, float(run.settings["train_share"]))
    validation, test = (load_examples(folder, split, CPU) for split in ("validation", "test"))
    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(run.settings["threads"])):
        mixtures = PixelMixtures(train_split, len(load_array_card(folder).classes), run.seed)
        seconds = time.perf_counter() - begin
        with run.evaluating():
            training_loss = mixtures.loss(train_split)
            judgement = Jury(folder, "validation", CPU).of(mixtures.samples(validation.labels, run.seed))
        run.report(1, training_loss=training_loss, **judgement.reported)
        with run.evaluating():
            begin = time.perf_counter()
            made = list(mixtures.samples(test.labels, run.seed))
            test_seconds = time.perf_counter() - begin
            judgement = Jury(folder, "test", CPU).of(made)
    run.conclude(
        **{f"test_{name}": value for name, value in judgement.reported.items()},
        parameters=mixtures.parameters,
        samples_per_second=len(train_split) / seconds,
        predictions_per_second=len(test) / test_seconds,
    )


class PixelMixtures:
    """A mixture of normal distributions for each class, over what PCA keeps of the pixels of all classes."""

    def __init__(self, train: Examples, classes: int, seed: int) -> None:
        self.form = train.inputs.shape[1:]
        pixels, labels = _pixels(train), train.labels.numpy()
        self.components = PCA(min(COMPONENTS, *pixels.shape), random_state=seed).fit(pixels)
        states = self.components.transform(pixels)
        self.mixtures = {label: _mixture(states[labels == label], seed) for label in np.unique(labels)}
        self.classes = classes

    @property
    def parameters(self) -> int:
        """The numbers that were fitted."""
        parts = [part for each in self.mixtures.values() for part in (each.weights_, each.means_, each.covariances_)]
        return sum(part.size for part in [self.components.components_, self.components.mean_, *parts])

    def loss(self, examples: Examples) -> float:
        """Mean negative log-likelihood of what PCA keeps of the images, each by the mixture of its class."""
        states, labels = self.components.transform(_pixels(examples)), examples.labels.numpy()
        found = [self.mixtures[label].score_samples(states[labels == label]) for label in np.unique(labels)]
        return float(-np.concatenate(found).mean())

    def samples(self, labels: torch.Tensor, seed: int) -> Iterator[Batch]:
        """Images uint8 of these classes, those of a class together; a class without a mixture has the first one's."""
        for label, count in zip(*np.unique(labels.numpy(), return_counts=True), strict=True):
            mixture = self.mixtures.get(label) or next(iter(self.mixtures.values()))
            mixture.random_state = np.random.RandomState(seed * 1009 + int(label))
            pixels = self.components.inverse_transform(mixture.sample(count)[0])
            shades = np.rint((pixels.clip(-1, 1) + 1) * 127.5).astype(np.uint8).reshape(-1, *self.form)
            yield torch.from_numpy(shades), torch.full((len(shades),), int(label))


def _mixture(states: np.ndarray, seed: int) -> GaussianMixture:
    """Of one class; of a single image it takes two of it: a mixture needs them."""
    count = max(1, min(MIXTURES, len(states) // LEAST_IMAGES_A_MIXTURE))
    doubled = states if len(states) > 1 else np.repeat(states, 2, axis=0)
    return GaussianMixture(count, reg_covar=LEAST_VARIANCE, random_state=seed).fit(doubled)


def _pixels(examples: Examples) -> np.ndarray:
    return examples.inputs.numpy().astype(np.float64).reshape(len(examples), -1) / 127.5 - 1
