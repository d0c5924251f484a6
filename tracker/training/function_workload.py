"""A function as a workload: its parameters are the knobs.

@workload(metrics={"accuracy": "maximize"})
def train(run, learning_rate: float = 1e-3, width: int = knob(64, "hidden units", low=1)): ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tracker.errors import WorkloadError
from tracker.records import DataCard, Direction, Settings, SettingValue
from tracker.study.knobs import COMMON_KNOBS, Kind, Knob
from tracker.training.run import Run
from tracker.training.workload import Progress

_KINDS: Mapping[type, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}


class FunctionWorkload:
    """The workload that a function makes. Called itself, it is the function: a script can go on using it.

    The function's first parameter is the Run; each other one is a knob, or takes the value of a common knob of that
    name (device, precision, …). A knob's kind is that of its default or its annotation; ``knob`` says
    the bounds too. ``metrics`` and ``data_options`` are as in Workload. Raises WorkloadError.
    """

    baselines: Mapping[str, Callable[[Run], None]] = {}

    def __init__(
        self,
        function: Callable[..., None],
        metrics: Mapping[str, Direction | str] | None = None,
        data_options: Mapping[str, str] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.metrics = metrics or {}
        self.data_options = data_options or {}
        parameters = list(inspect.signature(function).parameters.values())
        if not parameters or parameters[0].kind not in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            raise WorkloadError(f"function {function.__name__}() takes no run; allowed: {function.__name__}(run, …)")
        self._names = [each.name for each in parameters[1:]]
        self.knobs = {each.name: _knob(function, each) for each in parameters[1:] if each.name not in COMMON_KNOBS}

    @classmethod
    def of(cls, function: Callable[..., None]) -> FunctionWorkload:
        """The workload of a function without the decorator."""
        return cls(function)

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Call the function, a Knob among its defaults standing for the knob's own default."""
        defaults = {name: knob.default for name, knob in self.knobs.items() if knob.default is not None}
        bound = inspect.signature(self.function).bind_partial(*arguments, **named)
        self.function(*arguments, **{name: defaults[name] for name in defaults if name not in bound.arguments}, **named)

    def prepare(self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Progress) -> DataCard:
        """Nothing to prepare: the function sees to its own data."""
        del data, settings, cache, progress
        return DataCard("", "", {})

    def train(self, run: Run) -> None:
        """Call the function with the run's settings."""
        self.function(run, **{name: run.settings[name] for name in self._names if name in run.settings})


def knob(
    default: SettingValue,
    help: str = "",  # noqa: A002 - as in Knob
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[SettingValue, ...] = (),
) -> Any:
    """The default of a function's parameter that says its bounds too: ``width: int = knob(64, "hidden units", low=1)``.

    Its kind is that of ``default``: write 1.0 for a number that need not be whole.
    """
    return Knob(_KINDS[type(default)], default, help, low, high, choices)


def workload(
    metrics: Mapping[str, Direction | str] | None = None, data_options: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], FunctionWorkload]:
    """Decorate a training function: ``metrics`` maps what it reports to "maximize" or "minimize".

    ``data_options`` are the keys that a study's ``[data]`` table may have (``run.data``), each with a line of help.
    """
    if callable(metrics):
        raise WorkloadError("write @workload() with its brackets, or name the metrics in them")
    return lambda function: FunctionWorkload(function, metrics, data_options)


def _knob(function: Callable[..., None], parameter: inspect.Parameter) -> Knob:
    where = f"parameter '{parameter.name}' of {function.__name__}()"
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise WorkloadError(f"{where} has no name of its own; allowed: one named parameter a knob")
    default = None if parameter.default is inspect.Parameter.empty else parameter.default
    if isinstance(default, Knob):
        return default
    annotation = get_type_hints(function).get(parameter.name)
    kinds = [kind for kind in (annotation, *get_args(annotation), type(default)) if kind in _KINDS]
    if not kinds:
        raise WorkloadError(f"{where} has neither a type nor a default that tells one; allowed: bool, int, float, str")
    return Knob(_KINDS[kinds[0]], default, f"parameter of {function.__name__}()")
