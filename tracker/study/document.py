"""A study file as read: TOML, with values overridden by the command line."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from tracker.errors import RequestError, StudyFileError
from tracker.study.keys import names
from tracker.study.study_name import composed
from tracker.study.toml_file import parse_toml, read_toml

SMOKE_TRIALS = 2
COMMAND_MARK = "$ "
"""What the reference of a shell command begins with, where other references name a module or a file."""
FOLDER_MARK = "  # in "
"""What stands between a command and the folder that it runs in: to a shell, a comment."""


def command_experiment(study: str) -> str:
    """The MLflow experiment of the runs that a study's command makes by itself, beside the study's own."""
    return f"{study} (by its command)"


_SCRIPT = re.compile(r"[^-=].*\.(py|sh|bash|r|jl|js|ts|rb|pl|lua|m|exe|ipynb)", re.IGNORECASE)
_PUNCTUATION = "\"'();&|"
_LAUNCHERS = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")
"""Python modules that start the script which is named after them."""


def short_name(workload: str) -> str:
    """What a sentence calls a workload, by its reference: the script of a command, else what it starts.

    >>> short_name("$ python train.py --lr {lr}  # in /data/mine"), short_name("$ {python} -m mine.train --lr {lr}")
    ('train.py', 'mine.train')
    >>> short_name("/data/mine/train.py:train"), short_name("mine.train:Digits"), short_name("$ ./fit --lr {lr}")
    ('train.py:train', 'mine.train:Digits', 'fit')
    """
    if not workload.startswith(COMMAND_MARK):
        place, colon, name = workload.rpartition(":")
        return f"{PurePath(place).name}{colon}{name}"
    command, mark, folder = workload.removeprefix(COMMAND_MARK).rpartition(FOLDER_MARK)
    text = command if mark else folder
    try:
        words = shlex.split(text)
    except ValueError:  # a quote that is the shell's own business
        words = text.split()
    for before, word in zip(["", *words], words, strict=False):
        if _SCRIPT.fullmatch(bare := word.strip(_PUNCTUATION)):
            return PurePath(bare).name
        if before == "-m" and word not in _LAUNCHERS:
            return word
    started = [word.strip(_PUNCTUATION) for word in words if "=" not in word]
    return next((PurePath(word).name for word in started if word), "the command")


@dataclass(frozen=True, slots=True)
class StudyFile:
    """The file that a study was read from, and what it said before options changed it.

    ``smoke`` is whether its [smoke] table was taken for it: ``content`` is after that.
    """

    path: str
    content: Mapping[str, Any]
    smoke: bool = False


@dataclass(frozen=True, slots=True)
class StudyDocument:
    """A study file as read, before it is checked; ``source`` and ``text`` serve the messages.

    ``file`` is None where the study came from no file.
    """

    source: str
    content: Mapping[str, Any]
    text: str = ""
    file: StudyFile | None = None

    def __post_init__(self) -> None:
        name = self.content.get("name")
        if isinstance(name, str) and name != composed(name):
            object.__setattr__(self, "content", {**self.content, "name": composed(name)})

    @classmethod
    def read(cls, path: Path) -> StudyDocument:
        """Read a TOML file. Raises RequestError where there is none, StudyFileError where it is not TOML."""
        content, text = read_toml(path, "study file", lambda reason: StudyFileError(str(path), [reason]))
        document = cls(str(path), content, text).anchored(path.parent)
        return replace(document, file=StudyFile(str(path.resolve()), document.content))

    @classmethod
    def parse(cls, source: str, text: str) -> StudyDocument:
        """A text that is not, or not yet, a file; its paths stay as they are. Raises StudyFileError."""
        return cls(source, parse_toml(text, lambda reason: StudyFileError(source, [reason])), text)

    def anchored(self, folder: Path) -> StudyDocument:
        """The same document with its paths, which are below ``folder``, made absolute: found from anywhere.

        They are that of its price file, that of its training code's file where it names one, and where it has a
        command, that of the folder which the command runs in.
        """
        content, pricing = dict(self.content), self.content.get("pricing")
        if isinstance(pricing, Mapping) and isinstance(pricing.get("prices"), str) and pricing["prices"]:
            content["pricing"] = {**pricing, "prices": str((folder / pricing["prices"]).resolve())}
        place, colon, name = str(content.get("workload", "")).rpartition(":")
        if place.endswith(".py") and (folder / place).is_file():
            content["workload"] = f"{(folder / place).resolve()}{colon}{name}"  # else below the current folder
        if "command" in content and isinstance(place := content.get("folder", "."), str):
            content["folder"] = str((folder / place).resolve())
        return replace(self, content=content)

    @property
    def workload(self) -> str | None:
        """The reference of the training code: that under ``workload``, or "$ COMMAND  # in FOLDER" of a ``command``.

        None where ``workload_problem`` tells of one.
        """
        if self.workload_problem is not None:
            return None
        if "command" not in self.content:
            return str(self.content["workload"])
        return f"{COMMAND_MARK}{self.content['command']}{FOLDER_MARK}{self.content.get('folder', '.')}"

    @property
    def workload_problem(self) -> tuple[str, str] | None:
        """What is wrong with how the file names its training code: the place and a sentence; None where nothing is."""
        named = [key for key in ("workload", "command") if key in self.content]
        if not named:
            return "workload", "missing; name the training code as module:name, or give a shell command under 'command'"
        if len(named) == 2:
            return "command", "there is a workload too; a study has one of the two"
        value = self.content[named[0]]
        return None if isinstance(value, str) else (named[0], f"{value!r} is not a text")

    def override(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        seed: int | None = None,
        budget_usd: float | None = None,
        trials: int | None = None,
        wall_seconds: float | None = None,
        tags: Mapping[str, str] | None = None,
        engine: Mapping[str, object] | None = None,
    ) -> StudyDocument:
        """The same document with knobs fixed, tags and [engine] set, values replaced; None leaves the file's value."""
        content = {key: dict(value) if isinstance(value, Mapping) else value for key, value in self.content.items()}
        for table, key, value in (
            ("", "name", name),
            ("", "seed", seed),
            ("budget", "usd", budget_usd),
            ("budget", "trials", trials),
            ("budget", "wall_seconds", wall_seconds),
            *(("settings", knob, value) for knob, value in (settings or {}).items()),
            *(("tags", key, value) for key, value in (tags or {}).items()),
            *(("engine", key, value) for key, value in (engine or {}).items()),
        ):
            place = content.setdefault(table, {}) if table else content
            if value is not None and isinstance(place, dict):
                place[key] = value
        if isinstance(space := content.get("space"), dict):
            content["space"] = {knob: domain for knob, domain in space.items() if knob not in (settings or {})}
        return replace(self, content=content)

    def smoke(self) -> StudyDocument:
        """The study as its [smoke] table has it: the same path through everything, in seconds.

        The table's knobs are fixed, its ``trials`` are the budget, its own table ``data`` goes before [data]. Raises
        RequestError where there is no table.
        """
        table = self.content.get("smoke")
        if not isinstance(table, Mapping):
            raise RequestError(
                f"{self.source} has no [smoke] table; it says which knobs make a study that takes seconds"
            )
        settings = {name: value for name, value in table.items() if name not in names("smoke")}
        name, trials = self.content.get("name"), table.get("trials", SMOKE_TRIALS)
        document = self.override(settings, name=f"{name}-smoke" if isinstance(name, str) else None, trials=trials)
        content, data, own = document.content, self.content.get("data", {}), table.get("data", {})
        if isinstance(data, Mapping) and isinstance(own, Mapping):  # else the check says what is wrong with it
            content = {**content, "data": {**data, **own}}
        file = None if self.file is None else StudyFile(self.file.path, content, smoke=True)
        return replace(document, content=content, file=file)


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """Knobs and values from "knob=value" texts, each value as TOML reads it, else as text. Raises RequestError."""
    settings = {}
    for assignment in assignments:
        knob, equals, raw = assignment.partition("=")
        if not equals or not knob.strip():
            raise RequestError(f"--set '{assignment}' is not of the form knob=value")
        settings[knob.strip()] = _parse_value(raw.strip())
    return settings


def _parse_value(raw: str) -> object:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
