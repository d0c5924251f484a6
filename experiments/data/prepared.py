"""Where prepared token arrays are, and preparing them where they are missing.

Light to import: a trial finds its folder here without touching a heavy library (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.corpus import Corpus
from experiments.data.token_arrays import digest
from tracker.errors import DataError
from tracker.records import Settings
from tracker.training.run import Run

PREPARATION_VERSION = 2
"""Raise it whenever cleaning or tokenisation changes."""

PREPARATION_KNOBS = ("deduplicate", "keep_punctuation", "remove_stop_words", "train_documents", "vocabulary_size")


def prepare_tokens(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder of the token arrays for these settings, made from the source as it is now. Raises DataError."""
    corpus: Corpus = lazy.call("experiments.data.text_preparation:load_corpus", data, cache, progress)
    folder = _folder(cache, corpus.fingerprint, settings)
    if not folder.is_dir():
        cut = corpus.with_train_documents(int(settings["train_documents"]))
        lazy.call("experiments.data.text_preparation:write_tokens", cut, settings, folder, progress)
    return folder


def prepared_tokens(run: Run) -> Path:
    """The same folder for a run, without looking at the source again where it was prepared for its settings before.

    Where a study searches one of PREPARATION_KNOBS, the first trial with a value prepares it, and pays for that.
    Raises DataError where the source is no longer what the study started with.
    """
    fingerprint = run.data_card.fingerprint
    folder = _folder(run.cache, fingerprint, run.settings)
    if folder.is_dir():
        return folder
    made = prepare_tokens(run.data, run.settings, run.cache, progress=print)
    if made != folder:
        raise DataError(f"the data are no longer those that the study started with, of fingerprint {fingerprint}")
    return made


def _folder(cache: Path, fingerprint: str, settings: Settings) -> Path:
    relevant = {name: settings[name] for name in PREPARATION_KNOBS}
    return cache / f"tokens-{digest({'version': PREPARATION_VERSION, 'corpus': fingerprint, **relevant})}"
