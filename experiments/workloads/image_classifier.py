"""A convolutional network or a Vision Transformer that classifies images, trained from scratch.

Reads from top to bottom: the shape, the two models, the workload. Images come as arrays from experiments.data, and the
loop over epochs is experiments.training_loop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments import lazy
from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.images import DATA_OPTIONS, moved, prepare_images, prepared_images
from experiments.inference import with_weights
from experiments.layers import attention
from experiments.scores import CLASSIFIER_METRICS, classification_loss, classifier_scores
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

CHANNELS_PER_SIZE = 16
WIDTH_PER_SIZE = 32
HEAD_WIDTH = 32
CHANNELS_PER_GROUP = 8
SMALLEST_MAP = 4
MOST_STAGES = 4
POSITION_DEVIATION = 0.5  # the best of 0.02, 0.2, 0.5 and 1 on the validation split of the digits


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model; ``width`` are the channels of the first stage, or the numbers of a patch's state."""

    architecture: str
    channels: int
    side: int
    classes: int
    width: int
    depth: int
    patch: int
    dropout: float

    @classmethod
    def of(cls, settings: Settings, channels: int, side: int, classes: int) -> Shape:
        """The shape that the settings ask for.

        ``size`` gives a convolutional network 16 × size channels and size / 2 blocks a stage, rounded up; a
        Vision Transformer a width of 32 × size, heads of 32, and size + 1 layers.
        """
        size, architecture = int(settings["size"]), str(settings["architecture"])
        convolutional = architecture == "cnn"
        return cls(
            architecture=architecture,
            channels=channels,
            side=side,
            classes=classes,
            width=(CHANNELS_PER_SIZE if convolutional else WIDTH_PER_SIZE) * size,
            depth=math.ceil(size / 2) if convolutional else size + 1,
            patch=min(int(settings["patch"]), side),
            dropout=float(settings["dropout"]),
        )


class ImageModel(nn.Module):
    """What both have in common: normalised pixels in, blocks one after another, a linear head on a mean.

    ``checkpointing`` has the blocks' activations computed again in the backward pass rather than kept (Chen et al.
    2016, arXiv:1604.06174): slower, in less memory, to the same gradients.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Shape, features: int) -> None:
        super().__init__()
        self.shape = shape
        self.checkpointing = False
        self.register_buffer("mean", torch.zeros(shape.channels, 1, 1))
        self.register_buffer("deviation", torch.ones(shape.channels, 1, 1))
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(features, shape.classes)

    def normalise_with(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Take these as the mean and deviation of each channel, where 1 is white."""
        self.mean.copy_(torch.tensor(mean).view(-1, 1, 1))
        self.deviation.copy_(torch.tensor(deviation).view(-1, 1, 1))

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels of mean 0 and deviation 1, in the format of the weights."""
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.deviation

    def through(self, blocks: Iterable[nn.Module], states: Tensor) -> Tensor:
        """The states after all blocks."""
        for block in blocks:
            recompute = self.checkpointing and self.training
            states = checkpoint(block, states, use_reentrant=False) if recompute else block(states)
        return states


class ConvolutionalNetwork(ImageModel):
    """Residual blocks in stages; each stage has half the side and twice the channels of the one before.

    Stages end with maps of SMALLEST_MAP, or after MOST_STAGES. Pre-activation blocks are those of He et al. 2016,
    arXiv:1603.05027, with group normalisation (Wu and He 2018, arXiv:1803.08494): an image's logits then depend on no
    other image, so that accumulation, several processes and recomputed activations change nothing.
    """

    def __init__(self, shape: Shape) -> None:
        stages = max(1, min(MOST_STAGES, 1 + int(math.log2(max(1, shape.side / SMALLEST_MAP)))))
        widths = [shape.width * 2**stage for stage in range(stages)]
        super().__init__(shape, widths[-1])
        blocks: list[nn.Module] = [_convolution(shape.channels, widths[0])]
        for stage, width in enumerate(widths):
            if stage:
                blocks.append(_convolution(widths[stage - 1], width, stride=2))
            blocks.extend(ResidualBlock(width) for _ in range(shape.depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm = _group_norm(widths[-1])

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes for each image."""
        maps = self.through(self.blocks, self.normalised(images))
        logits: Tensor = self.head(self.dropout(F.relu(self.norm(maps)).mean(dim=(2, 3))))
        return logits

    def multiplications(self) -> int:
        """Multiply-adds of one image's forward pass: each weight of a convolution once at each place of its map."""
        side, counted = self.shape.side, self.head.weight.numel()
        for each in self.blocks.modules():
            if isinstance(each, nn.Conv2d):
                side = math.ceil(side / each.stride[0])
                counted += each.weight.numel() * side**2
        return counted


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions, each after normalisation and ReLU, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first_norm, self.first = _group_norm(width), _convolution(width, width)
        self.second_norm, self.second = _group_norm(width), _convolution(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, width, side, side) to maps of the same shape."""
        inner = self.first(F.relu(self.first_norm(maps)))
        mapped: Tensor = self.second(F.relu(self.second_norm(inner)))
        return maps + mapped


class VisionTransformer(ImageModel):
    """Patches as tokens (Dosovitskiy et al. 2021, arXiv:2010.11929), the mean of their last states to the head.

    The mean in place of a class token is that of Beyer et al. 2022, arXiv:2205.01580. Sides that are no multiple of
    the patch are filled up with the mean shade.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, shape.width)
        self.patches_a_side = math.ceil(shape.side / shape.patch)
        self.patches = nn.Linear(shape.channels * shape.patch**2, shape.width)
        self.positions = nn.Parameter(torch.randn(self.patches_a_side**2, shape.width) * POSITION_DEVIATION)
        self.blocks = nn.ModuleList(EncoderLayer(shape.width) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes for each image."""
        patch, count = self.shape.patch, self.patches_a_side
        missing = count * patch - self.shape.side
        pixels = F.pad(self.normalised(images), (0, missing, 0, missing))
        cut = pixels.reshape(len(images), self.shape.channels, count, patch, count, patch)
        states = self.patches(cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)) + self.positions
        states = self.through(self.blocks, states)
        logits: Tensor = self.head(self.dropout(self.norm(states).mean(dim=1)))
        return logits

    def multiplications(self) -> int:
        """Multiply-adds of one image's forward pass: the matrices for each patch, and each patch's look at each."""
        count, shape = self.patches_a_side**2, self.shape
        linear = [each for each in self.modules() if isinstance(each, nn.Linear) and each is not self.head]
        matrices = sum(each.weight.numel() for each in linear)
        return count * matrices + 2 * shape.depth * shape.width * count**2 + self.head.weight.numel()


class EncoderLayer(nn.Module):
    """A pre-norm encoder layer: attention among all patches, then a two-layer perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.rise = nn.Linear(width, 4 * width)
        self.fall = nn.Linear(4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """States (batch, patches, width) to states of the same shape."""
        batch, length, width = states.shape
        split = self.query_key_value(self.attention_norm(states)).view(batch, length, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = attention(query, key, value).transpose(1, 2).reshape(batch, length, width)
        states = states + self.output(mixed)
        mapped: Tensor = self.fall(F.gelu(self.rise(self.perceptron_norm(states))))
        return states + mapped


def make_model(shape: Shape) -> ConvolutionalNetwork | VisionTransformer:
    """The model of this shape, with random weights."""
    return ConvolutionalNetwork(shape) if shape.architecture == "cnn" else VisionTransformer(shape)


def _convolution(incoming: int, outgoing: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(incoming, outgoing, kernel_size=3, stride=stride, padding=1, bias=False)


def _group_norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(width // CHANNELS_PER_GROUP, width)


EVALUATION_BATCH = 256


class ImageClassifier:
    """The workload: classifies images. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "architecture": Knob("str", "cnn", "convolutional or Vision Transformer", choices=("cnn", "vit")),
        "size": Knob("int", 2, "the size of the model: width and depth follow from it", low=1, high=64),
        "image_side": Knob("int", None, "pixels a side that images get; default as most, 64 at most", low=4, high=1024),
        "patch": Knob("int", 4, "pixels a side that the Vision Transformer reads as one", low=1, high=256),
        "dropout": Knob("float", 0.1, "dropout of an image's mean state", low=0.0, high=0.9),
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
        model = make_model(Shape.of(settings, card.extra["channels"], card.extra["side"], len(card.classes)))
        model.normalise_with(card.extra["mean"], card.extra["deviation"])
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
        saved = json.loads((folder / "settings.json").read_text())
        shape = Shape(**saved["shape"])
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
            return [saved["classes"][index] for index in found]

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
    """How the model is executed: it changes the speed, not the result."""
    model.checkpointing = bool(settings["activation_checkpointing"])
    if settings["channels_last"] and isinstance(model, ConvolutionalNetwork):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its maps follow its weights
    if settings["compile"]:
        model.compile()


def training_batches(train: Examples, settings: Settings, seed: int) -> Iterator[Batch]:
    """All examples once, in random order and moved at random, decided by ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)
    shift, flip = float(settings["shift"]), bool(settings["flip"])
    order = torch.randperm(len(train), generator=generator)
    for rows in torch.split(order, int(settings["batch_size"])):
        images, *others = train.take(rows.to(train.labels.device))
        if shift or flip:
            images = moved(images, shift, flip, generator)
        yield (images, *others)


def batches(examples: Examples) -> Iterator[Batch]:
    """All examples unchanged, for evaluation."""
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
