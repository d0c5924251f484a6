"""Runs of the past in a real MLflow store that knows nothing of the tracker, at times that a test says."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

START_MS = 1_780_000_000_000
SKU = "aws/p4d.24xlarge"


class Past:
    """An experiment of past runs in the store at ``uri``."""

    def __init__(self, uri, experiment="vision"):
        self.uri = uri
        self.client = MlflowClient(uri)
        self.name = experiment
        self.id = self.client.create_experiment(experiment)
        self.now_ms = START_MS

    def run(self, values=(0.5, 0.7, 0.8), *, status="FINISHED", name="", params=None, tags=None, **metrics):
        """A run that logs val_acc each minute from step 1, and other metrics at the same steps; its id."""
        run = self.start(name=name, params=params, tags=tags)
        self.log(run, val_acc=values, **metrics)
        if status != "RUNNING":
            self.client.set_terminated(run, status, self.now_ms + 1000)
        return run

    def start(self, *, name="", params=None, tags=None):
        made = self.client.create_run(self.id, self.now_ms, tags or {}, name or None)
        self.client.log_batch(made.info.run_id, params=[Param(*each) for each in (params or {}).items()])
        return made.info.run_id

    def log(self, run, first_step=1, every_ms=60_000, **metrics):
        length = max(map(len, metrics.values()), default=0)
        logged = []
        for at in range(length):
            self.now_ms += every_ms
            logged += [
                Metric(name, values[at], self.now_ms, first_step + at)
                for name, values in metrics.items()
                if at < len(values)
            ]
        self.client.log_batch(run, logged)
