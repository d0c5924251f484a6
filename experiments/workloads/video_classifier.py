"""Which motion does a clip show? Frames through a small convolutional network, then attention over time.

Reads from top to bottom: the shape, the model, the workload. Clips come as arrays from experiments.data, and the loop
over epochs is experiments.training_loop. How many frames of a clip are looked at, and how far apart they are, is chosen
as the model's first step: one preparation of the data serves every frame rate and every length.
"""

from __future__ import annotations

import json
import math
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
from experiments.data.clips import prepare_clips, prepared_clips
from experiments.inference import with_weights
from experiments.scores import CLASSIFIER_METRICS, classification_loss, classifier_scores
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.errors import DataError
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

WIDTH_PER_SIZE = 32
HEAD_WIDTH = 16
GRID = 4
"""A frame's features keep this many places each way: where something is, is what changes when it moves."""
EVALUATION_BATCH = 128


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model; it looks at ``frames`` frames, every ``step``-th of a clip's ``stored`` ones."""

    classes: int
    channels: int
    side: int
    stored: int
    frames: int
    step: int
    width: int
    depth: int
    dropout: float

    @classmethod
    def of(cls, settings: Settings, classes: int, extra: Mapping[str, Any]) -> Shape:
        """The shape that the settings ask for: ``size`` gives width = 32 × size and depth = size / 2, up.

        Raises DataError where so many frames, so far apart, are more than the stored ones.
        """
        size, frames, step = (int(settings[name]) for name in ("size", "clip_frames", "frame_step"))
        stored = int(extra["frames"])
        if (frames - 1) * step + 1 > stored:
            raise DataError(
                f"clip_frames = {frames} with frame_step = {step} span {(frames - 1) * step + 1} frames; "
                f"stored_frames = {stored}"
            )
        return cls(
            classes=classes,
            channels=int(extra["channels"]),
            side=int(extra["side"]),
            stored=stored,
            frames=frames,
            step=step,
            width=WIDTH_PER_SIZE * size,
            depth=math.ceil(size / 2),
            dropout=float(settings["dropout"]),
        )

    @property
    def looked_at(self) -> slice:
        """The frames of a clip that the model sees: those in its middle."""
        span = (self.frames - 1) * self.step + 1
        begin = (self.stored - span) // 2
        return slice(begin, begin + span, self.step)


class FrameEncoder(nn.Module):
    """Frames, and how each differs from the one before (n, 2 × channels, side, side), to states (n, width).

    Three convolutions, the first two of stride 2, with group normalisation (Wu and He 2018, arXiv:1803.08494), then one
    linear layer over what is left of the frame's places.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        half = shape.width // 2
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(2 * shape.channels, half, 3, 2, padding=1), nn.GroupNorm(4, half), nn.GELU()),
            *(nn.Conv2d(half, shape.width, 3, 2, padding=1), nn.GroupNorm(4, shape.width), nn.GELU()),
            *(nn.Conv2d(shape.width, half, 3, padding=1), nn.GroupNorm(4, half), nn.GELU()),
            nn.AdaptiveAvgPool2d(GRID),
        )
        self.out = nn.Linear(half * GRID * GRID, shape.width)

    def forward(self, frames: Tensor) -> Tensor:
        """The state of each frame."""
        states: Tensor = self.out(self.convolutions(frames).flatten(1))
        return states


class Layer(nn.Module):
    """A layer of a Transformer over a clip's frames, normalised before (Xiong et al. 2020, arXiv:2002.04745)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """States (clips, frames, width) to states of the same shape."""
        clips, frames, width = states.shape
        parts = self.qkv(self.before_attention(states)).view(clips, frames, 3, self.heads, HEAD_WIDTH)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(clips, frames, width)
        states = states + self.dropout(self.out(seen))
        return states + self.dropout(self.mlp(self.before_mlp(states)))


class Classifier(nn.Module):
    """Clips (clips, frames, channels, side, side), from 0 to 255, to logits (clips, classes)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = FrameEncoder(shape)
        self.positions = nn.Parameter(torch.randn(shape.frames, shape.width) * 0.02)
        self.layers = nn.ModuleList(Layer(shape.width, shape.dropout) for _ in range(shape.depth))
        self.norm, self.dropout = nn.LayerNorm(shape.width), nn.Dropout(shape.dropout)
        self.head = nn.Linear(shape.width, shape.classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits of the classes for each clip."""
        frames = clips.to(self.positions.dtype) / 127.5 - 1.0
        change = frames - torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        seen = torch.cat([frames, 2 * change], dim=2)
        states = self.encoder(seen.flatten(0, 1)).unflatten(0, frames.shape[:2]) + self.positions
        for layer in self.layers:
            states = layer(states)
        logits: Tensor = self.head(self.dropout(self.norm(states).mean(dim=1)))
        return logits


def training_flops(shape: Shape) -> float:
    """Floating-point operations of training on one clip.

    Those of the forward pass as PyTorch counts them (torch.utils.flop_counter: two a multiplication and addition),
    times 3: the backward pass takes about twice as many (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    clip = torch.zeros(1, shape.frames, shape.channels, shape.side, shape.side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Classifier(shape).eval()(clip)
    return 3.0 * counter.get_total_flops()


class VideoClassifier:
    """The workload: classifies clips. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the size of the model: width and depth follow from it", low=1, high=64),
        "clip_frames": Knob("int", 8, "frames of a clip that are looked at, in its middle", low=2, high=256),
        "frame_step": Knob("int", 2, "every so many frames one is looked at: 2 halves the frame rate", low=1, high=64),
        "image_side": Knob("int", 32, "the side of a frame in pixels, which frames are resized to", low=8, high=256),
        "stored_frames": Knob("int", 24, "frames of a clip that are prepared, its middle", low=2, high=256),
        "dropout": Knob("float", 0.1, "dropout of the layers and before the head", low=0.0, high=0.9),
        "train_share": Knob("float", 1.0, "share of the training clips that are used", low=0.001, high=1.0),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = CLASSIFIER_METRICS
    data_options: Mapping[str, str] = {
        "source": "'synthetic', made on this machine, or a folder of CLASS/CLIP or train|validation|test/CLASS/CLIP, "
        "where a clip is a folder of frames or a .npy file",
        "channels": "'grey' (the default) or 'rgb', of a folder's clips",
        "corrupt": "what to do about a clip that cannot be used: 'fail' (the default) or 'skip'",
        "clips": "synthetic clips; default 1600",
        "seed": "the seed of the synthetic clips; default 0",
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Make or read the clips and cut them to equally many frames of one size. Raises DataError."""
        folder = prepare_clips(data, settings, cache, progress)
        return load_array_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one classifier; keeps its weights and its settings."""
        settings = run.settings
        torch.manual_seed(run.seed)
        folder = prepared_clips(run)
        card = load_array_card(folder)
        shape, batch_size = Shape.of(settings, len(card.classes), card.extra), int(settings["batch_size"])
        train = load_examples(folder, "train", run.device, float(settings["train_share"]))
        validation = load_examples(folder, "validation", run.device)
        model = Classifier(shape).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)

        def train_batches(epoch: int) -> Iterator[Batch]:
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(run.seed + epoch))
            return batches(train, shape, order.split(batch_size))

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=train_batches,
            loss=classification_loss(run),
            evaluate=lambda trained: classifier_scores(run, trained, batches(validation, shape)).reported,
            keep=lambda trained, kept: save(trained, shape, card.classes, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = classifier_scores(run, done.model, batches(load_examples(folder, "test", run.device), shape))
        run.conclude(
            test_accuracy=test.accuracy,
            parameters=sum(each.numel() for each in model.parameters()),
            flops=done.samples * training_flops(shape),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,  # by now everything is compiled
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Clips to the names of their classes, by the model that ``save`` kept in ``folder``.

        A clip is a list of frames, as many as were stored for training; each is rows of numbers from 0 to 255, or rows
        of colours. Raises DataError for anything else.
        """
        saved = json.loads((folder / "settings.json").read_text())
        shape = Shape(**saved["shape"])
        model = Classifier(shape)
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        network = with_weights(model, weights, device)

        def predict(clips: Sequence[Any]) -> list[str]:
            if not clips:
                return []
            found = torch.stack([clip_of(clip, number, shape) for number, clip in enumerate(clips, start=1)])
            with torch.inference_mode():
                places = network(found.to(device)).argmax(dim=1).tolist()
            return [saved["classes"][place] for place in places]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """Clips of the test split, as ``predictor`` takes them. Raises DataError."""
        folder = prepare_clips(data, settings, cache, lambda _: None)
        test = load_examples(folder, "test", torch.device("cpu"))
        clips: list[Any] = test.inputs[:limit].permute(0, 1, 3, 4, 2).tolist()
        return clips

    @staticmethod
    def _motion(run: Run) -> None:
        lazy.call("experiments.workloads.motion_centroids:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"nearest centroid of motion": _motion}


def batches(examples: Examples, shape: Shape, plan: Sequence[Tensor] | None = None) -> Iterator[Batch]:
    """(clips, labels) of the planned rows, of each clip the frames that are looked at; without a plan, of all rows."""
    for rows in plan or torch.arange(len(examples)).split(EVALUATION_BATCH):
        clips, labels, *_ = examples.take(rows.to(examples.labels.device, non_blocking=True))
        yield clips[:, shape.looked_at], labels


def clip_of(given: Any, number: int, shape: Shape) -> Tensor:
    """The frames (frames, channels, side, side) of what is said to be clip ``number``. Raises DataError."""
    if not isinstance(given, list | tuple) or len(given) != shape.stored:
        length = len(given) if isinstance(given, list | tuple) else type(given).__name__
        raise DataError(f"clip {number} is {length} frames; allowed: a list of {shape.stored} frames")
    try:
        frames = lazy.call("experiments.data.image_pixels:arrays_of", given, shape.channels, shape.side)
    except DataError as error:
        raise DataError(f"clip {number}: {error}") from None
    return torch.from_numpy(frames)[shape.looked_at]


def save(model: nn.Module, shape: Shape, classes: tuple[str, ...], folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True) and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    (folder / "settings.json").write_text(json.dumps({"shape": asdict(shape), "classes": classes}, indent=2))
