"""What a benchmark prints: a table for people, or one JSON object. A slow machine is no failure."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tracker.engine.forkserver import Forkserver
from tracker.errors import TrackerError


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: ``holds`` says whether ``value`` keeps within ``target``, as ``target`` words it."""

    name: str
    value: float
    unit: str
    target: str
    holds: bool
    samples: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Figures, with more keys of the JSON object and a text to read first."""

    figures: Sequence[Figure]
    details: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


def main(
    benchmark: str,
    arguments: Callable[[argparse.ArgumentParser], None],
    measure: Callable[..., Iterable[Figure] | Report],
) -> None:
    """Parse the command line, measure, and print a table or, with --json, one JSON object."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments.benchmarks.{benchmark}")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments(parser)
    options: dict[str, Any] = vars(parser.parse_args())
    as_json = options.pop("json")
    from tracker.training.hardware import describe_hardware  # it imports torch, which not every benchmark needs

    machine = Forkserver().call(describe_hardware).label
    try:
        measured = measure(**options)
        report = measured if isinstance(measured, Report) else Report(list(measured))
    except TrackerError as error:
        parser.exit(error.exit_code, f"{error}\n")
    if as_json:
        figures = [asdict(each) for each in report.figures]
        document = {"benchmark": benchmark, "machine": machine, "figures": figures, **report.details}
        print(json.dumps(_finite(document), allow_nan=False))
        return
    print(f"{benchmark} on {machine}")
    if report.text:
        print(report.text)
    width = max((len(figure.name) for figure in report.figures), default=0)
    for figure in report.figures:
        verdict = "holds" if figure.holds else "MISSED"
        print(f"{figure.name:{width}}  {figure.value:9.4g} {figure.unit:8}  target {figure.target:10} {verdict}")


def _finite(document: Any) -> Any:
    """The same with null for numbers that JSON cannot write: what was never reached."""
    if isinstance(document, Mapping):
        return {name: _finite(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document
