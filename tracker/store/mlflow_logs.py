"""The log of a study in MLflow, which its runs are logged under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow import MlflowClient

from tracker.databases.connections import reason
from tracker.errors import StoreError
from tracker.records import Settings
from tracker.store.run_logs import LoggedRun, RunLog


class StudyLog:
    """A study's place in MLflow: its experiment, and the parent run that its trials hang under."""

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        name: str,
        parent: RunLog,
        read_runs: Callable[[StudyLog], Mapping[str, LoggedRun]],
    ) -> None:
        self._client = client
        self._read_runs = read_runs
        self.experiment_id = experiment_id
        self.name = name
        self.parent = parent
        self.outbox = parent.outbox

    def flush(self) -> None:
        """Write what is not written yet. Raises StoreError, RefusedError."""
        self.outbox.flush()

    def logged_runs(self) -> Mapping[str, LoggedRun]:
        """The runs that MLflow has already, by their names. Raises StoreError."""
        return self._read_runs(self)

    def run(
        self, label: str, settings: Settings, tags: Mapping[str, str], started_at: float, run_id: str = ""
    ) -> RunLog:
        """A run under the study's parent run; ``run_id`` is that of one that is there already, "" for a new one."""
        nested = {**tags, "mlflow.parentRunId": self.parent.run_id}
        return RunLog(self.outbox, self.experiment_id, label, nested, started_at, settings, run_id)

    def keep_files(self, run: RunLog, folder: Path) -> None:
        """Copy a folder's files to the run's artifacts. Raises StoreError."""
        try:
            self.flush()  # the run has to be there
            self._client.log_artifacts(run.run_id, str(folder), artifact_path="model")
        except Exception as error:
            raise StoreError(f"MLflow did not keep the files of run '{run.label}': {reason(error, '')}") from error
