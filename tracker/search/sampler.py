"""What to try next: an Optuna study, asked and told. The only file that imports Optuna."""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState as OptunaState
from sqlalchemy.exc import SQLAlchemyError

from tracker.errors import RequestError, StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import Direction, QualityMetric, Settings, SettingValue, TrialState
from tracker.study.domains import Choices, Domain
from tracker.study.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)


MOST_COMBINATIONS = 10_000
"""Of a grid."""

_ATTEMPTS_TO_AVOID = 20
"""How often the sampler is asked again where it suggests what ran out of memory before."""


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

    def __init__(self, study: optuna.Study, storage: str, space: SearchSpace, strategy: str = "optuna") -> None:
        self._study = study
        self._storage = storage
        self._space = space
        self._strategy = strategy
        self._out_of_memory: set[str] = set()

    @classmethod
    def create(
        cls, storage: str, name: str, quality: QualityMetric, space: SearchSpace, seed: int, strategy: str = "optuna"
    ) -> Search:
        """Make a new study; ``strategy`` is one of study.spec.STRATEGIES.

        Raises StudyExistsError where the name is taken, StoreError without a database, RequestError for a grid of
        more than MOST_COMBINATIONS.
        """
        combinations = _combinations(space) if strategy == "grid" else []
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
        search = cls(study, storage, space, strategy)
        with _database(storage):
            for device, values in combinations:
                search._enqueue(device, values)
        return search

    @classmethod
    def load(cls, storage: str, name: str, space: SearchSpace, seed: int, strategy: str = "optuna") -> Search:
        """Go on with a study. Raises StudyNotFoundError, StoreError."""
        with _database(storage):
            try:
                study = optuna.load_study(storage=storage, study_name=name)
            except KeyError:
                raise StudyNotFoundError(f"the Optuna database has no study '{name}'") from None
        # Random draws go on where they stopped: the same seed again would repeat the first ones.
        study.sampler = _sampler(seed + len(study.get_trials(deepcopy=False)))
        return cls(study, storage, space, strategy)

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to try: every combination of a grid was asked for."""
        if self._strategy != "grid":
            return False
        with _database(self._storage):
            return not self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,))

    def delete(self) -> None:
        """Take the study out of the database, where its other halves could not be made."""
        optuna.delete_study(study_name=self._study.study_name, storage=self._storage)

    def ask(self) -> Suggestion:
        """The next settings to try; rather none whose choices ran out of memory before. Raises StoreError."""
        with _database(self._storage):
            for _ in range(_ATTEMPTS_TO_AVOID):
                suggestion = self._ask()
                if self._choices_of(suggestion.settings) not in self._out_of_memory or self._strategy == "grid":
                    break
                self._study.tell(suggestion.trial, state=OptunaState.PRUNED)  # nothing was paid for it
            return suggestion

    def avoid(self, settings: Settings) -> None:
        """These settings ran out of memory: others with the same choices would too, whatever their ranges' values."""
        self._out_of_memory.add(self._choices_of(settings))

    def _choices_of(self, settings: Settings) -> str:
        domains = self._space.by_device.get(str(settings["device"]), {})
        names = [name for name, domain in domains.items() if isinstance(domain, Choices)]
        return repr(sorted((name, settings[name]) for name in ("device", *names) if name in settings)) if names else ""

    def _enqueue(self, device: str, values: Settings) -> None:
        named = {self._parameter(name, self._space.by_device[device][name]): value for name, value in values.items()}
        self._study.enqueue_trial({**named, **({"device": device} if len(self._space.devices) > 1 else {})})

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
        """The trials that were asked for and never told: they are paused, or their coordinator vanished."""
        running = self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))
        return tuple(trial.number for trial in running)

    def _parameter(self, name: str, domain: Domain) -> str:
        """Optuna's name for a knob: its own, unless what can be drawn depends on the device."""
        same = all(domains.get(name) == domain for domains in self._space.by_device.values())
        device = next(device for device, domains in self._space.by_device.items() if domains.get(name) == domain)
        return name if same else f"{name} ({device})"


def _combinations(space: SearchSpace) -> list[tuple[str, dict[str, SettingValue]]]:
    """Every device with every combination of its choices, in the order that they are written."""
    combinations = []
    for device, domains in space.by_device.items():
        choices = {name: domain.values for name, domain in domains.items() if isinstance(domain, Choices)}
        count = math.prod(map(len, choices.values()))
        if count > MOST_COMBINATIONS:
            raise RequestError(
                f"strategy 'grid': the space has {count:,} combinations; allowed: at most {MOST_COMBINATIONS:,}"
            )
        combinations += [
            (device, dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())
        ]
    return combinations


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
