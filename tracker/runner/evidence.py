"""Warm start: the trials of earlier studies as evidence for a new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import reduce

import numpy as np

from tracker.errors import RequestError
from tracker.pricing.cost import price_of
from tracker.records import STEADY_USAGE, Role, Settings, TrialState, Usage, added
from tracker.runner.account import prediction_price_usd
from tracker.runner.job import job_of
from tracker.runner.plan import StudyPlan
from tracker.runner.searchers import Evidence
from tracker.runner.study_folder import StudyFolder
from tracker.store.run_table import StudyTable
from tracker.study.document import StudyDocument, short_name
from tracker.study.space import SearchSpace
from tracker.training.events import follow, new_attempt


def evidence_from(plan: StudyPlan, folder: StudyFolder, name: str, notify: Callable[[str], None]) -> list[Evidence]:
    """The trials of the study in ``folder``, with their checkpoints at this study's prices.

    ``notify`` receives a sentence for each damaged event log. Raises StudyNotFoundError, StoreError, and RequestError
    where its space differs: the message says how.
    """
    if differences := _differences(plan.document, folder.document()):
        raise RequestError(f"--from {name}: its search space is different; these differ: {', '.join(differences)}")
    evaluated, predictions = folder.data_card().rows.get("validation", 0), plan.spec.search.predictions
    trials: dict[int, tuple[Evidence, list[Usage]]] = {}
    for path, events in folder.attempts(notify):
        job, record = job_of(events[0]), follow(new_attempt(int(path.stem)), events)
        if job.role is not Role.TRIAL or job.trial is None:
            continue
        point = plan.price_points.get(job.device)
        if point is None:
            continue  # a device that this machine does not have
        evidence, earlier = trials.get(job.trial, (Evidence(job.settings, []), []))
        for number, checkpoint in enumerate(record.checkpoints, 1):
            usages = [*earlier, checkpoint.usage]
            whole = reduce(added, usages)
            prices = [price_of(usage, point, plan.spec.costs) for usage in usages]
            values = {
                **checkpoint.metrics,
                "wall_seconds": whole.wall_seconds,
                "price_usd": sum(price.usd for price in prices),
                **({} if whole.energy_joules is None else {"energy_joules": whole.energy_joules}),
                **{figure: float(getattr(whole, figure)) for figure in STEADY_USAGE},
                **prediction_price_usd(checkpoint, number, prices[-1], predictions=predictions, evaluated=evaluated),
            }
            evidence.checkpoints.append((checkpoint.epoch, values))
        failed = record.reason or "failed" if record.state is TrialState.FAILED else ""
        trials[job.trial] = Evidence(evidence.settings, evidence.checkpoints, failed), [*earlier, record.usage]
    return [evidence for evidence, _ in trials.values() if evidence.checkpoints or evidence.failure]


def evidence_of_import(plan: StudyPlan, table: StudyTable) -> list[Evidence]:
    """The runs of an imported study whose settings are in this study's space, at the prices that they are there with.

    Of a setting that this study fixes, a run must have the same value or none. Raises RequestError where the quality
    is another, or no run is in the space: the message says why.
    """
    quality, own = table.quality, plan.spec.quality
    if quality != own:
        raise RequestError(
            f"--from {table.study}: its quality is {quality.name} ({quality.direction}), "
            f"not {own.name} ({own.direction})"
        )
    metrics = {name: table.metrics[name] for name in table.metrics}
    steps = table.checkpoints
    ends = np.searchsorted(steps["run"].to_numpy(), np.arange(len(table.runs) + 1))
    found, reasons = [], Counter[str]()
    for at, row in enumerate(table.runs.to_dict("records")):
        settings = {"device": "cuda" if row["accelerators"] else "cpu", **table.settings_of(at)}
        if reason := _outside(plan.space, settings):
            reasons[reason] += 1
            continue
        reached = [
            (
                int(steps["epoch"].iloc[step]),
                {
                    **{name: float(values[step]) for name, values in metrics.items() if np.isfinite(values[step])},
                    **{name: float(steps[name].iloc[step]) for name in ("wall_seconds", "price_usd")},
                    **dict.fromkeys(STEADY_USAGE, 0.0),
                },
            )
            for step in range(ends[at], ends[at + 1])
        ]
        failed = row["reason"] or "failed" if row["state"] == TrialState.FAILED else ""
        found.append(Evidence({**plan.space.fixed, **settings}, reached, failed))
    found = [evidence for evidence in found if evidence.checkpoints or evidence.failure]
    if not found:
        why = "; ".join(f"{count} of its runs: {reason}" for reason, count in reasons.most_common(3))
        raise RequestError(f"--from {table.study}: none of its runs is in this study's space ({why or 'it has none'})")
    return found


def _outside(space: SearchSpace, settings: Settings) -> str:
    """Why settings are not in a space; "" where they are."""
    domains = space.by_device.get(str(settings["device"]))
    if domains is None:
        return f"device {settings['device']}"
    for name, value in space.fixed.items():
        if settings.get(name, value) != value:
            return f"{name} is not {value}"
    for name, domain in domains.items():
        if name not in settings:
            return f"no {name}"
        if not domain.has(settings[name]):
            return f"another {name}"
    return ""


def _differences(document: StudyDocument, other: StudyDocument) -> list[str]:
    """The differences between two studies that change what settings mean or how quality is measured."""
    differences = []
    if document.workload != other.workload:
        there, here = (str(each.workload) for each in (other, document))
        if short_name(there) != short_name(here):
            there, here = short_name(there), short_name(here)
        differences.append(f"the training code ({there} there, {here} here)")
    for table in ("quality", "data", "space", "settings"):
        here, there = document.content.get(table, {}), other.content.get(table, {})
        for key in sorted(here.keys() | there.keys()):
            if here.get(key) != there.get(key) and (table, key) != ("quality", "last_step"):
                values = [f"{side[key]!r}" if key in side else "absent" for side in (there, here)]
                differences.append(f"{table}.{key} ({values[0]} there, {values[1]} here)")
    return differences
