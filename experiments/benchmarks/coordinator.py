"""What a study's coordinator costs: wall time a trial and a decision, how long no worker is looked at, and a resume.

    python -m experiments.benchmarks.coordinator [--json] [--trials 1000] [--slots 200]

The coordinator, Optuna's and MLflow's default stores are real; the workers are simulated by one other process, which
writes what real ones would. A trial takes as long as keeps the slots full: what is measured is the coordinator.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.simulated_engine import SimulatedEngine
from tracker.engine.forkserver import Forkserver
from tracker.runner.progress import EndedAttempt, Progress
from tracker.store.home import Home
from tracker.study.document import StudyDocument

EPOCHS, EPOCH_SECONDS = 8, 0.5
STUDY = {
    "name": "simulated",
    "workload": "experiments.benchmarks.simulated_workload:simulated",
    "quality": {"metric": "accuracy"},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "settings": {"epochs": EPOCHS, "threads": 1, "precision": "fp32"},
    "space": {"width": {"low": 4, "high": 64, "log": True}, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
}


class Watch:
    """Notes when each trial was started, and stops the study after ``trials`` of them."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self.moments: list[tuple[int, float, float]] = []
        """Trials started, seconds by time.perf_counter, and seconds of CPU."""
        self.started_running = 0.0
        self.stopping = False

    def notify(self, message: str) -> None:
        """Nothing."""

    def ended(self, attempt: EndedAttempt) -> None:
        """Nothing."""

    def show(self, progress: Progress) -> None:
        """Note how many trials there are."""
        count = sum(progress.trials.values())
        self.moments.append((count, time.perf_counter(), time.process_time()))
        if progress.running and not self.started_running:
            self.started_running = time.time()
        if count >= self.trials and not self.stopping:
            self.stopping = True
            os.kill(os.getpid(), signal.SIGINT)

    def between(self, first: int, last: int) -> tuple[float, float]:
        """Milliseconds of wall time and of CPU a trial, from one number of trials to another."""
        at = {bound: next(each for each in self.moments if each[0] >= bound) for bound in (first, last)}
        count = at[last][0] - at[first][0]
        return tuple(1000 * (at[last][which] - at[first][which]) / count for which in (1, 2))  # type: ignore[return-value]


def measure(trials: int, slots: int) -> Iterator[Figure]:
    """All figures, each study in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="coordinator-") as folder:
        home = Path(folder)
        found = _in_process(home, "run", trials, slots)
        value = found["wall_ms"]
        yield Figure(f"wall time a trial over {trials:,} trials", value, "ms", "<= 50", value <= 50)
        yield Figure("CPU time a trial", found["cpu_ms"], "ms", "", True)
        value = found["late_ms"] / found["early_ms"]
        yield Figure("a trial of the last tenth / of the first 100 to 1,000", value, "×", "<= 1.5", value <= 1.5)
        value, most = found["decision_ms"], 20 if trials <= 1000 else 100
        yield Figure("a decision of the search, over the last tenth", value, "ms", f"<= {most}", value <= most)
        yield Figure("most trials at once", found["most_running"], "", "", True)
        value = found["gap_seconds"]
        yield Figure("longest time without a look at the workers", value, "s", "<= 1", value <= 1)
        yield Figure("memory of the coordinator", found["memory_mb"], "MB", "<= 1000", found["memory_mb"] <= 1000)
        value, most = _in_process(home, "resume", trials + slots, slots)["resume_seconds"], 3 if trials <= 1000 else 20
        yield Figure(f"a resume of {trials:,} trials runs again after", value, "s", f"<= {most}", value <= most)


def _in_process(home: Path, what: str, trials: int, slots: int) -> dict[str, float]:
    command = [sys.executable, "-m", "experiments.benchmarks.coordinator", "--inside", what, "--home", str(home)]
    begin = time.time()
    done = subprocess.run(
        [*command, "--trials", str(trials), "--slots", str(slots)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found["resume_seconds"] = found["running_at"] - begin
    return found


def _inside(what: str, home: Path, trials: int, slots: int) -> None:
    """Run or resume a study in this process, as the commands do, and print what was seen."""
    engine = SimulatedEngine(slots, EPOCHS, EPOCH_SECONDS)
    Forkserver(str(STUDY["workload"])).warm_up()
    from tracker.runner import machines, studies
    from tracker.runner.session import Places
    from tracker.search.frontier_search import FrontierSearch

    machines.engine_for = lambda *_: engine  # type: ignore[assignment]
    decided: list[float] = []
    FrontierSearch.next_step = _timed(FrontierSearch.next_step, decided)  # type: ignore[method-assign]
    watch, places = Watch(trials), Places(Home(home / "results"))
    if what == "run":
        studies.run_study(
            StudyDocument("benchmark", {**STUDY, "budget": {"trials": 10 * trials}}), places, observer=watch
        )
    else:
        studies.resume_study("simulated", places, observer=watch)
    most = max(count for count, _, _ in watch.moments)
    found: dict[str, Any] = {"running_at": watch.started_running, "gap_seconds": engine.longest_gap_seconds}
    if what == "run":
        found["wall_ms"], found["cpu_ms"] = watch.between(1, most)
        found["early_ms"] = watch.between(min(100, most // 10), min(1000, most))[0]
        found["late_ms"] = watch.between(most - most // 10, most)[0]
        found["decision_ms"] = 1000 * statistics.fmean(decided[-len(decided) // 10 :])
    found["most_running"] = engine.most_running
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The same function, which notes how long each call took."""

    @functools.wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - begin)

    return timed


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=1000, help="how many trials a study has")
    parser.add_argument("--slots", type=int, default=200, help="how many of them run at once")


if __name__ == "__main__":
    if "--inside" in sys.argv:
        inside = argparse.ArgumentParser()
        inside.add_argument("--inside", choices=("run", "resume"))
        inside.add_argument("--home", type=Path)
        _arguments(inside)
        given = inside.parse_args()
        _inside(given.inside, given.home, given.trials, given.slots)
    else:
        main("coordinator", _arguments, measure)
