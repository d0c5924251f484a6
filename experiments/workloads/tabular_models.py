"""The two models of tables: a multilayer perceptron and FT-Transformer.

Both are those of Gorishniy et al. 2021 (arXiv:2106.11959). They read rows as experiments.data.table_arrays makes
them: float32, first the numbers, standardised, then a code for each column of categories, UNKNOWN for what training
has not seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments.data.table_arrays import UNKNOWN
from experiments.layers import attention
from tracker.records import Settings

MLP, FT_TRANSFORMER = "mlp", "ft_transformer"
PERCEPTRON_WIDTH_PER_SIZE = 64
TRANSFORMER_WIDTH_PER_SIZE = 32
CATEGORY_WIDTH = 8
"""Numbers in which the perceptron reads a category."""

MOST_HEADS = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model.

    ``numbers`` and ``categories`` are columns, ``codes`` the codes of all categories together, UNKNOWN included.
    """

    architecture: str
    numbers: int
    categories: int
    codes: int
    classes: int
    width: int
    depth: int
    dropout: float

    @classmethod
    def of(cls, settings: Settings, numbers: int, categories: int, codes: int, classes: int) -> Shape:
        """The shape that the settings ask for.

        The dial ``size`` gives an FT-Transformer of width 32 × size and depth size / 2, rounded up: at 6 it is the
        paper's default. A perceptron gets width 64 × size and one layer more. A width or depth that is set is taken
        instead.
        """
        size, architecture = int(settings["size"]), str(settings["architecture"])
        perceptron = architecture == MLP
        width = (PERCEPTRON_WIDTH_PER_SIZE if perceptron else TRANSFORMER_WIDTH_PER_SIZE) * size
        return cls(
            architecture=architecture,
            numbers=numbers,
            categories=categories,
            codes=codes,
            classes=classes,
            width=int(settings.get("width") or width),
            depth=int(settings.get("depth") or math.ceil(size / 2) + perceptron),
            dropout=float(settings["dropout"]),
        )

    @property
    def heads(self) -> int:
        """The most attention heads, up to the paper's 8, that share the width evenly."""
        return max(heads for heads in range(1, MOST_HEADS + 1) if self.width % heads == 0)


class Perceptron(nn.Module):
    """Rows (batch, numbers + categories) to logits (batch, classes): layers of Dropout(ReLU(Linear(x)))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.codes = _code_table(shape.codes, CATEGORY_WIDTH)
        widths = [shape.numbers + shape.categories * CATEGORY_WIDTH, *[shape.width] * shape.depth]
        self.layers = nn.ModuleList(nn.Linear(*each) for each in pairwise(widths))
        self.head = nn.Linear(shape.width, shape.classes)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits of the classes for each row."""
        numbers, categories = _read(rows, self.shape.numbers, self.codes)
        states = torch.cat([numbers, categories.flatten(1)], dim=1)
        for layer in self.layers:
            states = F.dropout(F.relu(layer(states)), self.shape.dropout, self.training)
        logits: Tensor = self.head(states)
        return logits

    def multiplications(self) -> int:
        """Multiply-adds of a row's forward pass: one for each weight of a matrix."""
        return sum(layer.weight.numel() for layer in (*self.layers, self.head))


class Tokenizer(nn.Module):
    """Each column a token: a number times a vector, or a category's vector, and a bias of the column; eq. 1 of it."""

    def __init__(self, numbers: int, categories: int, codes: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(numbers, width))
        self.bias = nn.Parameter(torch.empty(numbers + categories, width))
        self.codes = _code_table(codes, width)
        bound = width**-0.5
        for each in (self.weight, self.bias):
            nn.init.uniform_(each, -bound, bound)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (batch, columns) to tokens (batch, columns, width)."""
        numbers, categories = _read(rows, len(self.weight), self.codes)
        return torch.cat([numbers.unsqueeze(-1) * self.weight, categories], dim=1) + self.bias


class Layer(nn.Module):
    """A pre-norm layer: attention, then a ReGLU perceptron (Shazeer 2020, arXiv:2002.05202) of 4/3 of the width.

    The first layer's attention reads its tokens without a norm: the paper finds that easier to train. Unlike there,
    no attention weights are dropped, as it has one dropout for all.
    """

    def __init__(self, shape: Shape, *, first: bool) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        hidden = shape.width * 4 // 3
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(shape.width)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)
        self.perceptron_norm = nn.LayerNorm(shape.width)
        self.rise = nn.Linear(shape.width, 2 * hidden)
        self.fall = nn.Linear(hidden, shape.width)

    def forward(self, states: Tensor) -> Tensor:
        """States (batch, tokens, width) to states of the same shape."""
        batch, tokens, width = states.shape
        split = self.query_key_value(self.attention_norm(states)).view(batch, tokens, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        states = states + self.output(attention(query, key, value).transpose(1, 2).reshape(batch, tokens, width))
        linear, gate = self.rise(self.perceptron_norm(states)).chunk(2, dim=-1)
        mapped: Tensor = self.fall(F.dropout(linear * F.relu(gate), self.dropout, self.training))
        return states + mapped


class FTTransformer(nn.Module):
    """Rows (batch, numbers + categories) to logits (batch, classes), by attention between the columns.

    A token that no column gives stands before the others, and the logits are read off it.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.checkpointing = False
        self.tokenizer = Tokenizer(shape.numbers, shape.categories, shape.codes, shape.width)
        self.summary = nn.Parameter(torch.empty(shape.width).uniform_(-(shape.width**-0.5), shape.width**-0.5))
        self.layers = nn.ModuleList(Layer(shape, first=number == 0) for number in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.classes)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits of the classes for each row."""
        tokens = self.tokenizer(rows)
        states = torch.cat([self.summary.expand(len(rows), 1, -1), tokens], dim=1)
        for layer in self.layers:
            recomputed = self.checkpointing and self.training
            states = checkpoint(layer, states, use_reentrant=False) if recomputed else layer(states)
        logits: Tensor = self.head(F.relu(self.norm(states[:, 0])))
        return logits

    def multiplications(self) -> int:
        """Multiply-adds of a row's forward pass, for each token.

        One for each weight of a layer's matrices, and 2 × width × tokens of attention (Chowdhery et al. 2022,
        arXiv:2204.02311, appendix B); then the head.
        """
        tokens = 1 + self.shape.numbers + self.shape.categories
        matrices = sum(each.numel() for each in self.layers.parameters() if each.ndim > 1)
        per_token = matrices + 2 * self.shape.depth * self.shape.width * tokens
        return tokens * per_token + self.head.weight.numel()


def make_model(shape: Shape) -> Perceptron | FTTransformer:
    """A new model of this shape, on the CPU."""
    return Perceptron(shape) if shape.architecture == MLP else FTTransformer(shape)


def _code_table(codes: int, width: int) -> nn.Embedding:
    """A vector for each code; that of UNKNOWN is 0 and stays so: what was never seen says nothing."""
    table = nn.Embedding(codes, width, padding_idx=UNKNOWN)
    nn.init.uniform_(table.weight, -(width**-0.5), width**-0.5)
    with torch.no_grad():
        table.weight[UNKNOWN] = 0.0
    return table


def _read(rows: Tensor, numbers: int, codes: nn.Embedding) -> tuple[Tensor, Tensor]:
    """The numbers (batch, numbers) and the vectors of the categories (batch, categories, width)."""
    # Codes are looked up before anything is rounded to the format that the weights are in.
    return rows[:, :numbers].to(codes.weight.dtype), codes(rows[:, numbers:].long())
