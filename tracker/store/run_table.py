"""Records as tables: what every reader of a study (frontier, report, dashboard) starts from.

Read from the MLflow store, which is the one place where a finished study is kept. A database is read
straight from its tables (a hundred times quicker than through MLflow's client, and without importing
MLflow); an MLflow server is asked through its client.
"""

from __future__ import annotations

import importlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pandas as pd

from tracker.errors import StudyNotFoundError, did_you_mean
from tracker.pricing.cost import DEFAULT_TERMS, RateColumns, UsageColumns, price_parts
from tracker.pricing.currency import USD, ExchangeRate
from tracker.pricing.energy import JOULES_PER_KWH, co2_grams, country_of
from tracker.pricing.price_point import price_point_from_row
from tracker.pricing.scenario import Scenario
from tracker.records import STEADY_USAGE, CostPart, Direction, QualityMetric, SettingValue
from tracker.store.logged_run import FoundExperiment, LoggedRun, Measurement
from tracker.store.names import own_names
from tracker.store.sql_reader import SqlReader
from tracker.study.costs import CostTerms
from tracker.study.spec import Limit

RUN_COLUMNS = (
    *("run_id", "role", "trial", "label", "state", "reason", "message", "attempts", "quality", "price_usd"),
    *("wall_seconds", "sku", "market", "usd_per_hour", "price_source", "price_date", "hardware"),
    *("energy_source", "busy", "started_at", "settings", "summary"),
    *("region", "price_basis", "data_usd", "compute_usd", "storage_usd", "maintenance_usd"),
    *("billed_seconds", "machine_share", "cores", "accelerators", "peak_memory_bytes", "startup_seconds"),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
    *("energy_joules", "energy_kwh", "co2_grams"),
)
CHECKPOINT_COLUMNS = (
    *("run_id", "role", "trial", "label", "epoch", "quality", "price_usd", "wall_seconds"),
    *("energy_joules", "timestamp", "metrics", "peak_memory_bytes", "startup_seconds"),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
)
_PARTS_USD = tuple(f"{part}_usd" for part in CostPart)
_NOT_SUMMARY = (
    *("price_usd", "wall_seconds", "energy_joules", "billed_seconds", "machine_share", *_PARTS_USD),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
)


@dataclass(frozen=True)
class StudyTable:
    """One study as two tables.

    ``runs``: one row a run: run_id, role (trial, baseline, preparation, repeat), trial (its number, of a repeat
    that of the trial which it repeats; -1 for the other roles), label, state, reason, message, attempts, quality
    (its last checkpoint's; NaN without one), price_usd (all its attempts), wall_seconds, sku, market,
    usd_per_hour, price_source, price_date, hardware, energy_source, busy (measured on a busy machine), started_at
    (seconds since 1970), settings (dict), summary (dict: test_accuracy, parameters, flops, …); region;
    price_basis ("billed": the price that was counted; "repriced": the same usage at other rates; "predicted": a
    usage that nobody measured); the price's parts data_usd, compute_usd, storage_usd, maintenance_usd; what
    compute was billed for: billed_seconds × machine_share at usd_per_hour; the usage (records.Usage) that prices
    depend on; energy_joules, energy_kwh and co2_grams (NaN where unavailable); and price_point, the machine and
    its rate as a price table's row in JSON.

    ``checkpoints``: one row a checkpoint: run_id, role, trial, label, epoch, quality, price_usd and
    wall_seconds (both cumulative over the trial's attempts), energy_joules (NaN where unavailable),
    timestamp, metrics (dict), and the usage that its price depends on.

    ``limits`` are what a checkpoint's metrics must keep to, to be on the frontier.
    ``terms`` are the study's assumptions about costs, ``prices_file`` its file of rates of its own ("" without
    one), ``country`` where its electricity is from ("" for each region's own); ``scenario`` is what the prices
    were changed by, None where they are those that were billed.
    ``currency`` is what people are shown amounts in; the tables are in USD. ``data`` says what was made of the study's
    data; "" where the workload did not tell.
    """

    study: str
    quality: QualityMetric
    budget_usd: float | None
    price_book: str
    state: str
    runs: pd.DataFrame
    checkpoints: pd.DataFrame
    limits: tuple[Limit, ...] = ()
    terms: CostTerms = DEFAULT_TERMS
    prices_file: str = ""
    country: str = ""
    scenario: Scenario | None = None
    currency: ExchangeRate = USD
    data: str = ""

    @property
    def spend_usd(self) -> float:
        """All that the study has cost: every attempt of every run, failed and killed ones too."""
        return float(self.runs["price_usd"].sum())


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study in a list of studies; ``started_at`` in seconds since 1970."""

    name: str
    state: str
    started_at: float


class _Reader(Protocol):
    def studies(self) -> list[tuple[str, list[LoggedRun]]]: ...
    def read_study(self, name: str) -> list[LoggedRun]: ...
    def find_study(self, name: str) -> list[FoundExperiment]: ...


def list_studies(tracking_uri: str) -> list[StudySummary]:
    """Every study in an MLflow store, newest first. Raises StoreError."""
    summaries = [
        StudySummary(name, parent.tags.get("tracker.state", "running"), parent.started_at_ms / 1000)
        for name, (parent, *_) in _reader(tracking_uri).studies()
    ]
    return sorted(summaries, key=lambda summary: -summary.started_at)


def find_study(tracking_uri: str, study: str) -> list[FoundExperiment]:
    """Where an MLflow store has a study, or had it: SqlReader.find_study. Raises StoreError."""
    return _reader(tracking_uri).find_study(study)


def read_study_table(tracking_uri: str, study: str) -> StudyTable:
    """One study as tables. Raises StudyNotFoundError (naming the nearest ones), StoreError."""
    reader = _reader(tracking_uri)
    try:
        runs = reader.read_study(study)
    except StudyNotFoundError:
        runs = []
    parent = next((run for run in runs if run.tags.get("tracker.role") == "study"), None)
    if parent is None:
        names = [name for name, _ in reader.studies()]
        raise StudyNotFoundError(f"there is no study '{study}'; {did_you_mean(study, names)}")
    quality = QualityMetric(parent.tags["tracker.quality"], Direction(parent.tags["tracker.direction"]))
    budget, country = parent.tags.get("tracker.budget_usd"), parent.tags.get("tracker.country", "")
    terms = CostTerms(**json.loads(parent.tags.get("tracker.costs", "{}")))
    nested = sorted((_by_own_names(run) for run in runs if run is not parent), key=lambda run: run.started_at_ms)
    rows = [_run_row(run, quality, country, terms) for run in nested]
    checkpoints = [row for run in nested for row in _checkpoint_rows(run, quality)]
    return StudyTable(
        study=study,
        quality=quality,
        budget_usd=float(budget) if budget else None,
        price_book=parent.tags.get("tracker.price_book", ""),
        state=parent.tags.get("tracker.state", "running"),
        runs=pd.DataFrame(rows, columns=[*RUN_COLUMNS, "price_point"]),
        checkpoints=pd.DataFrame(checkpoints, columns=list(CHECKPOINT_COLUMNS)),
        limits=tuple(Limit(**limit) for limit in json.loads(parent.tags.get("tracker.limits", "[]"))),
        terms=terms,
        country=country,
        prices_file=parent.tags.get("tracker.prices", ""),
        data=parent.tags.get("tracker.data_description", ""),
    )


def _by_own_names(run: LoggedRun) -> LoggedRun:
    """A run whose metrics and settings have the names that they were reported under, whatever they are logged as."""
    names = own_names(run.tags)
    if not names:
        return run
    params = {names.get(name, name): value for name, value in run.params.items()}
    measurements = [each._replace(name=names.get(each.name, each.name)) for each in run.measurements]
    return replace(run, params=params, measurements=measurements)


def _reader(tracking_uri: str) -> _Reader:
    if tracking_uri.startswith(("http://", "https://")):
        # Only a server needs MLflow's client, whose import takes two seconds.
        module = importlib.import_module("tracker.store.mlflow_store")
        server: _Reader = module.MlflowStore(tracking_uri)
        return server
    return SqlReader(tracking_uri)


def _identity(run: LoggedRun) -> dict[str, Any]:
    trial = run.tags.get("tracker.repeats") or run.tags.get("tracker.trial", "")
    return {
        "run_id": run.run_id,
        "role": run.tags.get("tracker.role", ""),
        "trial": int(trial) if trial.isdigit() else -1,
        "label": run.tags.get("mlflow.runName", run.run_id),
    }


def _run_row(run: LoggedRun, quality: QualityMetric, country: str, terms: CostTerms) -> dict[str, Any]:
    final: dict[str, Measurement] = {}
    for measurement in run.measurements:
        if measurement.name not in final or measurement[1:3] >= final[measurement.name][1:3]:
            final[measurement.name] = measurement
    values = {name: measurement.value for name, measurement in final.items()}
    tag, kwh = run.tags.get, values.get("energy_joules", math.nan) / JOULES_PER_KWH
    return _identity(run) | {
        "state": tag("tracker.state", "running"),
        "reason": tag("tracker.reason", ""),
        "message": tag("tracker.message", ""),
        "attempts": int(tag("tracker.attempts", "1")),
        "quality": values.get(quality.name, math.nan),
        "price_usd": values.get("price_usd", 0.0),
        "wall_seconds": values.get("wall_seconds", 0.0),
        "sku": tag("tracker.sku", ""),
        "market": tag("tracker.market", ""),
        "usd_per_hour": float(tag("tracker.usd_per_hour", "nan")),
        "price_source": tag("tracker.price_source", ""),
        "price_date": tag("tracker.price_date", ""),
        "hardware": tag("tracker.hardware", ""),
        "energy_source": tag("tracker.energy_source", "unavailable"),
        "busy": tag("tracker.busy", "false") == "true",
        "started_at": run.started_at_ms / 1000,
        "settings": {name: _setting(text) for name, text in run.params.items()},
        "summary": {name: value for name, value in values.items() if name not in _NOT_SUMMARY},
        "region": tag("tracker.region", ""),
        "price_basis": "billed",
        **_parts_usd(values, run.tags, terms),
        "billed_seconds": values.get("billed_seconds", math.nan),
        "machine_share": values.get("machine_share", math.nan),
        "cores": int(tag("tracker.cores", "0")),
        "accelerators": int(tag("tracker.accelerators", "0")),
        **{name: values.get(name, 0.0) for name in STEADY_USAGE},
        "energy_joules": values.get("energy_joules", math.nan),
        "energy_kwh": kwh,
        "co2_grams": carbon_grams(kwh, tag("tracker.sku", ""), tag("tracker.region", ""), country),
        "price_point": tag("tracker.price_point", ""),
    }


def _parts_usd(values: Mapping[str, float], tags: Mapping[str, str], terms: CostTerms) -> dict[str, float]:
    """The parts of a run's price: as they were logged, or as long as it runs, worked out from what it has used."""
    if "compute_usd" not in values and "tracker.price_point" in tags:
        usage = UsageColumns(
            wall_seconds=values.get("wall_seconds", 0.0),
            cores=float(tags.get("tracker.cores", "0")),
            accelerators=float(tags.get("tracker.accelerators", "0")),
            **{name: values.get(name, 0.0) for name in STEADY_USAGE},
        )
        point = price_point_from_row(json.loads(tags["tracker.price_point"]), "")
        parts = price_parts(usage, RateColumns.of(point), terms)
        return {f"{part}_usd": float(getattr(parts, part)) for part in CostPart}
    # A run that was logged before prices had parts has its whole price in compute.
    unsaid = {"compute_usd": values.get("price_usd", 0.0)}
    return {part: values.get(part, unsaid.get(part, 0.0)) for part in _PARTS_USD}


def carbon_grams(kwh: float, sku: str, region: str, country: str) -> float:
    """Grams of CO2-equivalent of some electricity; NaN where it, or where it is from, is not known.

    It is from ``country``, or "" being unsaid from that of the SKU's region.
    """
    country = country or country_of(sku.partition("/")[0], region) or ""
    return co2_grams(kwh, country) if country and math.isfinite(kwh) else math.nan


def _checkpoint_rows(run: LoggedRun, quality: QualityMetric) -> list[dict[str, Any]]:
    """A step is a checkpoint when it has a quality; the step after the last one holds the run's end."""
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    times: dict[int, float] = {}
    # Where a step was reached twice (a pause whose state was lost), the later, dearer time counts.
    for name, step, timestamp_ms, value in sorted(run.measurements, key=lambda each: each.timestamp_ms):
        steps[step][name] = value
        if name == quality.name:
            times[step] = timestamp_ms / 1000
    usage: dict[int, dict[str, float]] = {}
    known = dict.fromkeys(STEADY_USAGE, 0.0)
    for step in sorted(times):
        known = {name: steps[step].get(name, before) for name, before in known.items()}
        usage[step] = known
    return [
        _identity(run)
        | {
            "epoch": step,
            "quality": steps[step][quality.name],
            "price_usd": steps[step].get("price_usd", math.nan),
            "wall_seconds": steps[step].get("wall_seconds", math.nan),
            "energy_joules": steps[step].get("energy_joules", math.nan),
            "timestamp": times[step],
            "metrics": steps[step],
            **usage[step],
        }
        for step in sorted(times)
    ]


def _setting(text: str) -> SettingValue:
    """A setting from MLflow's text: a number or a truth value where it reads as one."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
