"""Artifacts of runs, such as models: kept while they are on the frontier, deleted otherwise."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tracker.errors import StoreError
from tracker.frontier.so_far import FrontierSoFar
from tracker.store.mlflow_logs import StudyLog
from tracker.store.run_logs import RunLog


class FrontierFiles:
    """Follows the frontier of a study.

    ``log`` is the study's in MLflow and ``log_of`` gives a run's; models are registered in ``tracking_uri``, and served
    by ``workload``, "" where it cannot; ``warn`` receives what MLflow does not accept.
    """

    def __init__(
        self,
        frontier: FrontierSoFar,
        log: StudyLog,
        log_of: Callable[[str], RunLog],
        *,
        tracking_uri: str,
        workload: str,
        warn: Callable[[str], None],
    ) -> None:
        self._frontier = frontier
        self._log = log
        self._log_of = log_of
        self._tracking_uri = tracking_uri
        self._workload = workload
        self._warn = warn
        self._ended: dict[str, Path] = {}
        """The folders of trials on the frontier that ended for good, by their labels."""
        self._resumable: dict[str, Path] = {}
        """Those of trials that may be resumed."""
        self._tidied_for: Mapping[str, frozenset[int]] = {}
        """The frontier's epochs when the folders of all trials that ended for good were last tidied."""
        self._cleaned: dict[str, frozenset[int]] = {}
        """Of each run's folder, the epochs on the frontier when its other files were last deleted."""

    def ended(self, label: str, folder: Path, *, for_good: bool) -> None:
        """Record that an attempt at a trial has ended and left ``folder``.

        Of a trial that ended ``for_good``, files of dominated checkpoints are deleted: they cannot return to the
        frontier. A trial that may be resumed keeps all of its files: it may need them, and may still reach the
        frontier.
        """
        self._cleaned.pop(label, None)
        self._resumable.pop(label, None)
        self._ended.pop(label, None)
        (self._ended if for_good else self._resumable)[label] = folder
        due = [label] if for_good else []
        if self._frontier.epochs is not self._tidied_for:
            self._tidied_for, due = self._frontier.epochs, list(self._ended)
        for each in due:
            self._tidy(each)

    def _tidy(self, label: str) -> None:
        """Delete what the frontier no longer needs of a trial that ended for good."""
        epochs = self._frontier.epochs.get(label)
        if epochs is None:
            shutil.rmtree(self._ended.pop(label), ignore_errors=True)
        elif self._cleaned.get(label) != epochs:
            self._delete_beaten(label, self._ended[label])
            self._cleaned[label] = epochs

    def keep(self) -> bool:
        """Move the frontier's files into MLflow; False where it did not accept all: the rest stays in place.

        Files of a trial that may be resumed are copied, and its own stay.
        """
        kept_models = False
        for label, folder in {**self._ended, **self._resumable}.items():
            if not folder.is_dir() or label not in self._frontier.epochs:
                continue
            try:
                with contextlib.ExitStack() as stack:
                    files = folder
                    if label in self._resumable:
                        files = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder.parent))) / folder.name
                        shutil.copytree(folder, files)
                        self._delete_beaten(label, files)
                    kept_models |= self._keep_models(label, files)
                    if any(files.iterdir()):
                        self._log.keep_files(self._log_of(label), files)
                    shutil.rmtree(files, ignore_errors=True)
            except (StoreError, OSError) as error:
                self._warn(f"{error}; the files stay in '{folder}'")
                return False
        if kept_models:
            self._name_the_ends()
        return True

    def _delete_beaten(self, label: str, folder: Path) -> None:
        """Delete the files of a run's checkpoints that are not on the frontier."""
        names = {f"epoch-{epoch}" for epoch in self._frontier.epochs[label]}
        for each in folder.glob("epoch-*"):
            if each.name not in names:
                shutil.rmtree(each, ignore_errors=True)

    def _keep_models(self, label: str, folder: Path) -> bool:
        """Register the models of a run's frontier points where they can be served; True if there were any."""
        epochs = [epoch for epoch in self._frontier.epochs.get(label, ()) if (folder / f"epoch-{epoch}").is_dir()]
        if not epochs or not self._workload:
            return False
        module = importlib.import_module("tracker.store.mlflow_models")  # it takes a second: only where it is needed
        models, run_id = module.KeptModels(self._tracking_uri, self._log.name), self._log_of(label).run_id
        for epoch in sorted(epochs):
            files, (quality, price_usd) = folder / f"epoch-{epoch}", self._frontier.point(label, epoch)
            models.keep(module.KeptModel(run_id, label, epoch, quality, price_usd), files, self._workload)
            shutil.rmtree(files, ignore_errors=True)
        return True

    def _name_the_ends(self) -> None:
        """Set the aliases of the cheapest and the best frontier points whose models are registered."""
        module = importlib.import_module("tracker.store.mlflow_models")
        models, ranked = module.KeptModels(self._tracking_uri, self._log.name), self._frontier.by_price
        for alias, candidates in (("cheapest", ranked), ("best", ranked[::-1])):
            try:
                any(models.alias(alias, self._log_of(label).run_id, epoch) for label, epoch in candidates)
            except StoreError as error:
                self._warn(str(error))
