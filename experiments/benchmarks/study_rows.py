"""The figures of whole studies on a simulated fleet."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.benchmarks.figures import Figure
from experiments.benchmarks.measured_engine import MeasuredEngine, studies_on
from experiments.benchmarks.simulated_fleet import SimulatedFleet
from experiments.benchmarks.simulated_market import SearchHost, SpotMarket
from experiments.benchmarks.simulated_study import NAME, NEWS_SECONDS, SPEED, STUDY, simulated_study
from tracker import resume_study, run_study
from tracker.runner.progress import Progress, Silent

MANY, MACHINES_FOR_MANY = 200, (30, 40, 0)


def whole_study(trials: int) -> Iterator[Figure]:
    """A study of so many trials on 50 machines of three SKUs, a tenth of the spot machines lost an hour."""
    with tempfile.TemporaryDirectory(prefix="cluster-study-") as folder:
        facts = simulated_study(Path(folder), trials)
    about = f"{facts.simulated_hours:.1f} simulated hours, {facts.lost_machines} spot machines lost"
    value = facts.seconds
    yield Figure(f"{trials:,} trials on 50 simulated machines, {about}", value, "s", "<= 120", value <= 120)
    lost = trials - facts.trials
    yield Figure("trials lost", lost, "", "= 0", lost == 0)
    yield Figure(f"of {facts.attempts:,} attempts run by two machines", facts.twice, "", "= 0", facts.twice == 0)
    value = len(facts.findings)
    yield Figure("findings of the audit", value, "", "= 0", value == 0)
    value = 100 * facts.price_error
    yield Figure("prices in MLflow against the event logs", value, "%", "<= 1e-7", value <= 1e-7)
    yield Figure("logs that say other than their machine wrote", facts.untrue, "", "= 0", facts.untrue == 0)
    yield Figure("attempts lost with their machine", facts.lost_attempts, "", "", True)
    yield Figure("most work trained anew after one, in save intervals", facts.anew, "", "<= 1", facts.anew <= 1)
    value = 100 * facts.node_error
    yield Figure("lines of all machines against what they cost", value, "%", "<= 1", value <= 1)
    yield Figure("most attempts at once", facts.most_running, "", "", True)
    name = f"engine's CPU an attempt, its time {SPEED:.0f} times as fast"
    yield Figure(name, facts.engine_cpu_ms, "ms", "", True)
    yield Figure("memory of the coordinator, and of the simulation", facts.memory_mb, "MB", "", True)


class _Vanishing(MeasuredEngine):
    """Its coordinator is killed where its context ends."""

    def __exit__(self, *_: object) -> None:
        self.abandon()


class _Kills(Silent):
    """Kills the coordinator once so many attempts run; notes when that was so."""

    def __init__(self, running: int) -> None:
        self.reached_at = 0.0
        self._running = running

    def show(self, progress: Progress) -> None:
        """As Observer.show."""
        if len(progress.running) >= self._running:
            self.reached_at = time.monotonic()
            raise KeyboardInterrupt


def resumed_with_many() -> Iterator[Figure]:
    """From a resume in this process, its imports done, to a coordinator that follows as many attempts as before."""
    fleet = SimulatedFleet(SearchHost, 1.0, NEWS_SECONDS)
    SpotMarket(fleet, 0.1).fill(MACHINES_FOR_MANY)
    with tempfile.TemporaryDirectory(prefix="cluster-resume-") as folder, studies_on(fleet, _Vanishing):
        first = _Kills(MANY)
        _until_killed(lambda: run_study({**STUDY, "budget": {"trials": 10 * MANY}}, home=folder, observer=first))
        began, second = time.monotonic(), _Kills(MANY)
        _until_killed(lambda: resume_study(NAME, home=folder, observer=second))
    fleet.close()
    value = second.reached_at - began
    yield Figure(f"a study of {MANY} running attempts is followed again after", value, "s", "<= 5", value <= 5)


def _until_killed(run: Callable[[], object]) -> None:
    try:
        run()
    except KeyboardInterrupt:
        return
    raise RuntimeError("the study ended before its coordinator was killed")
