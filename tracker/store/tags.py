"""The tags that the tracker puts on runs in MLflow, and what each says."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.records import TrialState

RUN_STATUS: Mapping[TrialState, str] = {
    TrialState.RUNNING: "RUNNING",
    TrialState.PAUSED: "SCHEDULED",
    TrialState.COMPLETED: "FINISHED",
    TrialState.STOPPED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.KILLED: "KILLED",
}
"""MLflow's status of a run in each state."""
STUDY_TAGS: Mapping[str, str] = {
    "tracker.study": "the study's name",
    "tracker.workload": "the training code's reference, or its shell command",
    "tracker.quality": "the metric that quality is measured by",
    "tracker.direction": "maximize or minimize",
    "tracker.budget_usd": "the budget in USD; empty without one",
    "tracker.seed": "the study's seed",
    "tracker.strategy": "frontier, optuna or grid",
    "tracker.state": "running, completed, stopped or failed",
    "tracker.price_book": "the hash of the price book's content",
    "tracker.prices": "the study's file of rates of its own; empty without one",
    "tracker.country": "where the electricity is from; empty for each region's country",
    "tracker.limits": "the study's limits, as JSON",
    "tracker.costs": "the assumptions about costs that differ from their defaults, as JSON",
    "tracker.hardware": "the machine in a few words",
    "tracker.data": "the data's fingerprint",
    "tracker.data_description": "what the data are: classes, rows",
    "tracker.tags": "the study's own tags in JSON; each is an MLflow tag under its own name too",
    "tracker.commit": "the commit of the repository that the study ran in, with -dirty where files differ from it",
    "tracker.versions": "the versions of Python and of the libraries that it ran with, in words",
    "tracker.imported": "of a study that was not run here: where it is from",
}
"""The tags of a study's parent run."""
RUN_TAGS: Mapping[str, str] = {
    "tracker.role": "study (the parent run), trial, baseline, preparation or repeat",
    "tracker.study": "the study's name",
    "tracker.trial": "the trial's number; empty for other roles",
    "tracker.repeats": "of a repeat, the number of the trial that it repeats",
    "tracker.state": "running, paused, completed, stopped, failed or killed",
    "tracker.reason": "why, in a word; empty for completed",
    "tracker.message": "why, in a sentence",
    "tracker.attempts": "how many times the run was started",
    "tracker.price_book": "the hash of the price book's content",
    "tracker.sku": "the machine that it is billed as",
    "tracker.region": "the region of the rate",
    "tracker.market": "on_demand, spot, reserved or on_prem",
    "tracker.node": "on a cluster, the machine that its last attempt ran on, or the machines, with + between",
    "tracker.places": "on a cluster, the SKU, market, region and machine of each attempt, as JSON",
    "tracker.usd_per_hour": "the rate of the whole machine in USD an hour",
    "tracker.price_source": "where the rate is from",
    "tracker.price_date": "the day from which the rate holds",
    "tracker.price_point": "the price table's row, as JSON",
    "tracker.cores": "CPU cores that were reserved",
    "tracker.accelerators": "accelerators that were reserved",
    "tracker.energy_source": "measured, estimated or unavailable",
    "tracker.price_basis": "estimated: from the timestamps of an imported run; without it, metered as it ran",
    "tracker.source_run": "of an imported run, its id in the source",
    "tracker.source_version": "of an imported run, what changes in the source when it logs more",
    "tracker.busy": "true where other work kept the machine busy, so that the price is too high",
    "tracker.hardware": "the machine in a few words",
    "tracker.commit": "the commit of the repository",
    "tracker.data": "the data's fingerprint",
}
"""The tags of every other run."""
_SHARED = ("tracker.study", "tracker.hardware", "tracker.data", "tracker.commit")


def shared_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those tags of a study that every run of it has too."""
    return {name: text for name, text in tags.items() if name in _SHARED}
