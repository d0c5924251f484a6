"""What a study does before its trials: it prepares its data and trains its baselines. Both are paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracker.records import Role
from tracker.report.estimate.billing import Billing, run_usd
from tracker.report.estimate.outlay import Fixed
from tracker.report.estimate.past import PastRun, alike_at_all_cores
from tracker.runner.plan import StudyPlan


def fixed_work(plan: StudyPlan, runs: Sequence[PastRun], billing: Billing) -> tuple[Fixed, list[str]]:
    """The latest preparation and the latest of each baseline, at these rates, and a sentence for what is not known.

    What a preparation made is kept in the home: the next one only looks at it, which takes about as long as a baseline
    takes to start. Where the same data were prepared more than once, the latest time counts.
    """
    fitting = alike_at_all_cores(runs, plan.space)
    preparations = [run for run in fitting if run.role is Role.PREPARATION]
    baselines: dict[str, PastRun] = {}
    for run in fitting:
        if run.role is Role.BASELINE:
            baselines.setdefault(run.label, run)
    if not preparations:
        return Fixed(), ["data and baselines come on top: no earlier study prepared the same"]
    latest = preparations[0]
    seconds = latest.seconds
    if len(preparations) == 1 and latest.study in {run.study for run in baselines.values()}:
        seconds = min(seconds, max(run.startup_seconds for run in baselines.values()))
    work = [(latest, seconds), *((run, run.seconds) for run in baselines.values())]
    data_usd = _data_usd(latest, billing)
    usd = sum(run_usd(run, billing, each) for run, each in work) - data_usd
    return Fixed(usd, sum(each for _, each in work), data_usd), []


def _data_usd(run: PastRun, billing: Billing) -> float:
    """The price of the data themselves: what remains of work that takes no time."""
    return run_usd(run, billing, 0.0) - run_usd(_without_data(run), billing, 0.0)


def _without_data(run: PastRun) -> PastRun:
    return replace(run, acquired_samples=0.0, acquired_bytes=0.0)
