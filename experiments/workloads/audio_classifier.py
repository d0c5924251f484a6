"""A convolutional network that classifies short sounds, such as spoken commands, by their spectrograms.

Reads from top to bottom: the shape, the model, the workload. Sounds come as clips of one rate and length from
experiments.data, and the loop over epochs is experiments.training_loop. Spectrograms are computed from the clips at
every step, as the model's first layer: one preparation of the data then serves every choice of bands, windows and hops.
On one CPU core, at 8,000 samples a second, that took a third of a step at size 1, an eighth or less from size 3 on.
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
from experiments.data.sound_preparation import prepare_sounds, prepared_sounds
from experiments.data.sounds import RESAMPLINGS, fitted
from experiments.inference import with_weights
from experiments.scores import CLASSIFIER_METRICS, classification_loss, classifier_scores
from experiments.spectrogram import LogMel, masked
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.errors import DataError
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

WIDTH_PER_SIZE = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model; ``window``, ``hop`` and ``clip`` are in samples."""

    classes: int
    sample_rate: int
    clip: int
    window: int
    hop: int
    mel_bands: int
    width: int
    depth: int
    dropout: float
    time_mask: float
    frequency_mask: float
    channels_last: bool

    @classmethod
    def of(cls, settings: Settings, classes: int) -> Shape:
        """The shape that the settings ask for: ``size`` gives width = 8 × size and depth = size / 2, up."""
        rate, size = int(settings["sample_rate"]), int(settings["size"])
        return cls(
            classes=classes,
            sample_rate=rate,
            clip=max(1, round(float(settings["clip_seconds"]) * rate)),
            window=max(2, round(float(settings["window_ms"]) * rate / 1000)),
            hop=max(1, round(float(settings["hop_ms"]) * rate / 1000)),
            mel_bands=int(settings["mel_bands"]),
            width=WIDTH_PER_SIZE * size,
            depth=math.ceil(size / 2),
            dropout=float(settings["dropout"]),
            time_mask=float(settings["time_mask"]),
            frequency_mask=float(settings["frequency_mask"]),
            channels_last=bool(settings["channels_last"]),
        )


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 × 3, with batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) in place of a bias."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A residual block of two convolutions (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)

    def forward(self, states: Tensor) -> Tensor:
        """States (batch, width, bands, frames) to states of the same shape."""
        return F.relu(states + self.second(F.relu(self.first(states))))


class Network(nn.Module):
    """Spectrograms (batch, 1, bands, frames) to logits (batch, classes).

    Two convolutions of stride 2, residual blocks, the mean over time, and one linear layer: when something is heard
    does not matter to it, but at which frequency does.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layout = torch.channels_last if shape.channels_last else torch.contiguous_format
        self.stem = nn.Sequential(
            convolution(1, shape.width, stride=2), nn.ReLU(), convolution(shape.width, shape.width, stride=2), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(Block(shape.width) for _ in range(shape.depth)))
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(shape.width * math.ceil(math.ceil(shape.mel_bands / 2) / 2), shape.classes)
        self.to(memory_format=self.layout)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Logits of the classes for each spectrogram."""
        states = self.blocks(self.stem(spectrograms.contiguous(memory_format=self.layout)))
        logits: Tensor = self.head(self.dropout(states.mean(dim=3).flatten(1)))
        return logits


class Classifier(nn.Module):
    """Clips (batch, samples), from -1 to 1, to logits (batch, classes); masks spectrograms while it is trained."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.spectrogram = LogMel(shape.mel_bands, shape.window, shape.hop, shape.sample_rate)
        self.network = Network(shape)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits of the classes for each clip."""
        spectrograms = self.spectrogram(clips)
        if self.training and (self.shape.time_mask or self.shape.frequency_mask):
            spectrograms = masked(spectrograms, self.shape.time_mask, self.shape.frequency_mask)
        logits: Tensor = self.network(spectrograms[:, None])
        return logits


def training_flops(shape: Shape) -> float:
    """Floating-point operations of training the network on one clip, its spectrogram left out.

    Those of the forward pass as PyTorch counts them (torch.utils.flop_counter: two a multiplication and addition),
    times 3: the backward pass takes about twice as many (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Network(shape).eval()(torch.zeros(1, 1, shape.mel_bands, 1 + shape.clip // shape.hop))
    return 3.0 * counter.get_total_flops()


EVALUATION_BATCH = 256
LOUDEST = 2**15
"""What the whole numbers of a clip on disk are divided by to lie between -1 and 1."""


class AudioClassifier:
    """The workload: classifies sounds. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 3, "the size of the model: width and depth follow from it", low=1, high=64),
        "mel_bands": Knob("int", 40, "bands of the spectrogram", low=8, high=256),
        "window_ms": Knob("float", 32.0, "milliseconds of sound in a frame of the spectrogram", low=2.0, high=500.0),
        "hop_ms": Knob("float", 16.0, "milliseconds from one frame to the next", low=1.0, high=500.0),
        "clip_seconds": Knob("float", 1.0, "seconds of a sound that are used, its middle", low=0.05, high=60.0),
        "sample_rate": Knob("int", 8000, "samples a second, which sounds are resampled to", low=1000, high=96_000),
        "resampling": Knob("str", "sinc", "how sounds of another rate are resampled", choices=RESAMPLINGS),
        "dropout": Knob("float", 0.2, "dropout before the last layer", low=0.0, high=0.9),
        "time_mask": Knob("float", 0.2, "share of a clip's time masked while training, at most", low=0.0, high=1.0),
        "frequency_mask": Knob("float", 0.2, "share of the bands masked while training, at most", low=0.0, high=1.0),
        "channels_last": Knob("bool", True, "keep a place's channels beside each other in memory"),
        "train_share": Knob("float", 1.0, "share of the training clips that are used", low=0.001, high=1.0),
        "deduplicate": Knob("bool", True, "of sounds that are equal to the sample, use the first by path alone"),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = CLASSIFIER_METRICS
    data_options: Mapping[str, str] = {
        "source": "'synthetic', made on this machine, or a folder of CLASS/*.wav or train|validation|test/CLASS/*.wav",
        "corrupt": "what to do about a wav file that cannot be read: 'fail' (the default) or 'skip'",
        "speakers": "made-up speakers of the synthetic sounds; default 120",
        "takes": "synthetic utterances of each digit by each speaker; default 2",
        "seed": "the seed of the synthetic sounds; default 0",
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Make or read the sounds and cut them to clips of one rate and length. Raises DataError."""
        folder = prepare_sounds(data, settings, cache, progress)
        return load_array_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one classifier; keeps its weights and its settings."""
        settings = run.settings
        torch.manual_seed(run.seed)
        folder = prepared_sounds(run)
        classes = load_array_card(folder).classes
        train = load_examples(folder, "train", run.device, float(settings["train_share"]))
        validation = load_examples(folder, "validation", run.device)
        shape, batch_size = Shape.of(settings, len(classes)), int(settings["batch_size"])
        model = Classifier(shape).to(run.device)
        if settings["compile"]:
            model.network.compile(dynamic=True)  # the spectrogram's complex numbers are not compiled

        def train_batches(epoch: int) -> Iterator[Batch]:
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(run.seed + epoch))
            return batches(train, order.split(batch_size))

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=train_batches,
            loss=classification_loss(run),
            evaluate=lambda trained: classifier_scores(run, trained, batches(validation)).reported,
            keep=lambda trained, kept: save(trained, classes, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = classifier_scores(run, done.model, batches(load_examples(folder, "test", run.device)))
        run.conclude(
            test_accuracy=test.accuracy,
            parameters=sum(each.numel() for each in model.parameters()),
            flops=done.samples * training_flops(shape),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,  # by now everything is compiled
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Sounds to the names of their classes, by the model that ``save`` kept in ``folder``.

        A sound is a list of numbers from -1 to 1, at the sample rate that the model was trained with. As in training,
        the middle of a longer one is heard, and a shorter one stands in silence. Raises DataError for anything else.
        """
        saved = json.loads((folder / "settings.json").read_text())
        shape = Shape(**saved["shape"])
        model = Classifier(shape)
        model.network.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        # Only the network's weights are rounded: spectrograms are computed as in training.
        spectrogram, network = model.spectrogram.to(device), with_weights(model.network, weights, device)
        number_format = torch.bfloat16 if weights == "bf16" else torch.float32

        def predict(sounds: Sequence[Any]) -> list[str]:
            if not sounds:
                return []
            clips = torch.stack([sound_of(each, number, shape) for number, each in enumerate(sounds, start=1)])
            with torch.inference_mode():
                spectrograms = spectrogram(clips.to(device))[:, None].to(number_format)
                found = network(spectrograms).argmax(dim=1).tolist()
            return [saved["classes"][index] for index in found]

        return predict

    def prediction_inputs(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int
    ) -> list[list[float]]:
        """Clips of the test split as lists of numbers from -1 to 1. Raises DataError."""
        folder = prepare_sounds(data, settings, cache, lambda _: None)
        test = load_examples(folder, "test", torch.device("cpu"))
        clips: list[list[float]] = (test.inputs[:limit].float() / LOUDEST).tolist()
        return clips

    @staticmethod
    def _mean_spectrum(run: Run) -> None:
        lazy.call("experiments.workloads.mean_spectrum:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"mean log-mel + logistic regression": _mean_spectrum}


def batches(examples: Examples, plan: Sequence[Tensor] | None = None) -> Iterator[Batch]:
    """(clips, labels) of the planned rows, clips from -1 to 1; without a plan, of all rows in their order."""
    for rows in plan or torch.arange(len(examples)).split(EVALUATION_BATCH):
        clips, labels, *_ = examples.take(rows.to(examples.labels.device, non_blocking=True))
        yield clips.float() / LOUDEST, labels


def sound_of(given: Any, number: int, shape: Shape) -> Tensor:
    """The clip (samples,) of what is said to be sound ``number``. Raises DataError where it is none."""
    try:
        sound = torch.tensor(given, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        sound = torch.empty(0)
    if sound.ndim != 1 or not len(sound) or not bool((sound.abs() <= 1.0).all()):
        shown = repr(given) if len(repr(given)) <= 60 else f"{repr(given)[:60]}…"
        raise DataError(
            f"sound {number} is {shown}; allowed: a list of numbers from -1 to 1, {shape.sample_rate} a second"
        )
    return torch.from_numpy(fitted(sound.numpy(), shape.clip))


def save(model: nn.Module, classes: tuple[str, ...], folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True) and the settings."""
    torch.save(model.network.state_dict(), folder / "model.pt")
    saved = {"shape": asdict(model.shape), "classes": classes}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
