"""Prepared tables: finding them, choosing the rows to train on, and measuring the others.

Light to import: a trial needs nothing else of its data (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments import lazy
from experiments.data.array_data import ArrayCard, Examples, load_array_card, load_examples, prepared_folder
from experiments.data.corpus import SPLITS
from experiments.data.table_arrays import Columns, Statistics
from experiments.data.table_options import Ranking
from experiments.ranking_scores import ranking_scores
from experiments.scores import probability_scores
from tracker.errors import DataError
from tracker.records import Settings
from tracker.training.run import Run


@dataclass(frozen=True, slots=True)
class Table:
    """What a run works on.

    ``splits`` have their inputs as prepared (see experiments.data.table_arrays), the training split the rows that the
    run's settings leave; ``statistics`` are of those rows alone.
    """

    card: ArrayCard
    columns: Columns
    statistics: Statistics
    splits: Mapping[str, Examples]
    ranking: Ranking

    @classmethod
    def of(cls, run: Run) -> Table:
        """The table that was prepared for the run. Raises DataError where too little of it is left to train on."""
        folder = _prepared_table(run)
        card = load_array_card(folder)
        splits = {split: load_examples(folder, split, torch.device("cpu")) for split in SPLITS}
        splits["train"] = _chosen(splits, run.settings)
        columns = Columns.of(card.extra)
        statistics = Statistics.of(splits["train"].inputs, columns)
        return cls(card, columns, statistics, splits, Ranking.of(run.data, card.classes, card.extra["counts"]))

    def read(self, split: str, device: torch.device) -> Examples:
        """A split as models read it: float32 (rows, ``numbers`` + categories), as Statistics.applied gives them."""
        of = self.splits[split]
        slices = None if of.slices is None else of.slices.to(device)
        return Examples(self.statistics.applied(of.inputs).to(device), of.labels.to(device), slices)

    @property
    def numbers(self) -> int:
        """How many numbers models read, the indicators of missing ones included."""
        return len(self.columns.numbers) + len(self.statistics.incomplete)

    def scores(self, probabilities: np.ndarray, split: str) -> dict[str, float]:
        """What is reported of a split, the training loss aside; probabilities are (rows, classes)."""
        of, ranking = self.splits[split], self.ranking
        labels, slices = of.labels.numpy(), None if of.slices is None else of.slices.numpy()
        ranked = ranking_scores(probabilities, labels, ranking.positive, ranking.precision_floor)
        return {**probability_scores(probabilities, labels, slices), **ranked}

    def test_scores(self, probabilities: np.ndarray) -> dict[str, float]:
        """The figures about the test split that a run concludes with."""
        scores = self.scores(probabilities, "test")
        names = ("accuracy", "balanced_accuracy", "auroc", "recall_at_precision", "worst_slice_accuracy")
        return {f"test_{name}": scores[name] for name in names}


def prepare_table(data: Mapping[str, Any], cache: Path) -> Path:
    """The folder of the arrays of this table, made from the source as it is now. Raises DataError."""
    source = lazy.call("experiments.data.tables:table_source", data, cache)
    arrays = "experiments.data.tables:table_arrays"
    return prepared_folder(cache, "table", source.fingerprint, lambda: lazy.call(arrays, source))


def _prepared_table(run: Run) -> Path:
    """The same folder for a run, without looking at the source again where it is prepared.

    Raises DataError where it is not and the source is no longer what the study started with.
    """
    fingerprint = run.data_card.fingerprint
    folder = run.cache / f"table-{fingerprint}"
    if not folder.is_dir() and prepare_table(run.data, run.cache) != folder:
        raise DataError(f"the data are no longer those that the study started with, of fingerprint {fingerprint}")
    return folder


def _chosen(splits: Mapping[str, Examples], settings: Settings) -> Examples:
    """The training rows that ``settings`` ask for.

    With ``deduplicate``, rows that equal an earlier one or one of another split are left out; of what is left, the
    first ``train_share`` is taken. Raises DataError where less than two classes are left.
    """
    train = splits["train"]
    rows = (
        _distinct(train, splits["validation"], splits["test"]) if settings["deduplicate"] else torch.arange(len(train))
    )
    rows = rows[: max(1, round(float(settings["train_share"]) * len(rows)))]
    if len(train.labels[rows].unique()) < 2:
        raise DataError(
            f"{len(rows)} of {len(train)} training rows are left, of fewer than two classes; use a larger train_share"
        )
    return Examples(*train.take(rows)) if len(rows) < len(train) else train


def _distinct(train: Examples, *others: Examples) -> Tensor:
    """The training rows whose features and class no earlier one has, and no row of another split."""
    keyed = [
        np.column_stack([each.inputs.numpy(), each.labels.numpy().astype(np.float64)]) for each in (*others, train)
    ]
    seen = {row.tobytes() for rows in keyed[:-1] for row in rows}
    fresh = []
    for index, row in enumerate(keyed[-1]):
        if (key := row.tobytes()) not in seen:
            seen.add(key)
            fresh.append(index)
    return torch.tensor(fresh, dtype=torch.long)
