"""What a study does before its trials: it prepares its data and trains its baselines. Both are paid for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from tracker.records import Role
from tracker.report.estimate.billing import Billing, run_usd
from tracker.report.estimate.outlay import Fixed
from tracker.report.estimate.past import PastRun, alike_at_all_cores
from tracker.runner.plan import StudyPlan

_BUSY_DRIFT = 0.35
"""An assumption: on cores that other work used too, the same trainings took half to twice as long minutes later."""
_LATEST = 3
"""How many of the latest times of the same work count."""


def fixed_work(plan: StudyPlan, runs: Sequence[PastRun], billing: Billing) -> tuple[Fixed, list[str]]:
    """The usual preparation and each baseline, at these rates, and a sentence for what is not known.

    What a preparation made is kept in the home: the next one only finds it. Where the same data were prepared more
    than once, as by a probe, the later times count; else finding them is taken to last as long as a baseline takes to
    start, which is right where both import the same libraries.
    """
    fitting = alike_at_all_cores(runs, plan.space)
    preparations = [run for run in fitting if run.role is Role.PREPARATION]
    baselines = _by_label(fitting)
    if not preparations:
        return Fixed(), ["data and baselines come on top: no earlier study prepared the same"]
    latest = preparations[0]
    seconds = _usual(preparations[:-1]) if len(preparations) > 1 else latest.seconds
    if len(preparations) == 1 and baselines:
        seconds = min(seconds, max(runs[0].startup_seconds for runs in baselines.values()))
    work = [(latest, seconds), *((runs[0], _usual(runs)) for runs in baselines.values())]
    data_usd = _data_usd(latest, billing)
    usd = sum(run_usd(run, billing, each) for run, each in work) - data_usd
    return Fixed(usd, sum(each for _, each in work), data_usd), []


def drift(runs: Sequence[PastRun], least: float) -> float:
    """The standard deviation of the logarithm of what the same work takes from one study to another, at least so much.

    Baselines are the same work every time. Of a machine that other work keeps busy, more is expected where no baseline
    was repeated.
    """
    offs = [
        math.log(run.seconds / _usual(group)) for group in _by_label(runs).values() if len(group) > 1 for run in group
    ]
    if offs:
        return max(least, math.sqrt(sum(off * off for off in offs) / max(len(offs) / 2, 1)))
    return _BUSY_DRIFT if any(run.busy for run in runs) else least


def _by_label(runs: Sequence[PastRun]) -> dict[str, list[PastRun]]:
    """The latest runs of each baseline."""
    found: dict[str, list[PastRun]] = {}
    for run in runs:
        if run.role is Role.BASELINE and len(found.setdefault(run.label, [])) < _LATEST:
            found[run.label].append(run)
    return found


def _usual(runs: Sequence[PastRun]) -> float:
    return statistics.median(run.seconds for run in runs[:_LATEST])


def _data_usd(run: PastRun, billing: Billing) -> float:
    """The price of the data themselves: what remains of work that takes no time."""
    return run_usd(run, billing, 0.0) - run_usd(_without_data(run), billing, 0.0)


def _without_data(run: PastRun) -> PastRun:
    return replace(run, acquired_samples=0.0, acquired_bytes=0.0)
