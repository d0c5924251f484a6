"""The cheap references of tables: logistic regression and gradient boosting, on the same rows as the networks.

Imported only where they are trained (see experiments.lazy).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse  # type: ignore[import-untyped]
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.prepared_tables import Table
from tracker.training.run import Run

MAX_ITERATIONS = 1000
MOST_BINS = 255
"""As many categories of a column as gradient boosting keeps apart; of those with more, it reads the codes' order."""


def logistic_regression(run: Run) -> None:
    """Fit once and report one checkpoint: numbers standardised, categories one-hot."""
    table = Table.of(run)
    read = {split: table.read(split, torch.device("cpu")).inputs.numpy() for split in table.splits}

    def features(split: str) -> Any:
        numbers, codes = np.split(read[split], [table.numbers], axis=1)
        if not codes.shape[1]:
            return numbers
        rows = np.repeat(np.arange(len(codes)), codes.shape[1])
        marks = (np.ones(codes.size, np.float32), (rows, codes.ravel().astype(np.int64)))
        # Every category has a code of its own; that of unknown ones, 0, marks nothing.
        one_hot = sparse.csr_matrix(marks, shape=(len(codes), table.columns.codes))[:, 1:]
        return sparse.hstack([numbers, one_hot], format="csr")

    model = LogisticRegression(max_iter=MAX_ITERATIONS, class_weight=_class_weight(run))
    _fit(run, table, model, features, lambda: model.coef_.size + model.intercept_.size)


def gradient_boosting(run: Run) -> None:
    """Fit once and report one checkpoint: scikit-learn's histogram gradient boosting with its defaults.

    It reads missing numbers by itself (Ke et al. 2017, LightGBM). ``parameters`` are the nodes of its trees.
    """
    table = Table.of(run)
    counts = [len(table.columns.numbers), *(len(of) for of in table.columns.categories.values())]
    categorical = [counts[0] + number for number, categories in enumerate(counts[1:]) if categories < MOST_BINS]

    def features(split: str) -> np.ndarray:
        inputs: np.ndarray = table.splits[split].inputs.numpy()
        return inputs

    model = HistGradientBoostingClassifier(
        categorical_features=categorical or None, class_weight=_class_weight(run), random_state=run.seed
    )
    _fit(run, table, model, features, lambda: sum(len(tree.nodes) for of in model._predictors for tree in of))


def _class_weight(run: Run) -> str | None:
    return "balanced" if run.settings["balance_classes"] else None


def _fit(run: Run, table: Table, model: Any, features: Callable[[str], Any], parameters: Callable[[], int]) -> None:
    train = table.splits["train"]

    def probabilities(split: str) -> np.ndarray:
        found = np.zeros((len(table.splits[split]), len(table.card.classes)))
        found[:, model.classes_] = model.predict_proba(features(split))
        return found

    run.ready()
    with threadpool_limits(int(run.settings["threads"])):
        begin = time.perf_counter()
        model.fit(features("train"), train.labels.numpy())
        seconds = time.perf_counter() - begin
        with run.evaluating():
            training_loss = table.scores(probabilities("train"), "train")["validation_loss"]
            scores = table.scores(probabilities("validation"), "validation")
        run.report(1, training_loss=training_loss, **scores)
        with run.evaluating():
            begin = time.perf_counter()
            tested = probabilities("test")
            test_seconds = time.perf_counter() - begin
    run.conclude(
        **table.test_scores(tested),
        parameters=parameters(),
        samples_per_second=len(train) / seconds,
        predictions_per_second=len(tested) / test_seconds,
    )
