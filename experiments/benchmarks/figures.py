"""What a benchmark prints: a table for people, or one JSON object. It reports, and never fails a slow machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tracker.engine.forkserver import Forkserver
from tracker.training.hardware import describe_hardware


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: ``holds`` tells whether ``value`` keeps within ``target``, as ``target`` words it."""

    name: str
    value: float
    unit: str
    target: str
    holds: bool
    samples: Sequence[float] = ()


def main(
    benchmark: str, arguments: Callable[[argparse.ArgumentParser], None], measure: Callable[..., Iterable[Figure]]
) -> None:
    """Parse the command line, measure, and print a table or, with --json, one JSON object."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments.benchmarks.{benchmark}")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments(parser)
    options: dict[str, Any] = vars(parser.parse_args())
    as_json = options.pop("json")
    machine = Forkserver().call(describe_hardware).label
    figures = list(measure(**options))
    if as_json:
        print(json.dumps({"benchmark": benchmark, "machine": machine, "figures": [asdict(each) for each in figures]}))
        return
    print(f"{benchmark} on {machine}")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        verdict = "holds" if figure.holds else "MISSED"
        print(f"{figure.name:{width}}  {figure.value:9.4g} {figure.unit:8}  target {figure.target:10} {verdict}")
