"""Finding a study in MLflow, even where its experiment was renamed or deleted, and restoring it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType

from tracker.errors import RequestError
from tracker.store.found import FoundExperiment, FoundRun, found_experiment

_MOST_RUNS = 50_000  # MLflow's limit a call


def find_experiments(client: MlflowClient, study: str) -> list[FoundExperiment]:
    """The experiment of a study's name first, then those of other names that its parent run is in."""
    experiments = _all_experiments(client)
    parents = client.search_runs(
        [each.experiment_id for each in experiments], "tags.`tracker.role` = 'study'", ViewType.ALL, _MOST_RUNS
    )
    homes = {run.info.experiment_id for run in parents if run.data.tags.get("tracker.study") == study}
    chosen = [each for each in experiments if each.name == study or each.experiment_id in homes]
    found = [
        found_experiment(
            each.experiment_id, each.name, each.lifecycle_stage != "active", study, _runs(client, each.experiment_id)
        )
        for each in chosen
    ]
    return sorted(found, key=lambda each: each.name != study)


def put_back(client: MlflowClient, study: str, found: Sequence[FoundExperiment], notify: Callable[[str], None]) -> str:
    """Restore a study's experiment, its name and its parent run where they were deleted or renamed; the experiment's
    id.

    "" where there is none at all. ``notify`` receives what was done. Raises RequestError where its name is taken by
    something else.
    """
    if not found:
        return ""
    here = found[0] if found[0].name == study else None
    elsewhere = [each for each in found if each.name != study and each.parent]
    if here is not None and not here.parent and not here.runs and (here.foreign or elsewhere):
        where = f"; the study's runs are in '{elsewhere[0].name}' now" if elsewhere else ""
        raise RequestError(
            f"MLflow's experiment '{study}' (id {here.experiment_id}) is not this study's{where}: rename it, and resume"
        )
    kept = here or elsewhere[0]
    if kept.deleted:
        client.restore_experiment(kept.experiment_id)
        notify(f"MLflow's experiment '{kept.name}' had been deleted: it is restored")
    if here is None:
        client.rename_experiment(kept.experiment_id, study)
        notify(f"MLflow's experiment had been renamed to '{kept.name}': it is '{study}' again")
    if kept.parent_deleted and not kept.deleted:
        client.restore_run(kept.parent)
        notify("the study's parent run had been deleted in MLflow: it is restored")
    return kept.experiment_id


def _all_experiments(client: MlflowClient) -> list[Experiment]:
    found: list[Experiment] = []
    token = None
    while True:
        page = client.search_experiments(ViewType.ALL, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _runs(client: MlflowClient, experiment_id: str) -> list[FoundRun]:
    found: list[FoundRun] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], "", ViewType.ALL, 1000, page_token=token)
        for run in page:
            tag = run.data.tags.get
            deleted = run.info.lifecycle_stage != "active"
            found.append(FoundRun(run.info.run_id, deleted, tag("tracker.study", ""), tag("tracker.role", "")))
        token = page.token
        if not token:
            return found
