"""How good generated images are, judged by a small classifier that is trained once in the preparation and then fixed.

The classifier belongs to the prepared images: its seed, shape and steps never change, so that all models of a study are
judged by the same one. Its figures compare models on the same images and nothing else; they are not the FID of the
literature, whose features come from Inception v3 (Heusel et al. 2017, arXiv:1706.08500).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.files import whole_folder
from experiments.training_loop import Batch
from tracker.errors import DataError

JUDGE_VERSION = 1
"""Raise it whenever the classifier, its training or its features change."""
FEATURES = 32
CHANNELS = 16
LARGEST_FULL_SIDE = 16
"""Larger images are halved once more by the first convolution."""
STEPS, BATCH = 400, 64
LEARNING_RATE = 4e-3
SEED = 20
ROWS_AT_ONCE = 512
SMALLEST_DEVIATION = 1e-6
FEWEST_IMAGES = 2
"""A covariance needs two."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Generated images against real ones.

    ``frechet_distance`` is that of two normal distributions with the features' means and covariances (Dowson and Landau
    1982, doi:10.1016/0047-259X(82)90077-X), in squared standard deviations of a feature on the training images.
    ``class_agreement`` is the share of images that the classifier takes for the class that was asked for.
    """

    frechet_distance: float
    class_agreement: float

    @property
    def reported(self) -> dict[str, float]:
        """Both by their metrics' names."""
        return {"frechet_distance": self.frechet_distance, "class_agreement": self.class_agreement}


class Judge(nn.Module):
    """Images (n, channels, side, side), from 0 to 255, to FEATURES standardised features and to logits."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        stride = 1 if side <= LARGEST_FULL_SIDE else 2
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(channels, CHANNELS, 3, stride, padding=1), nn.ReLU()),
            *(nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, 2, padding=1), nn.ReLU()),
            *(nn.Conv2d(2 * CHANNELS, 2 * CHANNELS, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        )
        self.features = nn.Linear(8 * CHANNELS, FEATURES)
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, FEATURES), standardised, and logits (n, classes)."""
        features: Tensor = self.features(self.convolutions(images.float() / 127.5 - 1).flatten(1))
        return (features - self.mean) / self.deviation, self.head(F.relu(features))


def prepared_judge(images: Path) -> Path:
    """The file of the classifier for this folder of prepared images, trained where it is missing.

    Raises DataError where a split has fewer than FEWEST_IMAGES images.
    """
    folder = images.with_name(f"judge-{JUDGE_VERSION}-{images.name}")
    if not folder.is_dir():
        card = load_array_card(images)
        for split, rows in card.rows.items():
            if rows < FEWEST_IMAGES:
                raise DataError(
                    f"{card.name}: the {split} split has {rows} image; to judge generated ones it takes {FEWEST_IMAGES}"
                )
        judge = _trained(load_examples(images, "train", torch.device("cpu")), len(card.classes))
        with whole_folder(folder) as partial:
            torch.save(judge.state_dict(), partial / "judge.pt")
    return folder / "judge.pt"


def _trained(train: Examples, classes: int) -> Judge:
    channels, side = train.inputs.shape[1:3]
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(SEED)
        judge = Judge(channels, side, classes)
        optimiser = torch.optim.AdamW(judge.parameters(), lr=LEARNING_RATE)
        for step in range(STEPS):
            optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
            images, labels, *_ = train.take(torch.randint(len(train), (BATCH,)))
            F.cross_entropy(judge(images)[1], labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():
            features = torch.cat([judge(part)[0] for part in torch.split(train.inputs, ROWS_AT_ONCE)])
            judge.mean.copy_(features.mean(dim=0))
            judge.deviation.copy_(features.std(dim=0).clamp(min=SMALLEST_DEVIATION))
    return judge


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are the same however many cores the preparation has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Jury:
    """The fixed classifier with what it sees in the real images of one split."""

    def __init__(self, images: Path, split: str, device: torch.device) -> None:
        card = load_array_card(images)
        self.judge = Judge(card.extra["channels"], card.extra["side"], len(card.classes))
        self.judge.load_state_dict(torch.load(prepared_judge(images), weights_only=True))
        self.judge.to(device).eval()
        self._real = self._moments(self._seen(_batches(load_examples(images, split, device)))[0])

    def of(self, generated: Iterable[Batch]) -> Judgement:
        """The judgement of batches (images, the classes that were asked for)."""
        features, right = self._seen(generated)
        return Judgement(frechet_distance(*self._real, *self._moments(features)), right)

    def _seen(self, batches: Iterable[Batch]) -> tuple[Tensor, float]:
        features, right = [], []
        with torch.no_grad():
            for images, labels, *_ in batches:
                found, logits = self.judge(images)
                features.append(found)
                right.append(logits.argmax(dim=1) == labels)
        return torch.cat(features), torch.cat(right).double().mean().item()

    @staticmethod
    def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
        wide = features.double().cpu()
        return wide.mean(dim=0), torch.cov(wide.T)


def frechet_distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> float:
    """|m − m'|² + tr(C + C' − 2 (C C')^½) of two normal distributions, of equally many dimensions.

    The trace of the root is the sum of the roots of the eigenvalues of C^½ C' C^½, which is symmetric.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    apart = (mean - other_mean).square().sum()
    return max(0.0, float(apart + covariance.trace() + other_covariance.trace() - 2 * product))


def _batches(examples: Examples) -> Iterator[Batch]:
    for rows in torch.split(torch.arange(len(examples), device=examples.labels.device), ROWS_AT_ONCE):
        yield examples.take(rows)
