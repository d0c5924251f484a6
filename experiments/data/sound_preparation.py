"""From a study's ``[data]`` table to arrays of clips of one rate and length, which trials read.

Light to import: a trial finds its folder here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.data import synthetic_sounds
from experiments.data.array_data import ArrayCard, Arrays, chosen_options, prepared_folder, prepared_for
from experiments.data.corpus import SPLITS, stable_hash
from experiments.data.sounds import clip_of, files_fingerprint, read_wav, sound_files
from experiments.data.token_arrays import digest
from tracker.errors import DataError
from tracker.records import Settings
from tracker.study.knobs import Knob
from tracker.training.machine import usable_cores
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever clips are cut or resampled in another way."""

PREPARATION_KNOBS = ("sample_rate", "clip_seconds", "resampling", "deduplicate")

SYNTHETIC = "synthetic"
SYNTHETIC_OPTIONS: Mapping[str, Knob] = {
    "speakers": Knob("int", 120, "made-up speakers", low=7, high=100_000),  # with fewer a split would be empty
    "takes": Knob("int", 2, "utterances of each digit by each speaker", low=1, high=1000),
    "seed": Knob("int", 0, "the seed of every random number in the sounds", low=0),
}
FOLDER_OPTIONS: Mapping[str, Knob] = {
    "corrupt": Knob("str", "fail", "what to do about a wav file that cannot be read", choices=("fail", "skip")),
}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound of a source, as it is there."""

    name: str
    label: str
    split: str
    samples: np.ndarray
    rate: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where sounds come from. ``read`` gives them, and reports each that it leaves out."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    description: str
    count: int
    read: Callable[[Tell], Iterator[Sound]]


def prepare_sounds(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Tell) -> Path:
    """The folder of the clips for these settings, made from the source as it is now. Raises DataError."""
    source = sound_source(data)
    key = _key(source.fingerprint, settings)
    return prepared_folder(cache, "sounds", key, lambda: _clips(source, settings, progress))


def prepared_sounds(run: Run) -> Path:
    """The same folder for a run: array_data.prepared_for. Raises DataError."""
    key = _key(run.data_card.fingerprint, run.settings)
    return prepared_for(run, "sounds", key, lambda: prepare_sounds(run.data, run.settings, run.cache, print))


def sound_source(data: Mapping[str, Any]) -> Source:
    """The source that a study's ``[data]`` table names. Raises DataError."""
    place = str(data.get("source", SYNTHETIC))
    known = SYNTHETIC_OPTIONS if place == SYNTHETIC else FOLDER_OPTIONS
    chosen = chosen_options(data, place, known)
    if place == SYNTHETIC:
        return _synthetic(**chosen)
    return _folder(Path(place), skip=chosen["corrupt"] == "skip")


def _synthetic(speakers: int, takes: int, seed: int) -> Source:
    splits = synthetic_sounds.speaker_splits(speakers)
    wanted = synthetic_sounds.utterances(speakers, takes)

    def read(left_out: Tell) -> Iterator[Sound]:
        del left_out  # nothing ever is
        for each, samples in zip(wanted, synthetic_sounds.sounds(seed, wanted, usable_cores()), strict=True):
            yield Sound(each.name, each.digit, splits[each.speaker], samples, synthetic_sounds.RATE)

    listed = {"rule": synthetic_sounds.RULE_VERSION, "speakers": speakers, "takes": takes, "seed": seed}
    return Source(
        name="synthetic sounds",
        fingerprint=digest({"synthetic sounds": listed}),
        classes=tuple(synthetic_sounds.DIGITS),
        description=f"SYNTHETIC digit-like utterances of {speakers} made-up speakers, no speech; which digit is it?",
        count=len(wanted),
        read=read,
    )


def _folder(place: Path, skip: bool) -> Source:
    files = sound_files(place)

    def read(left_out: Tell) -> Iterator[Sound]:
        for file in files:
            try:
                samples, rate = read_wav(file.path)
            except DataError as error:
                if not skip:
                    raise DataError(f"{error}; corrupt = 'skip' leaves such files out") from None
                left_out(str(error))
                continue
            yield Sound(file.name, file.label, file.split, samples, rate)

    classes = tuple(sorted({file.label for file in files}))
    return Source(
        name=place.resolve().name,
        fingerprint=files_fingerprint(files, f"skip {skip}"),
        classes=classes,
        description=f"wav files in {len(classes)} folders of '{place.resolve().name}'; which one is it from?",
        count=len(files),
        read=read,
    )


def _clips(source: Source, settings: Settings, progress: Tell) -> tuple[ArrayCard, Mapping[str, Arrays]]:
    """The clips of each split, in an order that depends on their names alone and looks shuffled."""
    rate, seconds = int(settings["sample_rate"]), float(settings["clip_seconds"])
    resampling, index = str(settings["resampling"]), {name: number for number, name in enumerate(source.classes)}
    clips: dict[str, list[tuple[int, int, np.ndarray]]] = {split: [] for split in SPLITS}
    unreadable, repeated, seen = list[str](), 0, set[bytes]()
    progress(f"making {source.count:,} clips of {seconds:g} s at {rate:,} samples a second: {source.name}")
    for done, sound in enumerate(source.read(lambda reason: unreadable.append(reason)), start=1):
        if done * 10 // source.count > (done - 1) * 10 // source.count:
            progress(f"made {done:,} of {source.count:,} clips")
        if settings["deduplicate"]:
            content = hashlib.blake2b(sound.samples.tobytes(), digest_size=16).digest()
            repeated += content in seen
            if content in seen:
                continue
            seen.add(content)
        clip = clip_of(sound.samples, sound.rate, rate, seconds, resampling)
        clips[sound.split].append((stable_hash(sound.name), index[sound.label], clip))
    for reason in unreadable:
        progress(f"left out: {reason}")
    description = source.description + _left_out(len(unreadable), repeated)
    rows = {split: len(of) for split, of in clips.items()}
    card = ArrayCard(source.name, source.fingerprint, source.classes, rows, description)
    return card, {split: _arrays(sorted(of, key=lambda clip: clip[0])) for split, of in clips.items()}


def _left_out(unreadable: int, repeated: int) -> str:
    listed = [f"{unreadable} unreadable"] * bool(unreadable) + [f"{repeated} repeated"] * bool(repeated)
    return f"; {' and '.join(listed)} left out" if listed else ""


def _arrays(clips: list[tuple[int, int, np.ndarray]]) -> Arrays:
    return {
        "inputs": np.stack([clip for _, _, clip in clips]) if clips else np.empty((0, 0), np.int16),
        "labels": np.array([label for _, label, _ in clips], np.int64),
    }


def _key(fingerprint: str, settings: Settings) -> str:
    relevant = {name: settings[name] for name in PREPARATION_KNOBS}
    return digest({"version": PREPARATION_VERSION, "sounds": fingerprint, **relevant})
