"""Whether a long study stays as small and as fast as a short one: very short real trials, thousands of them.

    python -m experiments.benchmarks.soak [--json] [--trials 2000]

Real workers train; the books are audited at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.steady_workload import fit
from tracker import run_study, workload
from tracker.errors import RequestError
from tracker.runner.progress import EndedAttempt, Progress

EARLY = 200
"""The number of trials from which on a study is compared with itself."""
STUDY = {
    "name": "soak",
    "workload": "experiments.benchmarks.soak:line",
    "quality": {"metric": "accuracy"},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "settings": {"epochs": 2, "threads": 1, "precision": "fp32", "device": "cpu"},
    "space": {"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}, "width": {"low": 1, "high": 64, "log": True}},
}


@workload(metrics={"accuracy": "maximize"})
def line(run, learning_rate: float = 0.1, width: int = 8, epochs: int = 2):
    """A network of one hidden layer fits which of 256 points are above a line; it takes milliseconds."""
    import torch  # the coordinator, which reads this file too, does without

    points = torch.randn(256, 2)
    above = (points.sum(dim=1) > 0).float()
    model = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate)
    run.ready()
    for epoch in range(1, epochs + 1):
        run.report(epoch, accuracy=fit(model, optimiser, points, above)[1])


class Watch:
    """Notes the coordinator's memory and the time as trials end."""

    def __init__(self) -> None:
        self.moments: list[tuple[int, float, int]] = []
        """Trials ended, seconds by time.monotonic, and resident bytes."""
        self._labels: set[str] = set()

    def notify(self, message: str) -> None:
        """Nothing."""

    def ended(self, attempt: EndedAttempt) -> None:
        """Note the memory and the time where it is of a trial that had not ended before."""
        if attempt.label.startswith("#") and attempt.label not in self._labels:
            self._labels.add(attempt.label)
            self.moments.append((len(self._labels), time.monotonic(), psutil.Process().memory_info().rss))

    def show(self, progress: Progress) -> None:
        """Nothing."""


def measure(trials: int) -> Iterator[Figure]:
    """All figures of one study, whose coordinator is a process of its own. Raises RequestError for too few trials."""
    if trials < 2 * EARLY:
        raise RequestError(f"--trials {trials}: a study of fewer than {2 * EARLY} has nothing to be compared with")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        command = [sys.executable, "-m", "experiments.benchmarks.soak", "--inside", folder, "--trials", str(trials)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        moments = json.loads(done.stdout.splitlines()[-1])
        audit = [sys.executable, "-m", "tracker.cli.main", "audit", "soak", "--home", folder]
        clean = subprocess.run(audit, stdout=subprocess.DEVNULL, check=False).returncode == 0
    trials, memory = len(moments), {count: rss / 1e6 for count, _, rss in moments}
    yield Figure(f"memory of the coordinator after {EARLY} trials", memory[EARLY], "MB", "", True)
    value = memory[trials] / memory[EARLY]
    yield Figure(f"after {trials:,} trials / after {EARLY}", value, "×", "<= 1.3", value <= 1.3)
    early, late = _seconds(moments, EARLY, 2 * EARLY), _seconds(moments, trials - EARLY, trials)
    yield Figure(f"time a trial, trials {EARLY} to {2 * EARLY}", 1000 * early, "ms", "", True)
    yield Figure(f"the last {EARLY} / those", late / early, "×", "<= 1.3", late / early <= 1.3)
    yield Figure("the audit finds every book in agreement", float(clean), "", "= 1", clean)


def _seconds(moments: list[tuple[int, float, int]], first: int, last: int) -> float:
    at = {count: moment for count, moment, _ in moments}
    return (at[last] - at[first]) / (last - first)


def _inside(home: Path, trials: int) -> None:
    watch = Watch()
    run_study({**STUDY, "budget": {"trials": trials}}, home=home, observer=watch)
    print(json.dumps(watch.moments))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=2000, help=f"how many, at least {2 * EARLY}")


if __name__ == "__main__":
    if "--inside" in sys.argv:
        inside = argparse.ArgumentParser()
        inside.add_argument("--inside", type=Path)
        _arguments(inside)
        given = inside.parse_args()
        _inside(given.inside, given.trials)
    else:
        main("soak", _arguments, measure)
