"""A tiny labelled corpus, and runs that can be looked into."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.workloads.text_classifier import TextClassifier
from tests.support.runs import Events, gallery_run
from tracker.training.run import Run

TOPICS = {
    "sea": ["wave", "salt", "harbour", "sail", "anchor", "tide", "reef", "gull"],
    "wood": ["oak", "leaf", "moss", "fern", "bark", "root", "deer", "path"],
    "town": ["street", "tram", "market", "bridge", "clock", "square", "baker", "shop"],
}
FILLERS = ["the", "a", "of", "and", "near", "by", "old", "new", "small", "great"]

SMALL = {
    "size": 1, "max_length": 16, "vocabulary_size": 200, "batch_size": 16, "epochs": 3, "learning_rate": 5e-3,
}  # fmt: skip


def write_topics(path: Path, rows: int = 400) -> Path:
    """A csv file of texts whose words tell their topic."""
    chance = random.Random(7)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(rows):
            topic = list(TOPICS)[number % len(TOPICS)]
            words = chance.choices(TOPICS[topic], k=4) + chance.choices(FILLERS, k=chance.randint(2, 9))
            chance.shuffle(words)
            table.writerow([f"{' '.join(words)} {number}", topic])
    return path


@pytest.fixture(scope="session")
def topics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A study's [data] table for the tiny corpus, and the cache folder that it is prepared in."""
    folder = tmp_path_factory.mktemp("topics")
    return {"source": str(write_topics(folder / "topics.csv"))}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(topics: dict[str, Any], cache: Path, tmp_path: Path) -> Callable[..., tuple[Run, Events]]:
    """Makes a run of the text classifier, with the list that its events go to."""

    def make(
        seed: int = 0,
        data: dict[str, Any] | None = None,
        state_path: Path | None = None,
        pause_after_epoch: int | None = None,
        **settings: Any,
    ) -> tuple[Run, Events]:
        given = {"seed": seed, "state_path": state_path, "pause_after_epoch": pause_after_epoch}
        source = topics if data is None else data
        return gallery_run(
            TextClassifier(), source, cache, tmp_path / "artifacts", quality="accuracy", **given, **SMALL | settings
        )

    return make
