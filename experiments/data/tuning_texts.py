"""What a base model is tuned on, as texts: pairs of a prompt and an answer, or texts with their classes.

A prepared folder holds ``texts.json``, with the card, and SPLIT.json, the rows of each split: [source, target], or
[text, index of the class]. They are cut into tokens where a trial starts, by the tokenizer of its base model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.corpus import SPLITS, with_classes
from experiments.data.files import whole_folder
from experiments.data.token_arrays import digest
from tracker.errors import DataError
from tracker.records import DataCard
from tracker.training.meter import bytes_below
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever what a prepared folder holds changes."""

CARD = "texts.json"
DEDUPLICATED = {"deduplicate": True}

Pair = tuple[str, Any]
"""A source text with its target text, or a text with the index of its class."""


@dataclass(frozen=True, slots=True)
class TextCard:
    """A prepared folder's ``texts.json``; ``bases`` are the base models, by name, with what identifies each."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    description: str
    bases: Mapping[str, str]

    def data_card(self, folder: Path) -> DataCard:
        """The card that the tracker records."""
        description = with_classes(self.description, self.classes) if self.classes else self.description
        described = f"{description}; base models {', '.join(self.bases)}"
        return DataCard(
            self.name, self.fingerprint, self.rows, len(self.classes), described, size_bytes=bytes_below(folder)
        )


def prepare_texts(
    data: Mapping[str, Any], task: str, bases: Mapping[str, str], cache: Path, progress: Callable[[str], None]
) -> Path:
    """The folder of the texts for ``task``, one of base_models.TASKS, made from the source as it is now.

    Raises DataError.
    """
    classes: tuple[str, ...] = ()
    splits: Mapping[str, Sequence[Pair]]
    if task == "classification":
        corpus = lazy.call("experiments.data.text_preparation:load_corpus", data, cache, progress)
        classes = corpus.classes
        splits = {split: list(zip(of.texts, of.labels, strict=True)) for split, of in corpus.splits.items()}
    else:
        corpus = lazy.call("experiments.data.text_pairs:load_corpus", data, cache, progress).cut(DEDUPLICATED)
        splits = corpus.splits
    identity = {"version": PREPARATION_VERSION, "task": task, "texts": corpus.fingerprint, "bases": bases}
    fingerprint = digest(identity)
    folder = _folder(cache, fingerprint)
    if not folder.is_dir():
        rows = {split: len(splits[split]) for split in SPLITS}
        card = TextCard(corpus.name, fingerprint, classes, rows, corpus.description, bases)
        with whole_folder(folder) as unfinished:
            for split in SPLITS:
                _write(unfinished / f"{split}.json", list(splits[split]))
            _write(unfinished / CARD, asdict(card))
    return folder


def prepared_texts(run: Run) -> Path:
    """The same folder for a run. Raises DataError where it is not there any more."""
    folder = _folder(run.cache, run.data_card.fingerprint)
    if not folder.is_dir():
        raise DataError(f"the prepared data of fingerprint {run.data_card.fingerprint} are not in {run.cache} any more")
    return folder


def load_text_card(folder: Path) -> TextCard:
    """Read ``texts.json``."""
    fields = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return TextCard(**{**fields, "classes": tuple(fields["classes"])})


def load_rows(folder: Path, split: str, first: int = 0) -> list[Pair]:
    """The first ``first`` rows of a split; all of them where that is 0."""
    rows = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
    return [(text, answer) for text, answer in rows[: first or None]]


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _folder(cache: Path, fingerprint: str) -> Path:
    return cache / f"tuning-{fingerprint}"
