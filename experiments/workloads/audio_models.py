"""A convolutional network over log-mel spectrograms, for short sounds: the shape, the layers, the operations.

Spectrograms are computed from the clips at every step, as the model's first layer: one preparation of the data then
serves every choice of bands, windows and hops. On one CPU core, at 8,000 samples a second, that took a third of a step
at size 1, an eighth or less from size 3 on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from experiments.spectrogram import LogMel, masked
from tracker.records import Settings

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
        """The shape that the settings ask for: the dial ``size`` gives width = 8 × size and depth = size / 2, up."""
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
    """3 × 3, with batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) in the bias's place."""
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
