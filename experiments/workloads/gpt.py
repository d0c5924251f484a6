"""A decoder-only Transformer that foretells the next token, and writing with it.

That of GPT-2 (Radford et al. 2019) without biases, and with rotary positions, normed queries and keys, and squared
ReLU. After 500 steps of size 2 on 4096 bytes of the standard library's source, learned positions and GELU had 2.97 bits
per byte; rotary positions 2.32; with normed queries and keys 2.21; with squared ReLU too 1.97, for a sixth more time.

Reads from top to bottom: the shape, attention to what came before, the model, how it writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments.data.windows import NO_TARGET
from experiments.workloads.text_classifier import check_heads
from tracker.errors import WorkloadError
from tracker.records import Settings

WIDTH_PER_SIZE = 64
HEAD_WIDTH = 64
VOCABULARY_MULTIPLE = 64
"""The vocabulary is filled up to whole multiples, which matrix hardware prefers."""

DEVIATION = 0.02
"""Of the initial weights, as in GPT-2."""

LONGEST_WAVE = 10_000.0
"""The base of the rotations' wavelengths."""

QUERIES_AT_ONCE = 128
"""Of 64, 128 and 256 the fastest here, or as fast as the fastest, for contexts of 128 to 1024."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model. A head's share of the width is width / heads."""

    vocabulary_size: int
    context_length: int
    width: int
    heads: int
    depth: int
    dropout: float
    activation_checkpointing: bool = False

    @classmethod
    def of(cls, settings: Settings, vocabulary_size: int) -> Shape:
        """The shape that the settings ask for.

        The dial ``size`` gives width = 64 × size, depth = size and heads of 64 (fewer, wider ones where those do not
        fill the width): 12 is the smallest GPT-2. A width, heads or depth that is set is taken instead. Raises
        WorkloadError where the heads cannot share the width evenly, or their shares are odd.
        """
        size = int(settings["size"])
        width = int(settings.get("width") or WIDTH_PER_SIZE * size)
        fitting = max(heads for heads in range(1, max(1, width // HEAD_WIDTH) + 1) if width % heads == 0)
        heads = int(settings.get("heads") or fitting)
        check_heads(width, heads)
        if (width // heads) % 2:
            raise WorkloadError(f"width {width} gives {heads} heads {width // heads} each; an even number is needed")
        return cls(
            vocabulary_size=vocabulary_size,
            context_length=int(settings["context_length"]),
            width=width,
            heads=heads,
            depth=int(settings.get("depth") or size),
            dropout=float(settings["dropout"]),
            activation_checkpointing=bool(settings["activation_checkpointing"]),
        )

    @property
    def padded_vocabulary(self) -> int:
        """The vocabulary with the tokens that fill it up and never occur."""
        return -(-self.vocabulary_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V of each position with itself and those before; all (batch, heads, length, d_k)."""
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    # torch 2.13: the fused kernel's bfloat16 backward pass on CPUs takes two to four times as long as the formula for
    # some queries at a time, which also leaves out most of what may not be looked at.
    query, length, mixed = query / math.sqrt(query.shape[-1]), query.shape[2], []
    ahead = torch.full((QUERIES_AT_ONCE, QUERIES_AT_ONCE), -math.inf, dtype=query.dtype, device=query.device).triu(1)
    for begin in range(0, length, QUERIES_AT_ONCE):
        end = min(begin + QUERIES_AT_ONCE, length)
        scores = query[:, :, begin:end] @ key[:, :, :end].transpose(-2, -1)
        visible = scores[..., begin:] + ahead[: end - begin, : end - begin]
        scores = torch.cat([scores[..., :begin], visible], dim=-1) if begin else visible
        mixed.append(scores.softmax(dim=-1).to(value.dtype) @ value[:, :, :end])
    return torch.cat(mixed, dim=2)


def rotated(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """States (batch, length, …, d), each turned by the angle of its position (Su et al. 2021, arXiv:2104.09864).

    ``cosines`` and ``sines`` are (length, …, d / 2). The pairs that are turned are those d / 2 apart.
    """
    first, second = states.chunk(2, dim=-1)
    cosines, sines = cosines.to(states.dtype), sines.to(states.dtype)
    turned = torch.addcmul(first * cosines, second, sines, value=-1), torch.addcmul(second * cosines, first, sines)
    return torch.cat(turned, dim=-1)


class Layer(nn.Module):
    """A pre-norm decoder layer (Xiong et al. 2020, arXiv:2002.04745): attention, then a two-layer perceptron.

    Queries and keys are normed (Dehghani et al. 2023, arXiv:2302.05442); ReLU is squared (So et al. 2021,
    arXiv:2109.08668).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.attention_norm = nn.LayerNorm(shape.width, bias=False)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.perceptron_norm = nn.LayerNorm(shape.width, bias=False)
        self.rise = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.fall = nn.Linear(4 * shape.width, shape.width, bias=False)

    def forward(self, states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """States (batch, length, width) to states of the same shape, with what ``rotated`` takes."""
        batch, length, width = states.shape
        split = self.query_key_value(self.attention_norm(states)).view(batch, length, 3, self.heads, -1)
        query_key, value = split[:, :, :2], split[:, :, 2].transpose(1, 2)
        normed = F.layer_norm(query_key, query_key.shape[-1:]).to(value.dtype)
        query, key = rotated(normed, cosines, sines).permute(2, 0, 3, 1, 4)
        mixed = causal_attention(query, key, value).transpose(1, 2).reshape(batch, length, width)
        states = states + self._dropped(self.output(mixed))
        return states + self._dropped(self.fall(F.relu(self.rise(self.perceptron_norm(states))).square()))

    def _dropped(self, states: Tensor) -> Tensor:
        return F.dropout(states, self.dropout, self.training) if self.dropout else states


class Gpt(nn.Module):
    """Tokens (batch, length) to logits (batch, length, padded vocabulary) of the token after each.

    Called with targets, of the tokens' shape, it gives their mean cross-entropy: a compiled model then never writes
    the logits to memory in full precision. The last layer's weights are those of the embedding (Press and Wolf 2017,
    arXiv:1608.05859).
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.padded_vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        half = shape.width // shape.heads // 2
        angles = torch.outer(torch.arange(shape.context_length), LONGEST_WAVE ** -(torch.arange(half) / half))
        self.register_buffer("cosines", angles.cos()[:, None, None], persistent=False)
        self.register_buffer("sines", angles.sin()[:, None, None], persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                # GPT-2: what is added to the residual stream is scaled by the number of additions.
                added = name.endswith(("output.weight", "fall.weight"))
                nn.init.normal_(weight, std=DEVIATION / math.sqrt(2 * shape.depth) if added else DEVIATION)

    def forward(self, tokens: Tensor, targets: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Logits, or with targets their mean cross-entropy in nats."""
        logits = F.linear(self.states(tokens), self.tokens.weight)
        if targets is None:
            return logits
        return F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET, label_smoothing=label_smoothing
        )

    def states(self, tokens: Tensor) -> Tensor:
        """The states (batch, length, width) that the next tokens are foretold from."""
        states = self.tokens(tokens)
        turn = self.cosines[: tokens.shape[1]], self.sines[: tokens.shape[1]]
        if self.training and self.shape.dropout:
            states = F.dropout(states, self.shape.dropout)
        for layer in self.layers:
            if self.shape.activation_checkpointing and self.training:
                states = checkpoint(layer, states, *turn, use_reentrant=False)
            else:
                states = layer(states, *turn)
        normed: Tensor = self.norm(states)
        return normed

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations of a training step for each token of whole windows.

        6 N + 12 × depth × width × context length, forward and backward pass, with N the parameters: each token is
        multiplied with every one, the embedding being the last layer too (Chowdhery et al. 2022, arXiv:2204.02311,
        appendix B).
        """
        shape = self.shape
        parameters = sum(each.numel() for each in self.parameters())
        return 6.0 * parameters + 12.0 * shape.depth * shape.width * shape.context_length


@torch.no_grad()
def write_on(
    model: Gpt, prompt: Sequence[int], count: int, *, temperature: float, stop: int, seed: int, seconds: float
) -> list[int]:
    """At most ``count`` tokens after ``prompt``, drawn at ``temperature`` one by one, until ``stop`` is drawn.

    Ends early, with what there is, after so many ``seconds``. ``model`` is in evaluation mode.
    """
    device, generator = model.tokens.weight.device, torch.Generator().manual_seed(seed)
    tokens, end = list(prompt), time.perf_counter() + seconds
    while len(tokens) < len(prompt) + count and time.perf_counter() < end:
        seen = torch.tensor([tokens[-model.shape.context_length :]], device=device)
        logits = F.linear(model.states(seen)[0, -1], model.tokens.weight)[: model.shape.vocabulary_size]
        chances = (logits.float().cpu() / temperature).softmax(dim=0)
        drawn = int(torch.multinomial(chances, 1, generator=generator))
        if drawn == stop:
            break
        tokens.append(drawn)
    return tokens[len(prompt) :]
