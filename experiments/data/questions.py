"""Questions about texts from a study's ``[data]`` table to token arrays and spans, which trials read.

Light to import: a trial finds its folder here. What reads sources is imported where there is something to prepare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.array_data import chosen_options, prepared_for
from experiments.data.token_arrays import digest
from tracker.records import Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever the vocabulary, or how texts are cut, changes."""
TEMPLATES = "templates"
TEMPLATE_OPTIONS: Mapping[str, Knob] = {
    "distribution": Knob("str", "cost-quality-tracker", "the distribution whose dependencies are read"),
    "files_per_package": Knob("int", 25, "files that are read of each package; 0 for all", low=0),
}
FILE_OPTIONS: Mapping[str, Knob] = {
    "corrupt": Knob("str", "fail", "what to do about a question that cannot be used", choices=("fail", "skip")),
}

Notify = Callable[[str], None]


def prepare_questions(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Notify) -> Path:
    """The folder of the questions for these settings, made from the source as it is now. Raises DataError."""
    source = lazy.call("experiments.data.question_sources:question_source", _options(data), cache, progress)
    folder = cache / f"questions-{_key(source.fingerprint, settings)}"
    if not folder.is_dir():
        lazy.call("experiments.data.question_sources:write_questions", source, settings, folder, progress)
    return folder


def prepared_questions(run: Run) -> Path:
    """The same folder for a run: array_data.prepared_for. Raises DataError."""
    key = _key(run.data_card.fingerprint, run.settings)
    return prepared_for(run, "questions", key, lambda: prepare_questions(run.data, run.settings, run.cache, print))


def question_inputs(data: Mapping[str, Any], cache: Path, limit: int) -> list[dict[str, str]]:
    """Questions of the test split with their texts, at most ``limit``. Raises DataError."""
    source = lazy.call("experiments.data.question_sources:question_source", _options(data), cache, lambda _: None)
    return [{"question": each.question, "context": each.text} for each in source.splits["test"][:limit]]


def _options(data: Mapping[str, Any]) -> dict[str, Any]:
    """The source's options by name, ``source`` among them, with their defaults. Raises DataError."""
    place = str(data.get("source", TEMPLATES))
    known = TEMPLATE_OPTIONS if place == TEMPLATES else FILE_OPTIONS
    return {"source": place} | chosen_options(data, place, known)


def _key(fingerprint: str, settings: Settings) -> str:
    relevant = {"vocabulary_size": settings["vocabulary_size"]}
    return digest({"version": PREPARATION_VERSION, "questions": fingerprint, **relevant})
