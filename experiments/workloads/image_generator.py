"""A Transformer that turns noise into images of a class that is asked for, by class-conditional flow matching.

Reads from top to bottom: the shape, the model, how it samples, the workload. The model learns the velocity on the
straight line from noise to an image (Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003); an image
is made by following it in ``sampling_steps`` steps. Each step is one pass through the model: what a prediction costs
grows with them, and so does how good it is, up to a point.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from experiments import lazy
from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.images import DATA_OPTIONS, moved, prepare_images, prepared_images
from experiments.generation_request import requests_of
from experiments.inference import with_weights
from experiments.layers import attention
from experiments.sample_judge import Jury, prepared_judge
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

WIDTH_PER_SIZE = 32
HEAD_WIDTH = 32
LONGEST_PERIOD = 10_000
TIME_SCALE = 1000
POSITION_DEVIATION = 0.02
MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model; ``patch`` is the pixels a side that it reads as one token."""

    classes: int
    channels: int
    side: int
    patch: int
    width: int
    depth: int

    @classmethod
    def of(cls, settings: Settings, classes: int, extra: Mapping[str, Any]) -> Shape:
        """The shape that the settings ask for: ``size`` gives width = 32 × size and depth = size + 1."""
        side, size = int(extra["side"]), int(settings["size"])
        return cls(
            classes=classes,
            channels=int(extra["channels"]),
            side=side,
            patch=min(int(settings["patch"]), side),
            width=WIDTH_PER_SIZE * size,
            depth=size + 1,
        )


class Block(nn.Module):
    """A Transformer layer whose normalisations the condition shifts, scales and gates (adaLN-Zero).

    Peebles and Xie 2023, arXiv:2212.09748, section 3.2. It starts as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.modulation = _zero(nn.Linear(width, 6 * width))
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, states: Tensor, condition: Tensor) -> Tensor:
        """States (batch, tokens, width) under a condition (batch, width) to states of the same shape."""
        batch, tokens, width = states.shape
        shift, scale, gate, *others = self.modulation(condition).unsqueeze(1).chunk(6, dim=-1)
        split = self.query_key_value(_modulated(states, shift, scale)).view(batch, tokens, 3, self.heads, -1)
        mixed = attention(*split.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(batch, tokens, width)
        states = states + gate * self.output(mixed)
        shift, scale, gate = others
        after: Tensor = states + gate * self.perceptron(_modulated(states, shift, scale))
        return after


class Generator(nn.Module):
    """Images on the way from noise, the time (0 is noise, 1 an image) and the class, to the velocity at that place."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        self.count = math.ceil(shape.side / shape.patch)
        self.patches = nn.Linear(shape.channels * shape.patch**2, width)
        self.positions = nn.Parameter(torch.randn(self.count**2, width) * POSITION_DEVIATION)
        self.classes = nn.Embedding(shape.classes, width)
        self.times = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(shape.depth))
        self.modulation = _zero(nn.Linear(width, 2 * width))
        self.velocity = _zero(nn.Linear(width, shape.channels * shape.patch**2))

    def forward(self, images: Tensor, moment: Tensor, labels: Tensor) -> Tensor:
        """Images (batch, channels, side, side), times and labels (batch) to velocities of the images' shape."""
        shape, patch, count, form = self.shape, self.shape.patch, self.count, self.positions.dtype
        missing = count * patch - shape.side
        filled = F.pad(images.to(form), (0, missing, 0, missing))
        cut = filled.view(len(images), shape.channels, count, patch, count, patch)
        states = self.patches(cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)) + self.positions
        condition = F.silu(self.times(_waves(moment, shape.width).to(form)) + self.classes(labels))
        for block in self.blocks:
            states = block(states, condition)
        shift, scale = self.modulation(condition).unsqueeze(1).chunk(2, dim=-1)
        pieces = self.velocity(_modulated(states, shift, scale))
        whole = pieces.view(len(images), count, count, shape.channels, patch, patch).permute(0, 3, 1, 4, 2, 5)
        found: Tensor = whole.reshape(filled.shape)[..., : shape.side, : shape.side]
        return found.float()


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _modulated(states: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(states, states.shape[-1:]) * (1 + scale) + shift


def _waves(moment: Tensor, width: int) -> Tensor:
    """Sines and cosines of times (batch), as of positions (Vaswani et al. 2017, arXiv:1706.03762, section 3.5)."""
    steps = torch.arange(width // 2, device=moment.device) / (width // 2)
    angles = TIME_SCALE * moment[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def flow_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean squared error of the velocity at a random time on the line from random noise to each image of a batch.

    Times are those of Esser et al. 2024, arXiv:2403.03206, section 3.1: a normal number through the logistic function.
    """
    images, labels = batch[:2]
    clean = images.float() / 127.5 - 1
    noise = torch.randn_like(clean)
    moment = torch.randn(len(clean), device=clean.device).sigmoid()
    share = moment.view(-1, 1, 1, 1)
    velocity = model(noise + share * (clean - noise), moment, labels)
    return F.mse_loss(velocity.float(), clean - noise)


def generate(model: nn.Module, noise: Tensor, labels: Tensor, steps: int) -> Tensor:
    """Images uint8 of these classes, from noise of their shape: Euler's method in so many equal steps."""
    images = noise
    for step in range(steps):
        moment = torch.full((len(noise),), step / steps, device=noise.device)
        images = images + model(images, moment, labels) / steps
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


GENERATED_AT_ONCE = 256
SAMPLES_A_CLASS = 8
MOST_CLASSES_SHOWN = 20


class ImageGenerator:
    """The workload: makes images of a class. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the size of the model: width and depth follow from it", low=1, high=64),
        "sampling_steps": Knob("int", 8, "passes through the model for one image", low=1, high=MOST_STEPS),
        "patch": Knob("int", 2, "pixels a side that the model reads as one", low=1, high=64),
        "image_side": Knob("int", None, "pixels a side that images get; default as most, 64 at most", low=4, high=256),
        "flip": Knob("bool", False, "mirror a random half of the training images, left to right"),
        "train_share": Knob("float", 1.0, "share of the training split that is used", low=0.001, high=1.0),
        "deduplicate": Knob("bool", False, "keep one image of those with the same pixels"),
        **{name: knob for name, knob in LOOP_KNOBS.items() if name != "label_smoothing"},
        "weight_average": Knob("float", 0.98, LOOP_KNOBS["weight_average"].help, low=0.0, high=0.9999),
    }
    metrics: Mapping[str, Direction] = {
        "frechet_distance": Direction.MINIMIZE,
        "class_agreement": Direction.MAXIMIZE,
        "training_loss": Direction.MINIMIZE,
    }
    data_options: Mapping[str, str] = DATA_OPTIONS

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Read and resize the images, and train the fixed classifier that judges generated ones. Raises DataError."""
        folder = prepare_images(data, settings, cache, progress)
        prepared_judge(folder)
        return load_array_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one generator; keeps its weights and its settings, and a picture of what it makes."""
        settings = run.settings
        torch.manual_seed(run.seed)
        folder = prepared_images(run)
        card = load_array_card(folder)
        train = load_examples(folder, "train", run.device, float(settings["train_share"]))
        wanted, jury = load_examples(folder, "validation", run.device).labels, Jury(folder, "validation", run.device)
        shape, steps = Shape.of(settings, len(card.classes), card.extra), int(settings["sampling_steps"])
        batch_size = int(settings["batch_size"])
        model = Generator(shape).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)
        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=lambda epoch: training_batches(train, settings, seed=run.seed * 1_000_003 + epoch),
            loss=flow_loss,
            evaluate=lambda trained: jury.of(samples(run, trained, shape, wanted)).reported,
            keep=lambda trained, kept: save(trained, shape, card.classes, steps, kept),
        )
        if run.rank:
            return
        with run.evaluating(), torch.no_grad():
            asked = load_examples(folder, "test", run.device).labels
            begin = time.perf_counter()
            made = [(images.cpu(), labels.cpu()) for images, labels in samples(run, done.model, shape, asked)]
            seconds = time.perf_counter() - begin  # copying them waited for the device
            test = Jury(folder, "test", torch.device("cpu")).of(made)
            draw_samples(run, done.model, shape)
        run.conclude(
            **{f"test_{name}": value for name, value in test.reported.items()},
            parameters=sum(each.numel() for each in model.parameters()),
            flops=done.samples * 3.0 * pass_flops(shape),
            prediction_flops=steps * pass_flops(shape),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=len(asked) / seconds,
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Classes to images of them, by the model that ``save`` kept in ``folder``.

        An input is a class's name, or a dict with ``class``, ``seed`` and ``sampling_steps``; all but the class have
        defaults: 0, and the steps that the model was trained with. The same seed gives the same image. An image is rows
        of numbers from 0 to 255, or rows of colours. The predictor raises DataError for anything else.
        """
        saved = json.loads((folder / "settings.json").read_text())
        shape = Shape(**saved["shape"])
        model = Generator(shape)
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)

        def predict(inputs: Sequence[Any]) -> list[Any]:
            asked = requests_of(inputs, saved["classes"], saved["sampling_steps"], MOST_STEPS)
            answers: list[Any] = [None] * len(asked)
            for steps in sorted({each.steps for each in asked}):
                rows = [row for row, each in enumerate(asked) if each.steps == steps]
                noise = torch.stack([seeded_noise(shape, asked[row].seed) for row in rows]).to(device)
                labels = torch.tensor([asked[row].label for row in rows], device=device)
                with torch.inference_mode():
                    made = generate(ready, noise, labels, steps).permute(0, 2, 3, 1).cpu()
                for row, image in zip(rows, made.squeeze(-1) if shape.channels == 1 else made, strict=True):
                    answers[row] = image.tolist()
            return answers

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """The classes of images of the test split, each with a seed of its own. Raises DataError."""
        folder = prepare_images(data, settings, cache, lambda _: None)
        classes = load_array_card(folder).classes
        labels = load_examples(folder, "test", torch.device("cpu")).labels[:limit].tolist()
        return [{"class": classes[label], "seed": seed} for seed, label in enumerate(labels)]

    def answer_scores(
        self, inputs: Sequence[Any], answers: Sequence[Any], data: Mapping[str, Any], settings: Settings, cache: Path
    ) -> Mapping[str, float]:
        """How a predictor's images for these inputs compare with the real ones of the test split. Raises DataError."""
        folder = prepare_images(data, settings, cache, lambda _: None)
        classes = load_array_card(folder).classes
        labels = torch.tensor([each.label for each in requests_of(inputs, classes, 1, MOST_STEPS)])
        images = torch.tensor(answers, dtype=torch.uint8)
        shaped = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
        return Jury(folder, "test", torch.device("cpu")).of([(shaped, labels)]).reported

    @staticmethod
    def _mixture(run: Run) -> None:
        lazy.call("experiments.workloads.pixel_mixture:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"Gaussian mixture of each class after PCA": _mixture}


def training_batches(train: Examples, settings: Settings, seed: int) -> Iterator[Batch]:
    """All examples once, in random order and maybe mirrored, decided by ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)
    for rows in torch.split(torch.randperm(len(train), generator=generator), int(settings["batch_size"])):
        images, labels, *_ = train.take(rows.to(train.labels.device))
        yield (moved(images, 0.0, True, generator) if settings["flip"] else images), labels


def samples(run: Run, model: nn.Module, shape: Shape, labels: Tensor) -> Iterator[Batch]:
    """(images, labels) that the model makes of these classes, from the same noise every time."""
    generator, steps = torch.Generator().manual_seed(run.seed), int(run.settings["sampling_steps"])
    for part in torch.split(labels, GENERATED_AT_ONCE):
        noise = torch.randn(len(part), shape.channels, shape.side, shape.side, generator=generator).to(run.device)
        with run.precision.autocast(run.device):
            images = generate(model, noise, part, steps)
        yield images, part


def seeded_noise(shape: Shape, seed: int) -> Tensor:
    """Noise (channels, side, side) that follows from ``seed`` alone, whatever is generated beside it."""
    return torch.randn(shape.channels, shape.side, shape.side, generator=torch.Generator().manual_seed(seed))


def draw_samples(run: Run, model: nn.Module, shape: Shape) -> None:
    """Keep a picture of images that the model makes, a row for each of the first classes: samples.png."""
    labels = torch.arange(min(shape.classes, MOST_CLASSES_SHOWN), device=run.device).repeat_interleave(SAMPLES_A_CLASS)
    images = torch.cat([images for images, _ in samples(run, model, shape, labels)]).cpu().numpy()
    lazy.call("experiments.data.image_pixels:write_grid", images, SAMPLES_A_CLASS, run.artifact("samples.png"))


def pass_flops(shape: Shape) -> float:
    """Floating-point operations of one image's forward pass, as PyTorch counts them (torch.utils.flop_counter).

    Two for a multiplication and addition; a training step takes about three times as many (Chowdhery et al. 2022,
    arXiv:2204.02311, appendix B).
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        zero = torch.zeros(1, dtype=torch.int64)
        Generator(shape)(torch.zeros(1, shape.channels, shape.side, shape.side), zero.float(), zero)
    return float(counter.get_total_flops())


def save(model: nn.Module, shape: Shape, classes: tuple[str, ...], steps: int, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the shape, the classes and the steps."""
    torch.save(model.state_dict(), folder / "model.pt")
    saved = {"shape": asdict(shape), "classes": classes, "sampling_steps": steps}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
