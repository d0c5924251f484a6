"""How good studies on many machines are: what the engine costs, what is lost with a machine, what a study comes to.

    python -m experiments.benchmarks.cluster [--json] [--only NAME …] [--trials 1000] [--kills 20]
        [--attempts 1000] [--machines 50] [--epoch-seconds 1]

Rows of one machine's simulation have simulated hosts and everything else real; the others run on a Ray cluster of
several nodes on this machine, and are skipped where Ray is not installed. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from experiments.benchmarks import cluster_on_ray, cluster_simulated, cluster_studies
from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.study_rows import resumed_with_many, whole_study

Row = Callable[[argparse.Namespace], Iterator[Figure]]
SIMULATED: Mapping[str, Row] = {
    "study": lambda given: whole_study(given.trials),
    "resume": lambda _: resumed_with_many(),
    "cpu": lambda given: cluster_simulated.engine_cpu(given.attempts, given.machines, given.epoch_seconds),
    "false-lost": lambda given: cluster_simulated.falsely_lost(given.attempts),
    "notices": lambda _: cluster_simulated.spot_notices(),
    "cut": lambda _: cluster_simulated.cut_transfers(),
}
ON_RAY: Mapping[str, Row] = {
    "start": lambda _: cluster_on_ray.warm_starts(),
    "killed": lambda _: cluster_on_ray.killed_nodes(),
    "hung": lambda _: cluster_on_ray.hung_nodes(),
    "elsewhere": lambda _: cluster_on_ray.resumed_elsewhere(),
    "same": lambda _: cluster_studies.same_study(),
    "coordinator": lambda given: cluster_studies.killed_coordinators(given.kills),
}
ROWS = {**SIMULATED, **ON_RAY}


def measure(only: Sequence[str], **options: float) -> Report:
    """The figures of some rows, or of all; what cannot be measured is said in the text."""
    figures: list[Figure] = []
    said = [f"load of the machine before: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"]
    for name in only or ROWS:
        if name in ON_RAY and importlib.util.find_spec("ray") is None:
            said.append(f"{name}: skipped, Ray is not installed")
            continue
        try:
            figures += _in_process(name, options)
        except subprocess.CalledProcessError as error:
            said.append(f"{name}: not measured, its process ended with {error.returncode}")
    return Report(figures, {"said": said}, "\n".join(said))


def _in_process(name: str, options: Mapping[str, float]) -> list[Figure]:
    """The figures of a row, with a temporary folder of its own: cores are reserved there."""
    given = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    command = [sys.executable, "-m", "experiments.benchmarks.cluster", "--inside", name, *given]
    with tempfile.TemporaryDirectory(prefix="cluster-", dir="/tmp") as folder:
        result = Path(folder) / "figures.json"
        environment = {**os.environ, "TMPDIR": folder}
        subprocess.run([*command, "--result", result], env=environment, stdout=sys.stderr, check=True)
        return [Figure(**each) for each in json.loads(result.read_text(encoding="utf-8"))]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--attempts", type=int, default=1000, help="how many the engine alone runs")
    parser.add_argument("--machines", type=int, default=50, help="of four cores each, on which they run")
    parser.add_argument("--epoch-seconds", type=float, default=1.0, help="how long one of their five epochs takes")
    parser.add_argument("--trials", type=int, default=1000, help="how many the simulated study has")
    parser.add_argument("--kills", type=int, default=20, help="how often a coordinator is killed")


def _outer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=ROWS, default=(), metavar="NAME", help=f"rows: {', '.join(ROWS)}")
    _arguments(parser)


def _inside() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inside", choices=ROWS)
    parser.add_argument("--result", type=Path)
    _arguments(parser)
    given = parser.parse_args()
    figures = [as_row(figure) for figure in ROWS[given.inside](given)]
    given.result.write_text(json.dumps(figures), encoding="utf-8")


def as_row(figure: Figure) -> dict[str, object]:
    """A figure for JSON."""
    return {name: getattr(figure, name) for name in Figure.__slots__} | {"samples": list(figure.samples)}


if __name__ == "__main__":
    if "--inside" in sys.argv:
        _inside()
    else:
        main("cluster", _outer, measure)
