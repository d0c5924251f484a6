"""Where prepared token arrays are, and having them made where they are missing.

Light to import: a trial finds its folder here without touching a heavy library (see experiments.lazy).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.corpus import Corpus
from experiments.data.files import whole_file
from experiments.data.token_arrays import digest
from tracker.records import Settings

PREPARATION_VERSION = 1
"""Raise it whenever cleaning or tokenisation changes."""

PREPARATION_KNOBS = ("keep_punctuation", "remove_stop_words", "train_documents", "vocabulary_size")


def prepare_tokens(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder of the token arrays for these settings, made from the source as it is now. Raises DataError."""
    corpus: Corpus = lazy.call("experiments.data.text_preparation:load_corpus", data, cache, progress)
    folder = _folder(cache, corpus.fingerprint, settings)
    if not folder.is_dir():
        cut = corpus.with_train_documents(int(settings["train_documents"]))
        lazy.call("experiments.data.text_preparation:write_tokens", cut, settings, folder, progress)
    with whole_file(_note(cache, data)) as partial:
        partial.write_text(json.dumps({"fingerprint": corpus.fingerprint}))
    return folder


def prepared_tokens(data: Mapping[str, Any], settings: Settings, cache: Path) -> Path:
    """The same folder, without looking at the source again where it was prepared for these settings before.

    Where a study searches one of PREPARATION_KNOBS, the first trial with a value prepares it, and pays for that.
    """
    note = _note(cache, data)
    if note.is_file():
        folder = _folder(cache, json.loads(note.read_text())["fingerprint"], settings)
        if folder.is_dir():
            return folder
    return prepare_tokens(data, settings, cache, progress=print)


def _folder(cache: Path, fingerprint: str, settings: Settings) -> Path:
    relevant = {name: settings[name] for name in PREPARATION_KNOBS}
    return cache / f"tokens-{digest({'version': PREPARATION_VERSION, 'corpus': fingerprint, **relevant})}"


def _note(cache: Path, data: Mapping[str, Any]) -> Path:
    """The file that notes the fingerprint of what a ``[data]`` table named when it was last prepared."""
    return cache / f"corpus-{digest(data)}.json"
