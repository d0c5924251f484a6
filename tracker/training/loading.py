"""Loads the workload of a reference in a study file, completes it with defaults, and checks it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracker.errors import WorkloadError, did_you_mean
from tracker.records import DataCard, Direction, Settings
from tracker.study.document import COMMAND_MARK
from tracker.study.knobs import Knob
from tracker.training.function_workload import FunctionWorkload
from tracker.training.scripts import load_script
from tracker.training.workload import Progress, Workload


def load_workload(reference: str) -> Workload:
    """The workload named "package.module:name" or "path/to/file.py:name", or that of a shell command, "$ command".

    ``name`` is a function, an instance, or a class that is called without arguments; modules are looked for in the
    current folder too. Raises WorkloadError.
    """
    if reference.startswith(COMMAND_MARK):
        from tracker.training.command_workload import CommandWorkload  # only where it is needed: it reads databases

        return CommandWorkload(reference)
    place, colon, name = reference.rpartition(":")
    if not colon or not place or not name:
        raise WorkloadError(f"workload '{reference}' is not of the form 'package.module:name' or 'file.py:name'")
    with _own_arguments(reference):
        module = _load_file(place) if place.endswith(".py") else _load_module(place)
        if not hasattr(module, name):
            public = [each for each in vars(module) if not each.startswith("_")]
            raise WorkloadError(f"workload '{reference}': no '{name}' in {place}; {did_you_mean(name, public)}")
        try:
            return _completed(getattr(module, name))
        except WorkloadError as error:
            raise WorkloadError(f"workload '{reference}': {error}") from None


def arguments_of(reference: str) -> list[str]:
    """What ``sys.argv`` is for the training code of this reference: its own name, and no arguments.

    It is not the tracker's: code that parses its arguments gets its own defaults.
    """
    return [reference if reference.startswith(COMMAND_MARK) else reference.rpartition(":")[0]]


@contextmanager
def _own_arguments(reference: str) -> Iterator[None]:
    before, sys.argv = sys.argv, arguments_of(reference)
    try:
        yield
    finally:
        sys.argv = before


def _completed(found: Any) -> Workload:
    """A workload with all members, each checked."""
    if inspect.isfunction(found):
        found = FunctionWorkload.of(found)
    if isinstance(found, type):
        try:
            found = found()
        except (TypeError, SystemExit) as error:
            raise WorkloadError(f"the class cannot be called without arguments: {error}") from None
    if not callable(getattr(found, "train", None)):
        raise WorkloadError(
            f"{type(found).__name__} has no train(run); allowed: a function, or a class as"
            " tracker.training.workload.Workload describes it"
        )
    for name, default in _UNSAID.items():
        if not hasattr(found, name):
            setattr(found, name, default)
    _check_call(found.train, ("run",))
    _check_call(found.prepare, ("data", "settings", "cache", "progress"))
    for name, kind in (("knobs", Knob), ("baselines", Callable), ("data_options", str)):
        _check_mapping(found, name, kind)
    found.metrics = _directions(found.metrics)
    workload: Workload = found
    return workload


def _nothing_to_prepare(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Progress) -> DataCard:
    del data, settings, cache, progress
    return DataCard("", "", {})


_UNSAID: Mapping[str, Any] = {
    "knobs": {},
    "metrics": {},
    "data_options": {},
    "baselines": {},
    "prepare": _nothing_to_prepare,
}


def _check_call(function: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        name = getattr(function, "__name__", "train")
        raise WorkloadError(f"{name} cannot be called as {name}({', '.join(arguments)}): {error}") from None
    except ValueError:
        return  # no signature to be had of it


def _check_mapping(workload: Any, name: str, kind: Any) -> None:
    given = getattr(workload, name)
    if not isinstance(given, Mapping):
        raise WorkloadError(f"{name} is {given!r}; allowed: a dict by name")
    for key, value in given.items():
        if not isinstance(value, kind):
            raise WorkloadError(f"{name}['{key}'] is {value!r}; allowed: a {getattr(kind, '__name__', 'callable')}")


def _directions(metrics: Any) -> dict[str, Direction]:
    if not isinstance(metrics, Mapping):
        raise WorkloadError(f"metrics is {metrics!r}; allowed: a dict of 'maximize' or 'minimize' by name")
    for name, direction in metrics.items():
        if direction not in list(Direction):
            raise WorkloadError(f"metrics['{name}'] is {direction!r}; {did_you_mean(str(direction), Direction)}")
    return {name: Direction(direction) for name, direction in metrics.items()}


def _load_module(name: str) -> object:
    if (here := str(Path.cwd())) not in sys.path and "" not in sys.path:
        sys.path.append(here)  # as `python -m` would; last, so that it hides nothing
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise WorkloadError(f"workload module '{name}' was not found (no module named '{error.name}')") from None
        raise WorkloadError(f"workload module '{name}' cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise WorkloadError(f"workload module '{name}' cannot be imported: {error!r}") from error


def _load_file(place: str) -> object:
    path = Path(place).resolve()
    if not path.is_file():
        raise WorkloadError(f"workload file '{place}' was not found")
    try:
        return load_script(path)
    except (Exception, SystemExit) as error:
        raise WorkloadError(f"workload file '{place}' cannot be imported: {error!r}") from error
