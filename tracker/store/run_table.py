"""Records as tables: what every reader of a study (frontier, report, dashboard) starts from.

Read from the MLflow store, which is the one place where a finished study is kept. A database is read
straight from its tables (a hundred times quicker than through MLflow's client, and without importing
MLflow); an MLflow server is asked through its client.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import StudyNotFoundError, did_you_mean
from tracker.pricing.cost import DEFAULT_TERMS
from tracker.pricing.currency import USD, ExchangeRate
from tracker.pricing.money_unit import MoneyUnit, money_unit
from tracker.pricing.scenario import Scenario
from tracker.records import Direction, QualityMetric, Role, SettingValue
from tracker.store.attempts import NO_ATTEMPTS, SeveralAttempts, several_attempts
from tracker.store.column_cache import CachedStudy, cache_folder, forget
from tracker.store.columns import ParentRun, RunIndex, Source
from tracker.store.found import FoundExperiment
from tracker.store.sql_reader import SqlReader
from tracker.store.study_frames import CheckpointFrames, RunFrames
from tracker.study.costs import CostTerms
from tracker.study.spec import Limit

RUN_COLUMNS = (
    *("run_id", "role", "trial", "label", "state", "reason", "message", "attempts", "quality", "price_usd"),
    *("wall_seconds", "sku", "market", "usd_per_hour", "price_source", "price_date", "hardware"),
    *("energy_source", "busy", "started_at", "user"),
    *("region", "price_basis", "data_usd", "compute_usd", "storage_usd", "maintenance_usd"),
    *("billed_seconds", "machine_share", "cores", "accelerators", "peak_memory_bytes", "startup_seconds"),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
    *("energy_joules", "energy_kwh", "co2_grams"),
)
PROVENANCE = ("workload", "strategy", "seed", "hardware", "commit", "data", "versions")
"""What a study records of where it comes from, each in a tag ``tracker.<name>``; older studies lack some."""
IMPORTED = "tracker.imported"
"""The tag of a study that was not run here: it says where it is from."""
SOURCE_RUN, SOURCE_VERSION = "tracker.source_run", "tracker.source_version"
"""The tags of an imported run: its id in the source, and a text that changes when it logs more there."""
CHECKPOINT_COLUMNS = (
    *("run", "run_id", "role", "trial", "label", "epoch", "quality", "price_usd", "wall_seconds", "timestamp"),
)


class CheckpointMetrics(Mapping[str, NDArray[np.float64]]):
    """Metrics at the checkpoints of a study by their names, each an array of shape [checkpoints]; NaN for no value.

    A metric is read when it is first asked for. Raises KeyError for one that no checkpoint has.
    """

    def __init__(self, names: Callable[[], Sequence[str]], read: Callable[[str], NDArray[np.float64]]) -> None:
        self._find_names = names
        self._read = read
        self._known: dict[str, NDArray[np.float64] | None] = {}  # None of what no checkpoint has

    @classmethod
    def of(cls, values: Mapping[str, NDArray[np.float64]]) -> CheckpointMetrics:
        """Those that are given."""
        return cls(lambda: list(values), lambda name: values[name])

    @cached_property
    def names(self) -> list[str]:
        """The metrics that checkpoints have; one that only few runs of a large study log may be missing."""
        return list(self._find_names())

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._known:
            values = self._read(name)
            self._known[name] = None if len(values) and np.isnan(values).all() else values
        known = self._known[name]
        if known is None:
            raise KeyError(name)
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class StudyTable:
    """One study as two tables.

    ``runs``: one row a run: run_id, role (trial, baseline, preparation, repeat), trial (its number, of a repeat
    that of the trial which it repeats; -1 for the other roles), label, state, reason, message, attempts, quality
    (its last checkpoint's; NaN without one), price_usd (all its attempts), wall_seconds, sku, market,
    usd_per_hour, price_source, price_date, hardware, energy_source, busy (measured on a busy machine), started_at
    (seconds since 1970); user (who ran it, "" where that is not known); region;
    price_basis (records.PriceBasis); the price's parts data_usd, compute_usd, storage_usd, maintenance_usd; what
    compute was billed for: billed_seconds × machine_share at usd_per_hour; the usage (records.Usage) that prices
    depend on; energy_joules, energy_kwh and co2_grams (NaN where unavailable); price_point, the machine and its rate
    as a price table's row in JSON; and places: of a run on a cluster, the SKU, market, region and machine of each
    attempt in JSON, else "".

    ``settings``: one row a run, as in ``runs``, and one column a setting; None where a run has none of it.
    ``summary``: one row a run, as in ``runs``, and one column a metric with its last value (test_accuracy, parameters,
    flops, …); NaN where a run has none of it.

    ``checkpoints``: one row a checkpoint: run (its row in ``runs``), run_id, role, trial, label, epoch, quality,
    price_usd and wall_seconds (both cumulative over the trial's attempts), and timestamp. ``metrics`` has every other
    metric at the same checkpoints, read when it is asked for.

    ``attempts`` are those at runs that had several, as they were billed; report.attempts has those of every run.

    ``limits`` are what a checkpoint's metrics must keep to, to be on the frontier.
    ``terms`` are the study's assumptions about costs, ``prices_file`` its file of rates of its own ("" without
    one), ``country`` where its electricity is from ("" for each region's own); ``scenario`` is what the prices
    were changed by, None where they are those that were billed.
    ``currency`` is what people are shown amounts in; the tables are in USD. ``data`` says what was made of the study's
    data; "" where the workload did not tell. ``provenance`` is what the study recorded of where it comes from, by the
    names PROVENANCE; ``home`` is the folder that it lives in, None where it was read without one.
    ``tags`` are the study's own (study.tags), ``user`` is who started it. ``origin`` says where the study was imported
    from, "" where it was run here. ``notice`` says why it was read from its events in place of MLflow, "" where it was
    not. ``hardware`` names what a report is to predict the frontier for.
    """

    study: str
    quality: QualityMetric
    budget_usd: float | None
    price_book: str
    state: str
    runs: pd.DataFrame
    settings: pd.DataFrame
    summary: pd.DataFrame
    checkpoints: pd.DataFrame
    metrics: CheckpointMetrics
    attempts: SeveralAttempts = NO_ATTEMPTS
    limits: tuple[Limit, ...] = ()
    terms: CostTerms = DEFAULT_TERMS
    prices_file: str = ""
    country: str = ""
    scenario: Scenario | None = None
    currency: ExchangeRate = USD
    data: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    origin: str = ""
    notice: str = ""
    hardware: tuple[str, ...] = ()

    @property
    def spend_usd(self) -> float:
        """All that the study has cost: every attempt of every run, failed and killed ones too."""
        return float(self.runs["price_usd"].sum())

    @cached_property
    def unit(self) -> MoneyUnit:
        """The unit that amounts of this study are shown in everywhere: by the prices of its trials."""
        prices = self.runs.loc[self.runs["role"] == Role.TRIAL, "price_usd"]
        reached = self.checkpoints["price_usd"].to_numpy(dtype=np.float64)
        return money_unit(reached if len(reached) else prices, self.currency)

    def settings_of(self, run: int) -> dict[str, SettingValue]:
        """The settings of the run in this row of ``runs``; those that it has."""
        values: dict[str, Any] = {str(name): self.settings[name].iloc[run] for name in self.settings}
        return {name: value for name, value in values.items() if value is not None}

    def summary_of(self, run: int) -> dict[str, float]:
        """The last values of the metrics of the run in this row of ``runs``; those that it has."""
        values = {str(name): float(self.summary[name].iloc[run]) for name in self.summary}
        return {name: value for name, value in values.items() if value == value}

    def usage(self, name: str) -> NDArray[np.float64]:
        """What was used until each checkpoint of one of STEADY_USAGE: it is logged where it has changed."""
        try:
            logged = self.metrics[name]
        except KeyError:
            return np.zeros(len(self.checkpoints))
        values = pd.Series(logged).groupby(self.checkpoints["run"].to_numpy()).ffill()
        return np.asarray(values.fillna(0.0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study in a list of studies; ``started_at`` in seconds since 1970, ``workload`` its reference, "" if unknown."""

    name: str
    state: str
    started_at: float
    workload: str = ""


class _Store(Source, Protocol):
    def find_study(self, name: str) -> list[FoundExperiment]: ...
    def experiment_id(self, study: str) -> str: ...
    def texts_of(self, study: str, tag: str) -> dict[str, str]: ...


def list_studies(tracking_uri: str) -> list[StudySummary]:
    """Every study in an MLflow store, newest first. Raises StoreError."""
    return [
        StudySummary(
            parent.study,
            parent.tags.get("tracker.state", "running"),
            parent.started_at_ms / 1000,
            parent.tags.get("tracker.workload", ""),
        )
        for parent in _store(tracking_uri).parents()
    ]


def imported_from(tracking_uri: str, study: str) -> str:
    """Where a study was imported from; "" for one that was run here. Raises StoreError."""
    named = (parent for parent in _store(tracking_uri).parents() if parent.study == study)
    return next((parent.tags.get(IMPORTED, "") for parent in named), "")


class ImportedRun(NamedTuple):
    """A run that was imported: its id here, the number of its trial, and the version that its source had then."""

    run_id: str
    trial: int
    version: str


def imported_runs(tracking_uri: str, study: str) -> tuple[QualityMetric, dict[str, ImportedRun]]:
    """The quality of an imported study, and its runs by their ids in the source. Raises StoreError."""
    store = _store(tracking_uri)
    tags = next(parent.tags for parent in store.parents() if parent.study == study)
    quality = QualityMetric(tags["tracker.quality"], Direction(tags["tracker.direction"]))
    versions, trials = store.texts_of(study, SOURCE_VERSION), store.texts_of(study, "tracker.trial")
    return quality, {
        run: ImportedRun(run_id, int(trials[run_id]), versions.get(run_id, ""))
        for run_id, run in store.texts_of(study, SOURCE_RUN).items()
    }


def find_study(tracking_uri: str, study: str) -> list[FoundExperiment]:
    """Where an MLflow store has a study, or had it: SqlReader.find_study. Raises StoreError."""
    return _store(tracking_uri).find_study(study)


def find_experiment(tracking_uri: str, study: str) -> str:
    """The id of the MLflow experiment of a study's name. Raises StudyNotFoundError, StoreError."""
    return _store(tracking_uri).experiment_id(study)


class StudyReader:
    """Reads one study, again and again: what does not change any more is read once.

    ``store`` is the address of an MLflow store, or another source of studies. What is read of an MLflow store is kept
    below the folder ``cache`` for the next process; None keeps nothing. ``home`` is what the tables say of where the
    study lives.
    """

    def __init__(self, store: str | Source, study: str, cache: Path | None = None, home: Path | None = None) -> None:
        self._store = store
        self._home = home
        self._study = study
        self._folder = cache_folder(cache, store, study) if cache is not None and isinstance(store, str) else None
        self._last: tuple[RunIndex, StudyTable] | None = None

    def read(self) -> StudyTable:
        """The study as it is now; the same table as the last time where nothing has changed.

        Raises StudyNotFoundError (naming the nearest ones), StoreError.
        """
        store = _store(self._store) if isinstance(self._store, str) else self._store
        try:
            index = store.index(self._study, None if self._last is None else self._last[0])
        except StudyNotFoundError:
            if self._folder is not None:
                forget(self._folder)
            names = [parent.study for parent in store.parents()]
            raise StudyNotFoundError(f"there is no study '{self._study}'; {did_you_mean(self._study, names)}") from None
        if self._last is not None and index.is_same_as(self._last[0]):
            return self._last[1]
        table = replace(_study_table(index.parent, CachedStudy(store, index, self._folder)), home=self._home)
        self._last = index, table
        return table


def read_study_table(tracking_uri: str, study: str, cache: Path | None = None) -> StudyTable:
    """One study as tables, read once; see StudyReader."""
    return StudyReader(tracking_uri, study, cache).read()


def _study_table(parent: ParentRun, cached: CachedStudy) -> StudyTable:
    tags: dict[str, Any] = dict(parent.tags)
    quality = QualityMetric(tags["tracker.quality"], Direction(tags["tracker.direction"]))
    budget, country = tags.get("tracker.budget_usd"), tags.get("tracker.country", "")
    terms = CostTerms(**json.loads(tags.get("tracker.costs", "{}")))
    frames = RunFrames(cached)
    reached = CheckpointFrames(cached, frames, quality)
    runs = frames.runs(reached.last_quality(), country, terms)
    checkpoints = reached.checkpoints(runs)
    return StudyTable(
        study=parent.study,
        quality=quality,
        budget_usd=float(budget) if budget else None,
        price_book=tags.get("tracker.price_book", ""),
        state=tags.get("tracker.state", "running"),
        runs=runs,
        settings=frames.settings(),
        summary=frames.summary(),
        checkpoints=checkpoints,
        metrics=CheckpointMetrics(reached.names, reached.metric),
        attempts=several_attempts(cached, runs, checkpoints),
        limits=tuple(Limit(**limit) for limit in json.loads(tags.get("tracker.limits", "[]"))),
        terms=terms,
        country=country,
        prices_file=tags.get("tracker.prices", ""),
        data=tags.get("tracker.data_description", ""),
        provenance={name: tags[f"tracker.{name}"] for name in PROVENANCE if tags.get(f"tracker.{name}")},
        tags=json.loads(tags.get("tracker.tags", "{}")),
        user=tags.get("mlflow.user", ""),
        origin=tags.get(IMPORTED, ""),
    )


def _store(tracking_uri: str) -> _Store:
    if tracking_uri.startswith(("http://", "https://")):
        # Only a server needs MLflow's client, whose import takes two seconds.
        module = importlib.import_module("tracker.store.mlflow_store")
        server: _Store = module.MlflowStore(tracking_uri)
        return server
    return SqlReader(tracking_uri)
