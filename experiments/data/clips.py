"""Clips with labels from a study's ``[data]`` table to arrays of equally many square frames, which trials read.

Light to import: a trial finds its folder here. What decodes frames is imported where there is something to prepare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import lazy
from experiments.data.array_data import chosen_options, prepared_folder, prepared_for
from experiments.data.token_arrays import digest
from tracker.records import Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever clips are read, cut or resized in another way."""
PREPARATION_KNOBS = ("image_side", "stored_frames")
SYNTHETIC = "synthetic"
SYNTHETIC_OPTIONS: Mapping[str, Knob] = {
    "clips": Knob("int", 1600, "made-up clips", low=64, high=1_000_000),  # with fewer a split may lack a class
    "seed": Knob("int", 0, "the seed of every random number in the clips", low=0),
}
FOLDER_OPTIONS: Mapping[str, Knob] = {
    "channels": Knob("str", "grey", "the colours of frames", choices=("grey", "rgb")),
    "corrupt": Knob("str", "fail", "what to do about a clip that cannot be used", choices=("fail", "skip")),
}

Notify = Callable[[str], None]


def prepare_clips(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Notify) -> Path:
    """The folder of the clips for these settings, made from the source as it is now. Raises DataError."""
    source = lazy.call("experiments.data.clip_sources:clip_source", _options(data))
    key = _key(source.fingerprint, settings)
    made = "experiments.data.clip_sources:clip_arrays"
    return prepared_folder(cache, "clips", key, lambda: lazy.call(made, source, settings, progress))


def prepared_clips(run: Run) -> Path:
    """The same folder for a run: array_data.prepared_for. Raises DataError."""
    key = _key(run.data_card.fingerprint, run.settings)
    return prepared_for(run, "clips", key, lambda: prepare_clips(run.data, run.settings, run.cache, print))


def _options(data: Mapping[str, Any]) -> dict[str, Any]:
    """The source's options by name, ``source`` among them, with their defaults. Raises DataError."""
    place = str(data.get("source", SYNTHETIC))
    known = SYNTHETIC_OPTIONS if place == SYNTHETIC else FOLDER_OPTIONS
    return {"source": place} | chosen_options(data, place, known)


def _key(fingerprint: str, settings: Settings) -> str:
    relevant = {name: settings[name] for name in PREPARATION_KNOBS}
    return digest({"version": PREPARATION_VERSION, "clips": fingerprint, **relevant})
