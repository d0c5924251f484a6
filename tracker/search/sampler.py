"""A study's trials in Optuna, by its ask and tell."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState as OptunaState

from tracker.databases.connections import patiently
from tracker.errors import RequestError, StudyExistsError, StudyNotFoundError, did_you_mean
from tracker.records import Direction, Settings, SettingValue, TrialState
from tracker.search.encoding import UnitCube
from tracker.search.optuna_record import OptunaRecord, database_errors
from tracker.search.optuna_storage import in_storage
from tracker.search.tried import NONE_LEFT, Tried
from tracker.study.domains import Choices, Domain
from tracker.study.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)

_ATTEMPTS, _ATTEMPTS_LISTED = 20, 4
"""How often the sampler is asked again where it suggests settings that were tried or ran out of memory: in general, and
where the rest of the space can be listed."""
_DRAWS = 1000
"""How often settings are drawn uniformly where it still does."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """An Optuna sampler: its class name in optuna.samplers, and its keyword arguments.

    The default is TPE (Bergstra et al., NeurIPS 2011; for several objectives Ozaki et al., GECCO 2020).
    """

    name: str = "TPESampler"
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, seed: int) -> optuna.samplers.BaseSampler:
        """Create the sampler. Raises RequestError for an unknown name, and for arguments that it does not take."""
        names = [each for each in optuna.samplers.__all__ if each.endswith("Sampler") and each != "BaseSampler"]
        if self.name not in names:
            raise RequestError(f"search.sampler: Optuna has no sampler '{self.name}'; {did_you_mean(self.name, names)}")
        sampler = getattr(optuna.samplers, self.name)
        given = dict(self.options)
        if "seed" in inspect.signature(sampler).parameters:
            given.setdefault("seed", seed)
        if self.name == "TPESampler":
            given.setdefault("constant_liar", True)  # parallel workers try different settings
        try:
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                made: optuna.samplers.BaseSampler = sampler(**given)
                return made
        except (TypeError, ValueError, ImportError) as error:
            raise RequestError(f"search.sampler: {self.name} cannot be created with {given}: {error}") from None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Settings to try, and the number of the trial that tries them."""

    trial: int
    settings: Settings


class Trials:
    """A study's trials in memory, and in an Optuna database, readable by Optuna's own tools, once they are recorded.

    Its sampler is seeded: the same results give the same suggestions. ``tried`` are the settings that no new trial may
    have; add those of trials that were started before. ``record`` is the copy in the database, None without one.
    """

    def __init__(self, study: optuna.Study, record: OptunaRecord | None, space: SearchSpace) -> None:
        self._study = study
        self.record = record
        # Samplers that exhaust a space call stop, which Optuna refuses outside its own loop.
        self._study.stop = lambda: None  # type: ignore[method-assign]
        self._space = space
        self._out_of_memory: set[str] = set()
        self.tried = Tried(space)

    @classmethod
    def create(
        cls,
        storage: str | None,
        name: str,
        objectives: Mapping[str, Direction],
        space: SearchSpace,
        seed: int,
        sampling: Sampling = Sampling(),
    ) -> Trials:
        """Create a study with these objectives; in memory where ``storage`` is None.

        Raises StudyExistsError where the name is taken, StoreError without a database, RequestError for an unknown
        sampler.
        """
        study, record = _made(name, objectives, sampler=sampling.make(seed)), None
        if storage is not None:
            with database_errors(storage):
                try:
                    stored = in_storage(storage, lambda opened: _made(name, objectives, storage=opened))
                except optuna.exceptions.DuplicatedStudyError:
                    raise StudyExistsError(
                        f"the Optuna database has a study '{name}' already; `tracker resume` it, or choose another "
                        "--name"
                    ) from None
            record = OptunaRecord(stored, storage)
        return cls(study, record, space)

    @classmethod
    def load(
        cls,
        storage: str,
        name: str,
        objectives: Mapping[str, Direction],
        space: SearchSpace,
        seed: int,
        sampling: Sampling = Sampling(),
    ) -> Trials:
        """Load an existing study. Raises StudyNotFoundError, StoreError."""
        with database_errors(storage):
            try:
                stored, known = in_storage(storage, partial(_stored, name))
            except KeyError:
                raise StudyNotFoundError(f"the Optuna database has no study '{name}'") from None
        # Random draws continue where they stopped: the same seed again would repeat the first ones.
        study = _made(name, objectives, sampler=sampling.make(seed + len(known)))
        trials = cls(study, OptunaRecord(stored, storage, known), space)
        for each in known:
            trials._study.add_trial(_sound(each))
            if each.state is OptunaState.WAITING:
                trials._record(each.number)
        return trials

    def restore(self, settings: Mapping[int, Settings]) -> int:
        """Restore the trials that the database lacks, under their numbers, and return how many.

        ``settings`` are those of the study's trials. A restored trial is running until ``tell`` ends it; a number that
        is not in ``settings`` has ended.
        """
        numbers = range(len(self._study.get_trials(deepcopy=False)), max(settings, default=-1) + 1)
        for number in numbers:
            self._study.add_trial(self._restored(settings.get(number)))
            self._record(number)
        return len(numbers)

    def flush(self) -> None:
        """Write to the database what it lacks. Raises StoreError."""
        if self.record is not None:
            self.record.flush()

    def _record(self, number: int) -> None:
        """What a trial is now goes to the database, at the next flush of the record."""
        if self.record is not None:
            self.record.put(self._study._storage.get_trial(self._key(number)))

    def _key(self, number: int) -> int:
        """The trial's id in memory."""
        return self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _restored(self, settings: Settings | None) -> optuna.trial.FrozenTrial:
        if settings is None:  # it was asked for and never started
            return _never_started()
        try:
            return optuna.trial.create_trial(state=OptunaState.RUNNING, **self._parameters(settings))
        except (KeyError, ValueError):  # its space is not this machine's
            return optuna.trial.create_trial(state=OptunaState.RUNNING)

    @classmethod
    def started(cls, storage: str, name: str) -> int | None:
        """The number of a study's started trials; None where the database has no such study. Raises StoreError."""
        with database_errors(storage):
            try:
                _, known = in_storage(storage, partial(_stored, name))
            except KeyError:
                return None
        return sum(trial.state is not OptunaState.WAITING for trial in known)

    @classmethod
    def remove(cls, storage: str, name: str) -> None:
        """Delete a study from its database. Raises StoreError."""
        with database_errors(storage):
            in_storage(storage, lambda opened: optuna.delete_study(study_name=name, storage=opened))

    @classmethod
    def check(cls, objectives: Mapping[str, Direction], space: SearchSpace, sampling: Sampling) -> None:
        """Raises RequestError where the sampler cannot suggest for these objectives in this space."""
        trials = cls.create(None, "check", objectives, space, 0, sampling)
        try:
            trials.ask()
        except (TypeError, ValueError, ImportError, RuntimeError, NotImplementedError) as error:
            raise RequestError(f"search.sampler: {sampling.name} cannot suggest for this study: {error}") from None

    def ask(self) -> Suggestion:
        """Ask for a trial with untried settings: the sampler's, avoiding those that may run out of memory.

        Where it suggests no others, settings are drawn uniformly from the rest. Raises RequestError where nothing is
        left (Tried.all).
        """
        for _ in range(_ATTEMPTS_LISTED if self.tried.listed else _ATTEMPTS):
            if self.tried.all:
                break
            suggestion = self._ask()
            if suggestion.settings not in self.tried and not self._lacks_memory(suggestion.settings):
                self.tried.take(suggestion.settings)
                return suggestion
            self._end(suggestion.trial, OptunaState.PRUNED)  # it cost nothing
        return self.open(self._drawn())

    def open(self, settings: Settings) -> Suggestion:
        """Create a trial with exactly these settings."""
        self._study.enqueue_trial(self._parameters(settings)["params"])
        suggestion = self._ask()
        self.tried.take(suggestion.settings)
        return suggestion

    def _drawn(self) -> Settings:
        """Untried settings, drawn uniformly, avoiding those that may run out of memory."""
        random = np.random.default_rng(len(self._study.get_trials(deepcopy=False)))
        if self.tried.listed:
            listed = self.tried.left
            left = [listed[index] for index in random.permutation(len(listed))]
        else:
            cube = UnitCube(self._space)
            left = [each for _ in range(_DRAWS) if (each := cube.draw(random)) not in self.tried]
        if not left:
            raise RequestError(f"no trial can start: {NONE_LEFT}")
        return next((each for each in left if not self._lacks_memory(each)), left[0])

    def _lacks_memory(self, settings: Settings) -> bool:
        return self._choices_of(settings) in self._out_of_memory

    def avoid(self, settings: Settings) -> None:
        """Avoid settings that ran out of memory, and all with the same choices, whatever their ranges' values."""
        self._out_of_memory.add(self._choices_of(settings))

    def tell(self, trial: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell Optuna how a trial ended. Only completed trials have values."""
        if state is TrialState.COMPLETED and values is not None:
            self._study.tell(trial, list(values), skip_if_finished=True)
            self._record(trial)
        else:
            self._end(trial, OptunaState.PRUNED if state is TrialState.STOPPED else OptunaState.FAIL)

    def _end(self, trial: int, state: OptunaState) -> None:
        self._study.tell(trial, state=state, skip_if_finished=True)
        self._record(trial)

    def add_trials(self, tried: Sequence[tuple[Settings, Sequence[float]]]) -> None:
        """Add trials of settings that were tried already, each with its values."""
        self._study.add_trials(
            [optuna.trial.create_trial(values=list(values), **self._parameters(settings)) for settings, values in tried]
        )

    def suggest(self) -> Settings:
        """Settings that the sampler would try next, without a trial."""
        suggestion = self._ask()
        self._end(suggestion.trial, OptunaState.FAIL)
        return suggestion.settings

    def note(self, trial: int, notes: Mapping[str, Any]) -> None:
        """Set user attributes of a running trial; nothing where it has ended."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, value in notes.items():
                self._study._storage.set_trial_user_attr(self._key(trial), name, value)
            self._record(trial)

    def unfinished(self) -> tuple[int, ...]:
        """The trials that were asked for and have not ended: they are paused, or their coordinator vanished."""
        running = self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))
        return tuple(trial.number for trial in running)

    def _ask(self) -> Suggestion:
        trial = self._study.ask()
        devices = self._space.devices
        device = devices[0]
        if len(devices) > 1:
            device = str(trial.suggest_categorical("device", devices))
        settings: dict[str, SettingValue] = {**self._space.fixed, "device": device}
        for name, domain in self._space.by_device[device].items():
            settings[name] = _suggest(trial, self._parameter(name, domain), domain)
        self._record(trial.number)
        return Suggestion(trial.number, settings)

    def _parameters(self, settings: Settings) -> dict[str, Any]:
        """Settings as Optuna's params and their distributions."""
        device = str(settings["device"])
        params: dict[str, Any] = {}
        distributions: dict[str, optuna.distributions.BaseDistribution] = {}
        if len(self._space.devices) > 1:
            params["device"] = device
            distributions["device"] = optuna.distributions.CategoricalDistribution(self._space.devices)
        for name, domain in self._space.by_device[device].items():
            key = self._parameter(name, domain)
            params[key], distributions[key] = settings[name], _distribution(domain)
        return {"params": params, "distributions": distributions}

    def _choices_of(self, settings: Settings) -> str:
        domains = self._space.by_device.get(str(settings["device"]), {})
        names = [name for name, domain in domains.items() if isinstance(domain, Choices)]
        return repr(sorted((name, settings[name]) for name in ("device", *names) if name in settings)) if names else ""

    def _parameter(self, name: str, domain: Domain) -> str:
        """Optuna's name for a knob: its own, unless its domain depends on the device."""
        same = all(domains.get(name) == domain for domains in self._space.by_device.values())
        device = next(device for device, domains in self._space.by_device.items() if domains.get(name) == domain)
        return name if same else f"{name} ({device})"


def _directions(objectives: Mapping[str, Direction]) -> list[optuna.study.StudyDirection]:
    return [optuna.study.StudyDirection[direction.name] for direction in objectives.values()]


def _made(name: str, objectives: Mapping[str, Direction], **where: Any) -> optuna.Study:
    """A new study with these objectives; in memory where no ``storage`` is given."""
    study = optuna.create_study(study_name=name, directions=_directions(objectives), **where)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        patiently(lambda: study.set_metric_names(list(objectives)))  # by itself: it is made once
    return study


def _stored(name: str, storage: optuna.storages.RDBStorage) -> tuple[optuna.Study, list[optuna.trial.FrozenTrial]]:
    """A study in a storage, and its trials. Raises KeyError where there is none."""
    study = optuna.load_study(storage=storage, study_name=name)
    return study, study.get_trials(deepcopy=False)


def _never_started() -> optuna.trial.FrozenTrial:
    """A trial that was asked for and cost nothing."""
    return optuna.trial.create_trial(state=OptunaState.PRUNED)


def _sound(trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """A trial as it was stored; without its outcome where that makes no sense, and ended where it never started."""
    if trial.state is OptunaState.WAITING:
        return _never_started()
    try:
        trial._validate()
    except ValueError:
        return optuna.trial.create_trial(state=OptunaState.FAIL)
    return trial


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> SettingValue:
    if isinstance(domain, Choices):
        value = trial.suggest_categorical(name, domain.values)
        assert value is not None, "Choices hold no None"
        return value
    if domain.integer:
        return trial.suggest_int(name, int(domain.low), int(domain.highest), step=int(domain.step or 1), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.highest, step=domain.step, log=domain.log)


def _distribution(domain: Domain) -> optuna.distributions.BaseDistribution:
    if isinstance(domain, Choices):
        return optuna.distributions.CategoricalDistribution(domain.values)
    if domain.integer:
        step = int(domain.step or 1)
        return optuna.distributions.IntDistribution(int(domain.low), int(domain.highest), step=step, log=domain.log)
    return optuna.distributions.FloatDistribution(domain.low, domain.highest, step=domain.step, log=domain.log)
