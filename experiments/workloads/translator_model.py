"""The translator's model: an encoder of the source text, and a decoder that writes the target token by token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments.beam_search import beam_search
from experiments.data.pair_arrays import BEGIN, END, NEVER_WRITTEN
from experiments.data.token_arrays import PADDING
from experiments.layers import attention
from experiments.workloads.text_classifier import check_heads
from tracker.records import Settings

WIDTH_PER_SIZE = 32
HEAD_WIDTH = 32
EMBEDDING_DEVIATION = 0.02

KeysValues = tuple[Tensor, Tensor]
"""Keys and values that can be looked at, each (batch, heads, length, width / heads)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model. The encoder and the decoder have ``depth`` layers each."""

    vocabulary_size: int
    source_length: int
    target_length: int
    width: int
    heads: int
    depth: int
    dropout: float
    activation_checkpointing: bool = False

    @classmethod
    def of(cls, settings: Settings, vocabulary_size: int) -> Shape:
        """The shape that the settings ask for.

        The dial ``size`` gives width = 32 × size, depth = size / 2 rounded up, and heads of 32 (fewer, wider ones
        where those do not fill the width); a width, heads or depth that is set is taken instead. Raises
        WorkloadError where the heads cannot share the width evenly.
        """
        size = int(settings["size"])
        width = int(settings.get("width") or WIDTH_PER_SIZE * size)
        fitting = max(heads for heads in range(1, max(1, width // HEAD_WIDTH) + 1) if width % heads == 0)
        heads = int(settings.get("heads") or fitting)
        check_heads(width, heads)
        return cls(
            vocabulary_size=vocabulary_size,
            source_length=int(settings["source_length"]),
            target_length=int(settings["target_length"]),
            width=width,
            heads=heads,
            depth=int(settings.get("depth") or math.ceil(size / 2)),
            dropout=float(settings["dropout"]),
            activation_checkpointing=bool(settings["activation_checkpointing"]),
        )


class Attention(nn.Module):
    """Multi-head attention with its projections (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key_value = nn.Linear(shape.width, 2 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def keys_values(self, states: Tensor) -> KeysValues:
        """What states (batch, length, width) let be looked at."""
        split = self.key_value(states).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return split[0], split[1]

    def forward(self, states: Tensor, seen: KeysValues, real: Tensor | None = None, causal: bool = False) -> Tensor:
        """States (batch, length, width) to the same of what they see; ``real`` (batch, other length) may be seen."""
        query = self.query(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
        mask = None if real is None else real[:, None, None, :]
        mixed: Tensor = self.output(attention(query, *seen, mask, causal=causal).transpose(1, 2).flatten(2))
        return mixed


class EncoderLayer(nn.Module):
    """Pre-norm (Xiong et al. 2020, arXiv:2002.04745): attention to the source, then a two-layer perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.perceptron = _perceptron(shape)

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        """States (batch, source length, width) to states of the same shape."""
        normed = self.attention_norm(states)
        states = states + self.attention(normed, self.attention.keys_values(normed), real)
        return states + self.perceptron(states)


class DecoderLayer(nn.Module):
    """Pre-norm: attention to what is written already, attention to the source, then a two-layer perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.source_norm = nn.LayerNorm(shape.width)
        self.source_attention = Attention(shape)
        self.perceptron = _perceptron(shape)

    def forward(
        self, states: Tensor, source: KeysValues, real: Tensor, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """States (batch, length, width) to states of the same shape, and what may be looked at after them.

        With ``past``, the states are those of one position, after all that is in it.
        """
        normed = self.attention_norm(states)
        seen = self.attention.keys_values(normed)
        if past is not None:
            seen = torch.cat([past[0], seen[0]], dim=2), torch.cat([past[1], seen[1]], dim=2)
        states = states + self.attention(normed, seen, causal=past is None)
        states = states + self.source_attention(self.source_norm(states), source, real)
        return states + self.perceptron(states), seen


def _perceptron(shape: Shape) -> nn.Sequential:
    rise, fall = nn.Linear(shape.width, 4 * shape.width), nn.Linear(4 * shape.width, shape.width)
    return nn.Sequential(nn.LayerNorm(shape.width), rise, nn.ReLU(), fall)


class Translator(nn.Module):
    """Source tokens and the target tokens so far to the logits of the next target token.

    Tokens have PADDING at the end of each row. One table of the tokens' vectors serves as the embedding of both
    sides and as the output layer (Press and Wolf 2017, arXiv:1608.05859). Dropout falls on the embeddings and on the
    last states: on a CPU, drawing random numbers inside the layers takes a large share of a step's time.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary_size, shape.width)
        self.source_positions = nn.Embedding(shape.source_length, shape.width)
        self.target_positions = nn.Embedding(shape.target_length, shape.width)
        self.encoder = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.depth))
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.decoder = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.depth))
        self.decoder_norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        for table in (self.tokens, self.source_positions, self.target_positions):
            nn.init.normal_(table.weight, std=EMBEDDING_DEVIATION)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source (batch, source length) and target (batch, length) to logits (batch, length, vocabulary)."""
        real = source != PADDING
        return self.decode(target, self.encode(source), real)[0]

    def encode(self, source: Tensor) -> list[KeysValues]:
        """What each layer of the decoder may look at of the source tokens (batch, source length)."""
        real = source != PADDING
        states = self.dropout(self.tokens(source) + self.source_positions.weight[: source.shape[1]])
        for layer in self.encoder:
            states = self._through(layer, states, real)
        states = self.encoder_norm(states)
        return [layer.source_attention.keys_values(states) for layer in self.decoder]

    def decode(
        self, target: Tensor, source: list[KeysValues], real: Tensor, past: list[KeysValues] | None = None
    ) -> tuple[Tensor, list[KeysValues]]:
        """Logits (batch, length, vocabulary) after each of the target tokens (batch, length), and the new past.

        With the ``past`` that a call before gave, ``target`` is the one token after it: nothing is computed twice.
        """
        start = 0 if past is None else past[0][0].shape[2]
        positions = self.target_positions.weight[start : start + target.shape[1]]
        states, seen = self.dropout(self.tokens(target) + positions), []
        for index, layer in enumerate(self.decoder):
            states, of_layer = self._through(layer, states, source[index], real, None if past is None else past[index])
            seen.append(of_layer)
        return F.linear(self.dropout(self.decoder_norm(states)), self.tokens.weight), seen

    def _through(self, layer: nn.Module, *inputs: Any) -> Any:
        if self.training and self.shape.activation_checkpointing:
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)


def translate(model: Translator, source: Tensor, *, beam_width: int, length_penalty: float) -> Tensor:
    """The target tokens (batch, longest), filled up with PADDING, that the model writes for source tokens."""
    memory = [tuple(part.repeat_interleave(beam_width, dim=0) for part in pair) for pair in model.encode(source)]
    real = (source != PADDING).repeat_interleave(beam_width, dim=0)
    past: list[KeysValues] | None = None

    def step(last: Tensor, parents: Tensor) -> Tensor:
        nonlocal past
        if past is not None:
            past = [(keys[parents], values[parents]) for keys, values in past]
        logits, past = model.decode(last.unsqueeze(1), memory, real, past)
        return logits[:, 0].float().log_softmax(dim=1)

    return beam_search(
        step, len(source), source.device, beam_width=beam_width, max_length=model.shape.target_length,
        begin=BEGIN, end=END, padding=PADDING, never=NEVER_WRITTEN, length_penalty=length_penalty,
    ).tokens  # fmt: skip
