"""Kept models in MLflow: logged so that MLflow can serve them, and registered with the frontier's aliases.

Imported only where there is a model to keep: MLflow's part for models takes a second to import.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracker.errors import StoreError

DISTRIBUTION = "cost-quality-tracker"
LOADER = "tracker.training.serving"

logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are raised as well, and shown in one line


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A frontier point's model: the run and epoch that it is of, and what that point is."""

    run_id: str
    label: str
    epoch: int
    quality: float
    price_usd: float

    @property
    def artifact_path(self) -> str:
        """Where its files are among the run's artifacts."""
        return f"model/epoch-{self.epoch}"


def registered_name(study: str) -> str:
    """The name that a study's models are registered under: MLflow allows neither / nor : in one.

    >>> registered_name("a/b: c")
    'a-b- c'
    """
    return re.sub(r"[/:]", "-", study)


class KeptModels:
    """The models of a study in one tracking store. Every method raises StoreError where MLflow refuses."""

    def __init__(self, tracking_uri: str, study: str) -> None:
        self._client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        self.name = registered_name(study)

    def keep(self, model: KeptModel, files: Path, workload: str) -> None:
        """Log a model's files as an MLflow model, which this package loads and no pickle is part of; register it."""
        try:
            self._log(model, files, workload)
            self._register(model)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise StoreError(
                f"MLflow did not accept the model of {model.label} after epoch {model.epoch}: {reason}"
            ) from error

    def alias(self, alias: str, run_id: str, epoch: int) -> bool:
        """Give an alias to the model of a run's epoch; False where that was not registered."""
        try:
            version = self._version(run_id, epoch)
            if version is not None:
                self._client.set_registered_model_alias(self.name, alias, version)
        except MlflowException as error:
            raise StoreError(f"MLflow did not set the alias of '{self.name}' '{alias}': {error}") from error
        return version is not None

    def _log(self, model: KeptModel, files: Path, workload: str) -> None:
        from tracker.training.serving import NOTE  # it imports torch

        (files / NOTE).write_text(json.dumps({"workload": workload}), encoding="utf-8")
        requirement = f"{DISTRIBUTION}=={importlib.metadata.version(DISTRIBUTION)}"
        with tempfile.TemporaryDirectory(prefix="tracker-model-") as folder:
            place = str(Path(folder) / "model")
            mlflow.pyfunc.save_model(place, loader_module=LOADER, data_path=str(files), pip_requirements=[requirement])
            self._client.log_artifacts(model.run_id, place, artifact_path=model.artifact_path)

    def _register(self, model: KeptModel) -> None:
        if self._version(model.run_id, model.epoch) is not None:
            return
        try:
            self._client.get_registered_model(self.name)
        except MlflowException:
            self._client.create_registered_model(self.name)
        root = self._client.get_run(model.run_id).info.artifact_uri
        tags = {
            "tracker.trial": model.label.removeprefix("#"),
            "tracker.epoch": str(model.epoch),
            "tracker.quality": repr(model.quality),
            "tracker.price_usd": repr(model.price_usd),
        }
        self._client.create_model_version(self.name, f"{root}/{model.artifact_path}", model.run_id, tags=tags)

    def _version(self, run_id: str, epoch: int) -> str | None:
        found = self._client.search_model_versions(f"run_id = '{run_id}'")  # an id needs no quoting; a name might
        versions = [each for each in found if each.name == self.name and each.tags.get("tracker.epoch") == str(epoch)]
        return str(versions[0].version) if versions else None


def fetch(tracking_uri: str, run_id: str, epoch: int) -> Path | None:
    """The files of a kept model on this machine, downloaded where a server has them; None where none is kept."""
    name = f"epoch-{epoch}"
    try:
        place = Path(MlflowClient(tracking_uri).download_artifacts(run_id, f"model/{name}/data/{name}"))
    except (MlflowException, OSError):
        return None
    return place if place.is_dir() else None
