"""A multilayer perceptron or FT-Transformer that classifies the rows of a table: diagnoses, fraud.

Reads from top to bottom: the shape, the two models, the workload. Both models are those of Gorishniy et al. 2021
(arXiv:2106.11959). They read rows as experiments.data.table_arrays makes them: float32, first the numbers,
standardised, then a code for each column of categories, UNKNOWN for what training has not seen. The loop over epochs is
experiments.training_loop.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments import lazy
from experiments.data.array_data import Examples, load_array_card
from experiments.data.prepared_tables import Table, prepare_table
from experiments.data.table_arrays import UNKNOWN, Columns, Statistics
from experiments.data.table_options import DATA_OPTIONS, Ranking
from experiments.inference import with_weights
from experiments.layers import attention
from experiments.ranking_scores import RANKING_METRICS
from experiments.scores import CLASSIFIER_METRICS
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

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

        ``size`` gives an FT-Transformer of width 32 × size and depth size / 2, rounded up: at 6 it is the
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


EVALUATION_BATCH = 1024


class TabularClassifier:
    """The workload: classifies rows. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "architecture": Knob("str", MLP, "multilayer perceptron or FT-Transformer", choices=(MLP, FT_TRANSFORMER)),
        "size": Knob("int", 2, "the size of the model: width and depth follow from it", low=1, high=64),
        "width": Knob("int", None, "numbers in a layer's state; default 64 × size, or 32 × size", low=4, high=4096),
        "depth": Knob("int", None, "layers; default half of size, and one more for the perceptron", low=1, high=48),
        "dropout": Knob("float", 0.1, "dropout of hidden layers", low=0.0, high=0.9),
        "balance_classes": Knob("bool", False, "weigh each class as if all were equally frequent"),
        "train_share": Knob("float", 1.0, "share of the training split that is used", low=0.001, high=1.0),
        "deduplicate": Knob("bool", False, "leave out training rows that equal another row, of any split"),
        "activation_checkpointing": Knob("bool", False, "recompute FT-Transformer's activations, not keep them"),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = {**CLASSIFIER_METRICS, **RANKING_METRICS}
    data_options: Mapping[str, str] = DATA_OPTIONS

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Read the table, separate numbers from categories and divide the rows into splits. Raises DataError."""
        del settings, progress  # every setting is about rows that are read already
        folder = prepare_table(data, cache)
        card = load_array_card(folder)
        Ranking.of(data, card.classes, card.extra["counts"])
        return card.data_card(folder)

    def train(self, run: Run) -> None:
        """Train one classifier; keeps its weights and what it takes to use them."""
        settings = run.settings
        torch.manual_seed(run.seed)
        table = Table.of(run)
        train, validation = (table.read(split, run.device) for split in ("train", "validation"))
        classes = table.card.classes
        shape = Shape.of(settings, table.numbers, len(table.columns.categories), table.columns.codes, len(classes))
        model = make_model(shape).to(run.device)
        if isinstance(model, FTTransformer):
            model.checkpointing = bool(settings["activation_checkpointing"])
        if settings["compile"]:
            model.compile(dynamic=True)  # one compilation for the last batch too
        batch_size = int(settings["batch_size"])
        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=lambda epoch: shuffled(train, batch_size, seed=run.seed * 1_000_003 + epoch),
            loss=weighted_loss(run, train.labels, len(classes)),
            evaluate=lambda trained: table.scores(probabilities(run, trained, validation), "validation"),
            keep=lambda trained, kept: save(trained, shape, table, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            examples = table.read("test", run.device)
            begin = time.perf_counter()
            found = probabilities(run, done.model, examples)
            seconds = time.perf_counter() - begin
        run.conclude(
            **table.test_scores(found),
            parameters=sum(each.numel() for each in model.parameters()),
            # Two for each multiply-add forward, twice as many backward (Kaplan et al. 2020, arXiv:2001.08361, 2.1).
            flops=6.0 * model.multiplications() * done.samples,
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=len(examples) / seconds,  # by now everything is compiled
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Rows, each a dict by column name, to the names of their classes, by the model that ``save`` kept.

        Values that are None or not there are missing, and categories may be new. Raises DataError for other rows.
        """
        saved = json.loads((folder / "settings.json").read_text())
        columns, statistics = Columns.of(saved["columns"]), Statistics(**saved["statistics"])
        model = make_model(Shape(**saved["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)

        def predict(rows: Sequence[Any]) -> list[str]:
            inputs = statistics.applied(columns.encoded(rows)).to(device)
            with torch.inference_mode():
                found = ready(inputs).argmax(dim=1).tolist()
            return [saved["classes"][index] for index in found]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """Rows of the test split by column name, without their labels. Raises DataError."""
        del settings
        columns = Columns.of(load_array_card(prepare_table(data, cache)).extra)
        rows: list[Any] = lazy.call("experiments.data.tables:prediction_rows", data, cache, columns, limit)
        return rows

    @staticmethod
    def _logistic_regression(run: Run) -> None:
        lazy.call("experiments.workloads.tabular_baselines:logistic_regression", run)

    @staticmethod
    def _gradient_boosting(run: Run) -> None:
        lazy.call("experiments.workloads.tabular_baselines:gradient_boosting", run)

    baselines: Mapping[str, Callable[[Run], None]] = {
        "logistic regression": _logistic_regression,
        "gradient boosting": _gradient_boosting,
    }


def shuffled(examples: Examples, batch_size: int, seed: int) -> Iterator[Batch]:
    """All examples once, in an order that ``seed`` alone decides."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    for rows in order.to(examples.labels.device).split(batch_size):
        yield examples.take(rows)


def weighted_loss(run: Run, labels: Tensor, classes: int) -> Callable[[nn.Module, Batch], Tensor]:
    """Mean cross-entropy over a batch (rows, labels, …).

    With ``balance_classes``, an example of a class counts rows / (classes × rows of the class), which is 1 on average:
    scikit-learn's "balanced" weights. The validation loss is without them.
    """
    smoothing, weights = float(run.settings["label_smoothing"]), None
    if run.settings["balance_classes"]:
        counts = torch.bincount(labels, minlength=classes)
        weights = (len(labels) / ((counts > 0).sum() * counts.clamp(min=1))).float()

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch[0]).float()
        total = F.cross_entropy(logits, batch[1], weights, label_smoothing=smoothing, reduction="sum")
        return total / len(logits)

    return loss


def probabilities(run: Run, model: nn.Module, examples: Examples) -> np.ndarray:
    """What the model predicts for examples (rows, classes), without dropout and without gradients."""
    model.eval()
    found = []
    with torch.no_grad():
        for rows in examples.inputs.split(EVALUATION_BATCH):
            with run.precision.autocast(run.device):
                logits = model(rows)
            found.append(logits.double().softmax(dim=1))
    saved: np.ndarray = torch.cat(found).cpu().numpy()
    return saved


def save(model: nn.Module, shape: Shape, table: Table, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True) and what it takes to read rows as it does."""
    torch.save(model.state_dict(), folder / "model.pt")
    saved = {
        "shape": asdict(shape),
        "classes": table.card.classes,
        "columns": asdict(table.columns),
        "statistics": asdict(table.statistics),
    }
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
