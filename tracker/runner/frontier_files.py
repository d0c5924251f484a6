"""The files that runs leave, such as their models: kept where they are on the frontier, deleted where not."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

from tracker.errors import StoreError
from tracker.frontier.so_far import FrontierSoFar
from tracker.store.mlflow_store import RunLog


class FrontierFiles:
    """Follows the frontier of a study.

    ``log_of`` gives a run's way into MLflow; ``tracking_uri`` and ``study`` are where models are registered, and
    ``workload`` what they are served by, "" where it cannot; ``warn`` is told what MLflow does not take.
    """

    def __init__(
        self,
        frontier: FrontierSoFar,
        log_of: Callable[[str], RunLog],
        *,
        tracking_uri: str,
        study: str,
        workload: str,
        warn: Callable[[str], None],
    ) -> None:
        self._frontier = frontier
        self._log_of = log_of
        self._tracking_uri = tracking_uri
        self._study = study
        self._workload = workload
        self._warn = warn
        self._folders: dict[str, Path] = {}  # of the trials that have ended and may still be on the frontier

    def ended(self, label: str, folder: Path) -> None:
        """A trial has ended and left ``folder``; what left the frontier is deleted: it never comes back to it."""
        self._folders[label] = folder
        for other, kept in list(self._folders.items()):
            epochs = self._frontier.epochs.get(other)
            if epochs is None:
                shutil.rmtree(self._folders.pop(other), ignore_errors=True)
                continue
            for each in kept.glob("epoch-*"):
                if each.name not in {f"epoch-{epoch}" for epoch in epochs}:
                    shutil.rmtree(each, ignore_errors=True)

    def keep(self) -> bool:
        """Move what is on the frontier into MLflow; False where it did not take everything: that stays in its place."""
        kept_models = False
        for label, folder in self._folders.items():
            if not folder.is_dir():
                continue
            try:
                kept_models |= self._keep_models(label, folder)
                if any(folder.iterdir()):
                    self._log_of(label).keep_files(folder)
                shutil.rmtree(folder, ignore_errors=True)
            except StoreError as error:
                self._warn(f"{error}; the files stay in '{folder}'")
                return False
        if kept_models:
            self._name_the_ends()
        return True

    def _keep_models(self, label: str, folder: Path) -> bool:
        """Register the models of a run's frontier points where they can be served; whether there were any."""
        epochs = [epoch for epoch in self._frontier.epochs.get(label, ()) if (folder / f"epoch-{epoch}").is_dir()]
        if not epochs or not self._workload:
            return False
        module = importlib.import_module("tracker.store.mlflow_models")  # it takes a second: only where it is needed
        models, run_id = module.KeptModels(self._tracking_uri, self._study), self._log_of(label).run_id
        for epoch in sorted(epochs):
            files, (quality, price_usd) = folder / f"epoch-{epoch}", self._frontier.point(label, epoch)
            models.keep(module.KeptModel(run_id, label, epoch, quality, price_usd), files, self._workload)
            shutil.rmtree(files, ignore_errors=True)
        return True

    def _name_the_ends(self) -> None:
        """Give the aliases to the cheapest and to the best of the frontier's points whose models are registered."""
        module = importlib.import_module("tracker.store.mlflow_models")
        models, ranked = module.KeptModels(self._tracking_uri, self._study), self._frontier.by_price
        for alias, candidates in (("cheapest", ranked), ("best", ranked[::-1])):
            try:
                any(models.alias(alias, self._log_of(label).run_id, epoch) for label, epoch in candidates)
            except StoreError as error:
                self._warn(str(error))
