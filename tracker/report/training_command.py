"""The shell command that trains a run of a study again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tracker.errors import TrackerError
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.study.document import StudyDocument, StudyFile, parse_assignments


@dataclass(frozen=True, slots=True)
class TrainingCommand:
    """``text`` is what to type, "" where it is not known; ``remark`` what a person must know of it, or why not."""

    text: str
    remark: str = ""


def training_command(home: Home, table: StudyTable, run: int) -> TrainingCommand:
    """The command that trains the trial in row ``run`` of ``table.runs`` again, with its settings and its seed.

    It comes from the file that the study was read from, which its folder remembers; the new study is named after the
    trial.
    """
    trial, settings = int(table.runs["trial"].to_numpy()[run]), table.settings_of(run)
    values = [word for name, value in settings.items() for word in ("--set", f"{name}={_value(value)}")]
    offset = 0 if "seed" in settings else trial
    return _command(home, table, f"{table.study}-{trial}-again", ["--trials", "1"], offset, values)


def study_command(home: Home, table: StudyTable) -> TrainingCommand:
    """The command that runs the whole study again under another name, from the file that it was read from."""
    return _command(home, table, f"{table.study}-again", [], 0, [])


def _command(
    home: Home, table: StudyTable, name: str, options: list[str], seed_offset: int, values: list[str]
) -> TrainingCommand:
    try:
        document = StudyFolder(home.study(table.study)).document()
    except TrackerError as error:
        return TrainingCommand("", f"The command that trains it again is not known: {error}.")
    file = document.file
    if file is None:
        return TrainingCommand("", "The command that trains it again is not known: the study was not read from a file.")
    if not Path(file.path).is_file():
        return TrainingCommand(
            "", f"It cannot be trained again by a command: study file '{_from_here(Path(file.path))}' is not there now."
        )
    words = ["tracker", "run", _from_here(Path(file.path)), *(["--smoke"] if file.smoke else [])]
    words += ["--name", _free_name(home, name), *options, *_changed(document, file, seed_offset), *values]
    return TrainingCommand(shlex.join([*words, *home_option(home)]), _remark(file))


def home_option(home: Home) -> list[str]:
    """The words that name ``home`` in a command; none where that is ./results, whatever TRACKER_HOME a reader has."""
    return [] if home.path == Path("results").resolve() else ["--home", _from_here(home.path)]


def _from_here(path: Path) -> str:
    """A path below the current folder from there, so that it holds in any checkout; another one in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _free_name(home: Home, name: str) -> str:
    """``name``, or with a number behind it the first that no study of the home has."""
    names: Iterable[str] = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(each for each in names if not home.study(each).exists())


def _changed(document: StudyDocument, file: StudyFile, offset: int) -> list[str]:
    """The options for what the study had otherwise than its file: its seed (trial n has that + n), and its budget."""
    words = []
    seed = int(document.content.get("seed", 0)) + offset
    if seed != file.content.get("seed", 0):
        words += ["--seed", str(seed)]
    budget, in_file = (_budget(content) for content in (document.content, file.content))
    if budget is not None and budget != in_file:
        words += ["--budget-usd", repr(float(budget))]
    return words


def _budget(content: Mapping[str, Any]) -> float | None:
    table = content.get("budget")
    return table.get("usd") if isinstance(table, Mapping) else None


def _value(value: object) -> str:
    """A setting as --set reads it back."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    plain = parse_assignments([f"k={value}"])["k"]
    return value if plain == value and isinstance(plain, str) else json.dumps(value, ensure_ascii=False)


def _remark(file: StudyFile) -> str:
    """What is to be known of the file before the command is used."""
    try:
        now = StudyDocument.read(Path(file.path))
        now = now.smoke() if file.smoke else now
    except TrackerError as error:
        return f"The study's file cannot be read now: {error}."
    kept, there = (json.dumps(each, sort_keys=True, default=str) for each in (file.content, now.content))
    return (
        "" if kept == there else "The study's file has been changed since: what it says beside the settings may differ."
    )
