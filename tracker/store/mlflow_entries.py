"""Writes what runs have logged by MLflow's client, run by run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import RestException

from tracker.errors import RefusedError
from tracker.records import DataCard
from tracker.store.entries import Entries

DATA_CONTEXT = ("mlflow.data.context", "training")
_BATCH_TOTAL, _BATCH_TEXTS = 1000, 100  # MLflow's limits a call: in all, and of params and of tags
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class ClientWriter:
    """Writes by MLflow's client, run by run: to a server."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def new_run_id(self) -> str:
        """The server chooses."""
        return ""

    def write(self, batch: Sequence[Entries]) -> None:
        """Write entries run by run, each in the order of what happened; those that are written are emptied.

        Raises RefusedError after all others are written where the server rejects those of some runs for what they are.
        """
        refused: RefusedError | None = None
        for each in batch:
            try:
                self._write(each)
            except RestException as error:  # MLflow's own answer, not a proxy's
                if error.error_code not in _REFUSALS:
                    raise
                refused = RefusedError(f"run '{each.label}': {error}")
        if refused is not None:
            raise refused

    def _write(self, each: Entries) -> None:
        if each.is_new:
            self._make(each)
        while each.metrics or each.params or each.tags:
            texts = list(itertools.islice(each.tags.items(), _BATCH_TEXTS))
            params = each.params[:_BATCH_TEXTS]
            metrics = each.metrics[: _BATCH_TOTAL - len(texts) - len(params)]
            self._client.log_batch(
                each.run_id,
                [Metric(name, value, time_ms, step) for name, value, time_ms, step in metrics],
                [Param(*param) for param in params],
                [RunTag(*text) for text in texts],
            )
            each.metrics, each.params = each.metrics[len(metrics) :], each.params[len(params) :]
            each.tags = dict(itertools.islice(each.tags.items(), len(texts), None))
        if each.data is not None:
            self._client.log_inputs(each.run_id, [DatasetInput(data_set(each.data), [InputTag(*DATA_CONTEXT)])])
            each.data = None
        if each.status is not None:
            status, ended_at_ms = each.status
            if ended_at_ms is None:
                self._client.update_run(each.run_id, status=status)
            else:
                self._client.set_terminated(each.run_id, status, end_time=ended_at_ms)
            each.status = None

    def _make(self, each: Entries) -> None:
        """Make a run, unless an earlier try made it whose answer was lost."""
        made = self._made(each) if each.doubtful else ""
        if not made:
            each.doubtful = True
            run = self._client.create_run(
                each.experiment_id, start_time=each.started_at_ms, tags=each.tags, run_name=each.label
            )
            made, each.tags = run.info.run_id, {}
        each.run_id, each.is_new, each.doubtful = made, False, False

    def _made(self, each: Entries) -> str:
        named = each.label.replace("'", "\\'")
        found = self._client.search_runs([each.experiment_id], f"attributes.run_name = '{named}'", max_results=100)
        return next((run.info.run_id for run in found if run.info.start_time == each.started_at_ms), "")


def data_set(card: DataCard) -> Dataset:
    """A data card as MLflow keeps data sets."""
    profile = json.dumps({"rows": dict(card.rows), "classes": card.classes})
    return Dataset(card.name, card.fingerprint[:36], "local", json.dumps({"name": card.name}), profile=profile)
