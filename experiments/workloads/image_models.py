"""The two models that tell the class of an image: a convolutional network and a Vision Transformer.

Both take uint8 images (batch, channels, side, side) to logits (batch, classes), and normalise what they get.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments.layers import attention
from tracker.records import Settings

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

        The dial ``size`` gives a convolutional network 16 × size channels and size / 2 blocks a stage, rounded up; a
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
