"""Runs of an MLflow experiment that knows nothing of this tracker, as a source of past runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pandas as pd

from tracker.databases.addresses import shown_url
from tracker.errors import RequestError
from tracker.imports.past_runs import RUN_COLUMNS, PastRuns
from tracker.records import TrialState
from tracker.report.words import several
from tracker.store.logged_runs import ENDED
from tracker.store.mlflow_runs import open_experiment, store_url
from tracker.store.setting_texts import setting_value

_OF_DEFAULT = "mlflow-default"
_GPU = re.compile(r"^system/(?:(?P<node>.+)/)?gpu_(?P<index>\d+)_")
_MLFLOW_BEGAN = datetime(2018, 1, 1, tzinfo=UTC).timestamp()
_STATES: Mapping[str, tuple[TrialState, str, str]] = {
    "FINISHED": (TrialState.COMPLETED, "", ""),
    "FAILED": (TrialState.FAILED, "failed", "MLflow has it as FAILED"),
    "KILLED": (TrialState.KILLED, "killed", "MLflow has it as KILLED"),
    "RUNNING": (TrialState.STOPPED, "not_ended", "MLflow has it as RUNNING: it counts until its last value"),
    "SCHEDULED": (TrialState.STOPPED, "not_ended", "MLflow has it as SCHEDULED: it counts until its last value"),
}


class MlflowRuns:
    """An experiment's runs: of nested ones the outermost that logs the quality, else each that logs it.

    A run without it that other runs are nested in, such as a sweep's, is not taken: they count themselves. Raises
    RequestError for a store or an experiment that is not there, naming the nearest.
    """

    direction = None  # the metric's name says it

    def __init__(self, place: str, experiment: str, quality: str) -> None:
        url = store_url(place)
        self._experiment = open_experiment(url, experiment)
        self._quality = quality
        self.experiment = self._experiment.name
        self.study = _OF_DEFAULT if self.experiment == "Default" else self.experiment
        """What a study of these runs is called where nobody names it: every store has an experiment Default."""
        self.origin = f"MLflow experiment '{self.experiment}' in {shown_url(url)}"
        self.remarks: list[str] = []

    @cached_property
    def _heads(self) -> pd.DataFrame:
        """The runs that are taken."""
        heads = self._experiment.heads().set_index("run_id", drop=False)
        if deleted := int(heads["deleted"].sum()):
            self.remarks.append(f"{several(deleted, 'run')} deleted in MLflow: not imported")
        heads = heads[~heads["deleted"]]
        parents = {run: parent for run, parent in self._experiment.parents().items() if parent in heads.index}
        having = self._experiment.having(self._quality)
        followed, inside, around = _followed(list(heads.index), parents, having)
        if inside:
            self.remarks.append(f"{several(inside, 'run')} nested in one that logs '{self._quality}': part of it")
        if around:
            self.remarks.append(f"{several(around, 'run')} that only other runs are nested in: not a run of its own")
        return heads.loc[followed]

    def versions(self) -> Mapping[str, str]:
        """As PastSource.versions."""
        heads, latest = self._heads, self._experiment.latest()
        ends = heads["ended_at_ms"].map("{:.0f}".format)
        logged = [latest.get(run, "") for run in heads.index]
        return dict(zip(heads.index, heads["status"] + " " + ends + " " + logged, strict=True))

    def metric_names(self) -> Sequence[str]:
        """As PastSource.metric_names."""
        return [name for name in self._experiment.metric_names() if not name.startswith("system/")]

    def read(self, run_ids: Sequence[str]) -> PastRuns:
        """As PastSource.read."""
        logged = self._experiment.read(run_ids)
        tags = [dict(logged.tags.get(run, {})) for run in run_ids]
        if any(each.get("tracker.role") for each in tags):
            raise RequestError(f"{self.origin} is of a study that this tracker ran: read it, or import its export")
        values = logged.values
        run = pd.Index(run_ids).get_indexer(pd.Index(values["run_id"]))
        timestamps = values["timestamp_ms"].to_numpy(dtype=np.float64) / 1000
        return PastRuns(
            runs=_runs(self._heads.loc[list(run_ids)]),
            settings=[
                {name: setting_value(text) for name, text in logged.params.get(each, {}).items()} for each in run_ids
            ],
            tags=tags,
            values=pd.DataFrame(
                {
                    "run": run,
                    "metric": values["metric"],
                    "step": values["step"],
                    "timestamp": _known(pd.Series(timestamps)).to_numpy(),
                    "value": values["value"],
                }
            ),
            accelerators=_accelerators(run, values["metric"], len(run_ids)),
        )


def _followed(runs: Sequence[str], parents: Mapping[str, str], having: set[str]) -> tuple[list[str], int, int]:
    """The runs that are taken; how many are inside one of them, and how many only have others inside."""
    around = set(parents.values())
    inside = {run for run in runs if any(each in having for each in _above(run, parents))}
    taken = [run for run in runs if run not in inside and (run in having or run not in around)]
    return taken, len(inside), len(runs) - len(inside) - len(taken)


def _above(run: str, parents: Mapping[str, str]) -> list[str]:
    """The runs that a run is nested in, the nearest first."""
    found: list[str] = []
    while (run := parents.get(run, "")) and run not in found:
        found.append(run)
    return found


def _runs(heads: pd.DataFrame) -> pd.DataFrame:
    states = [_STATES.get(status, _STATES["RUNNING"]) for status in heads["status"]]
    ended = heads["status"].isin(ENDED)
    columns = {
        "id": heads["run_id"],
        "name": heads["name"].where(heads["name"] != "", heads["run_id"].str[:8]),
        "state": [str(state) for state, _, _ in states],
        "reason": [reason for _, reason, _ in states],
        "message": [message for _, _, message in states],
        "started_at": _known(heads["started_at_ms"] / 1000),
        "ended_at": _known(heads["ended_at_ms"] / 1000).where(ended),
        "user": heads["user"],
    }
    return pd.DataFrame(columns).reset_index(drop=True)[list(RUN_COLUMNS)]


def _known(seconds: pd.Series) -> pd.Series:
    """Times since 1970; NaN for those before MLflow: 0, or seconds that were logged as milliseconds."""
    return seconds.where(seconds > _MLFLOW_BEGAN)


def _accelerators(run: np.ndarray, metrics: pd.Series, count: int) -> list[int]:
    """How many GPUs the system metrics of each run are of."""
    codes, names = pd.factorize(metrics)
    gpus = [_GPU.match(str(name)) for name in names]
    found: list[set[tuple[str, str]]] = [set() for _ in range(count)]
    seen = pd.DataFrame({"run": run, "code": codes}).drop_duplicates()
    for at, code in zip(seen["run"].tolist(), seen["code"].tolist(), strict=True):
        if gpu := gpus[code]:
            found[at].add((gpu["node"] or "", gpu["index"]))
    return [len(each) for each in found]
