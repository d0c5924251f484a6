"""What a study would run that its file did not bring along: shown before it runs, remembered once a person allowed it.

Imports none of it, and nothing heavy.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from tracker.store.home import Home
from tracker.study.document import COMMAND_MARK, StudyDocument
from tracker.study.knobs import COMMON_KNOBS


def code_to_allow(document: StudyDocument, folder: Path | None) -> str:
    """What a study runs other than installed modules and Python files in ``folder``, in a few lines; "" for nothing.

    ``folder`` is the study file's own; None where files beside it are not expected to run either. A cluster that the
    file names counts too: what it answers is read as Python objects, which is running its code.
    """
    return "\n".join(filter(None, [_code(document, folder), _cluster(document)]))


def update_to_allow(stored: StudyDocument, now: StudyDocument) -> str:
    """What a started study would reach with its edited file, and did not before, in a few lines; "" for nothing.

    Edits of what it trains by are refused (study.edits), so only a cluster is left to ask about.
    """
    return _cluster(now, stored)


def _code(document: StudyDocument, folder: Path | None) -> str:
    workload = document.workload
    if workload is None:
        return ""  # the checks of the file report it
    if workload.startswith(COMMAND_MARK):
        return _command(document)
    place, _, name = workload.rpartition(":")
    if place.endswith(".py"):
        path = Path(place).resolve()
    elif (found := _module_here(place)) is not None:
        path = found.resolve()
    else:
        return ""
    if not path.exists() or (folder is not None and path.is_relative_to(folder.resolve())):
        return ""
    return f"{document.source} trains by '{name}' of this Python code:\n    {path}"


def is_allowed(home: Home, code: str) -> bool:
    """Whether a person has allowed exactly this before."""
    return not code or _record(home, code).is_file()


def allow(home: Home, code: str) -> None:
    """Remember that a person allowed it. Raises RequestError where the home cannot be written."""
    home.make()
    home.allowed.mkdir(exist_ok=True)
    _record(home, code).write_text(code, encoding="utf-8", errors="surrogateescape")


def _record(home: Home, code: str) -> Path:
    return home.allowed / f"{hashlib.sha256(code.encode(errors='surrogateescape')).hexdigest()[:32]}.txt"


def _cluster(document: StudyDocument, before: StudyDocument | None = None) -> str:
    """What a file's own [engine] reaches, and that of the study ``before`` did not."""
    known = _reached(before) if before is not None else []
    return "\n".join(f"{document.source} {each}" for each in _reached(document) if each not in known)


def _reached(document: StudyDocument) -> list[str]:
    """What a file's own [engine] reaches; its checks report one that is wrong."""
    engine = document.content.get("engine")
    if not isinstance(engine, Mapping):  # an option may add the name of the engine
        return []
    lines = []
    if (address := engine.get("address", "auto")) != "auto":
        lines.append(f"uses the Ray cluster at {address!r}: whoever runs that can run code here")
    if engine.get("allow_open"):
        lines.append("uses a Ray cluster without a token: whoever reaches its ports can run code here")
    if states := engine.get("states"):
        lines.append(f"writes the states of its trials to {states!r}")
    return lines


def _command(document: StudyDocument) -> str:
    """The command, its folder, and every text that the study may put into it or into its environment."""
    content = document.content
    lines = [f"{document.source} runs this shell command:"]
    lines += [f"    {line}" for line in str(content["command"]).splitlines()]
    lines.append(f"in the folder '{content.get('folder', '.')}'")
    for table, label in (("settings", "{{{}}}"), ("space", "{{{}}}"), ("data", "data.{}")):
        given = content.get(table, {})
        for key, value in given.items() if isinstance(given, Mapping) else ():
            if key not in COMMON_KNOBS and (texts := list(dict.fromkeys(_texts(value)))):
                lines.append(f"with {label.format(key)} = {' or '.join(map(repr, texts))}")
    return "\n".join(lines)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of a study file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key not in ("low", "high", "step", "log"):
                yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _module_here(module: str) -> Path | None:
    """Where a module is that only the current folder has; None for one that is installed, or nowhere."""
    top = module.partition(".")[0]
    try:
        if importlib.util.find_spec(top) is not None:
            return None
    except (ImportError, ValueError):
        return None
    spec = PathFinder.find_spec(top, [str(Path.cwd())])
    if spec is None:
        return None
    places = [spec.origin, *(spec.submodule_search_locations or [])]
    return next((Path(place) for place in places if place), None)
