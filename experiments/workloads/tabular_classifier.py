"""A multilayer perceptron or FT-Transformer that tells the class of a table's row: diagnoses, fraud.

The models are experiments.workloads.tabular_models, rows come as arrays from experiments.data.table_arrays, and the
loop over epochs is experiments.training_loop.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments import lazy
from experiments.data.array_data import Examples, load_array_card
from experiments.data.prepared_tables import Table, prepare_table
from experiments.data.table_arrays import Columns, Statistics
from experiments.data.table_options import DATA_OPTIONS, Ranking
from experiments.inference import with_weights
from experiments.ranking_scores import RANKING_METRICS
from experiments.scores import CLASSIFIER_METRICS
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from experiments.workloads.tabular_models import FT_TRANSFORMER, MLP, FTTransformer, Shape, make_model
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

EVALUATION_BATCH = 1024


class TabularClassifier:
    """The workload: tells which class a row is of. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "architecture": Knob("str", MLP, "multilayer perceptron or FT-Transformer", choices=(MLP, FT_TRANSFORMER)),
        "size": Knob("int", 2, "the dial that width and depth follow from", low=1, high=64),
        "width": Knob("int", None, "numbers in a layer's state; default 64 × size, or 32 × size", low=4, high=4096),
        "depth": Knob("int", None, "layers; default half of size, and one more for the perceptron", low=1, high=48),
        "dropout": Knob("float", 0.1, "share of each layer's hidden numbers that is dropped", low=0.0, high=0.9),
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
        """Read the table, tell numbers from categories and divide the rows into splits. Raises DataError."""
        del settings, progress  # every setting is about rows that are read already
        folder = prepare_table(data, cache)
        card = load_array_card(folder)
        Ranking.of(data, card.classes, card.told["counts"])
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
        told = json.loads((folder / "settings.json").read_text())
        columns, statistics = Columns.of(told["columns"]), Statistics(**told["statistics"])
        model = make_model(Shape(**told["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)

        def predict(rows: Sequence[Any]) -> list[str]:
            inputs = statistics.applied(columns.encoded(rows)).to(device)
            with torch.inference_mode():
                found = ready(inputs).argmax(dim=1).tolist()
            return [told["classes"][index] for index in found]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """Rows of the test split by column name, without their labels. Raises DataError."""
        del settings
        columns = Columns.of(load_array_card(prepare_table(data, cache)).told)
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
    """What the model says of examples as they stand (rows, classes), without dropout and without gradients."""
    model.eval()
    found = []
    with torch.no_grad():
        for rows in examples.inputs.split(EVALUATION_BATCH):
            with run.precision.autocast(run.device):
                logits = model(rows)
            found.append(logits.double().softmax(dim=1))
    told: np.ndarray = torch.cat(found).cpu().numpy()
    return told


def save(model: nn.Module, shape: Shape, table: Table, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True) and what it takes to read rows as it does."""
    torch.save(model.state_dict(), folder / "model.pt")
    told = {
        "shape": asdict(shape),
        "classes": table.card.classes,
        "columns": asdict(table.columns),
        "statistics": asdict(table.statistics),
    }
    (folder / "settings.json").write_text(json.dumps(told, indent=2))
