"""What to try next: an Optuna study, asked and told. The only file that imports Optuna."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState as OptunaState
from sqlalchemy.exc import SQLAlchemyError

from tracker.errors import StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import Direction, QualityMetric, Settings, SettingValue, TrialState
from tracker.study.domains import Choices, Domain
from tracker.study.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Settings to try, and the number of the trial that tries them."""

    trial: int
    settings: Settings


class Search:
    """A search with two objectives, quality and dollars, over a machine's search space.

    Suggestions come from Optuna's TPE sampler (Bergstra et al., NeurIPS 2011; for several objectives
    Ozaki et al., GECCO 2020), seeded, so that the same results give the same suggestions.
    """

    def __init__(self, study: optuna.Study, storage: str, space: SearchSpace) -> None:
        self._study = study
        self._storage = storage
        self._space = space

    @classmethod
    def create(cls, storage: str, name: str, quality: QualityMetric, space: SearchSpace, seed: int) -> Search:
        """Make a new study. Raises StudyExistsError where the name is taken, StoreError without a database."""
        with _database(storage):
            try:
                study = optuna.create_study(
                    storage=storage,
                    study_name=name,
                    directions=[quality.direction.value, Direction.MINIMIZE.value],
                    sampler=_sampler(seed),
                )
            except optuna.exceptions.DuplicatedStudyError:
                raise StudyExistsError(
                    f"the Optuna database has a study '{name}' already; `tracker resume` it, or choose another --name"
                ) from None
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            study.set_metric_names([quality.name, "price_usd"])
        return cls(study, storage, space)

    @classmethod
    def load(cls, storage: str, name: str, space: SearchSpace, seed: int) -> Search:
        """Go on with a study. Raises StudyNotFoundError, StoreError."""
        with _database(storage):
            try:
                study = optuna.load_study(storage=storage, study_name=name)
            except KeyError:
                raise StudyNotFoundError(f"the Optuna database has no study '{name}'") from None
        # Random draws go on where they stopped: the same seed again would repeat the first ones.
        study.sampler = _sampler(seed + len(study.get_trials(deepcopy=False)))
        return cls(study, storage, space)

    def delete(self) -> None:
        """Take the study out of the database, where its other halves could not be made."""
        optuna.delete_study(study_name=self._study.study_name, storage=self._storage)

    def ask(self) -> Suggestion:
        """The next settings to try. Raises StoreError."""
        with _database(self._storage):
            return self._ask()

    def _ask(self) -> Suggestion:
        trial = self._study.ask()
        devices = self._space.devices
        device = devices[0]
        if len(devices) > 1:
            device = str(trial.suggest_categorical("device", devices))
        settings: dict[str, SettingValue] = {**self._space.fixed, "device": device}
        for name, domain in self._space.by_device[device].items():
            settings[name] = _suggest(trial, self._parameter(name, domain), domain)
        return Suggestion(trial.number, settings)

    def tell(self, trial: int, state: TrialState, quality: float | None, price_usd: float) -> None:
        """How a trial ended. Only completed ones have values that may be compared; the rest just ended.

        Raises StoreError.
        """
        with _database(self._storage):
            if state is TrialState.COMPLETED and quality is not None:
                self._study.tell(trial, [quality, price_usd])
            else:
                ended = OptunaState.PRUNED if state is TrialState.STOPPED else OptunaState.FAIL
                self._study.tell(trial, state=ended, skip_if_finished=True)

    def unfinished(self) -> tuple[int, ...]:
        """The trials that were asked for and never told: their coordinator vanished."""
        return tuple(trial.number for trial in self._study.get_trials(deepcopy=False) if not trial.state.is_finished())

    def _parameter(self, name: str, domain: Domain) -> str:
        """Optuna's name for a knob: its own, unless what can be drawn depends on the device."""
        same = all(domains.get(name) == domain for domains in self._space.by_device.values())
        device = next(device for device, domains in self._space.by_device.items() if domains.get(name) == domain)
        return name if same else f"{name} ({device})"


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> SettingValue:
    if isinstance(domain, Choices):
        value = trial.suggest_categorical(name, domain.values)
        assert value is not None, "Choices hold no None"
        return value
    if domain.integer:
        return trial.suggest_int(name, int(domain.low), int(domain.high), step=int(domain.step or 1), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


@contextlib.contextmanager
def _database(storage: str) -> Iterator[None]:
    """Turn what a database raises into a StoreError that names it."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, OSError) as error:
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise StoreError(f"Optuna storage '{storage}' cannot be used: {reason}") from error
