"""Runs of the past made into a study's tables: their checkpoints priced by time × rate."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import RequestError
from tracker.imports.clock import LeftOut
from tracker.imports.machines import Billed, Machines
from tracker.imports.past_runs import PastRuns
from tracker.imports.reached import Logged, Reached, by_own_seconds, reached
from tracker.pricing.cost import Parts, RateColumns, UsageColumns, price_parts
from tracker.records import (
    BOOKED_METRICS,
    STEADY_USAGE,
    CostPart,
    PriceBasis,
    QualityMetric,
    Role,
    Settings,
    TrialState,
)
from tracker.store.run_table import CHECKPOINT_COLUMNS, RUN_COLUMNS, CheckpointMetrics, StudyTable


@dataclass
class PastStudy:
    """Collects runs of the past, as they are read, and makes them a StudyTable.

    ``seconds_metric`` is one that runs logged their seconds as, "" for the time by their timestamps.
    ``longest_pause_seconds`` as in imports.clock.
    """

    quality: QualityMetric
    machines: Machines
    longest_pause_seconds: float | None = None
    seconds_metric: str = ""
    left_out: list[tuple[str, LeftOut]] = field(default_factory=list)
    """The times that do not count, each with the name of its run."""
    notes: Counter[str] = field(default_factory=Counter)
    """What else was found, and of how many runs."""
    ids: list[str] = field(default_factory=list)
    _rows: list[dict[Any, Any]] = field(default_factory=list)
    _settings: list[Settings] = field(default_factory=list)
    _reached: list[Reached] = field(default_factory=list)
    _billed: list[Billed] = field(default_factory=list)

    def add(self, past: PastRuns) -> None:
        """Price some runs. Raises RequestError and PriceBookError where one cannot be."""
        for at, (row, logged) in enumerate(zip(past.runs.to_dict("records"), _by_run(past), strict=True)):
            found = reached(logged, self.quality.name, row["started_at"], row["ended_at"], self.longest_pause_seconds)
            found = by_own_seconds(found, self.seconds_metric) if self.seconds_metric else found
            day = datetime.fromtimestamp(found.started_at, UTC).date()
            billed = self.machines.billed(
                row["name"], past.settings[at], past.tags[at], row["user"], past.accelerators[at], day
            )
            if billed is None:
                raise RequestError(
                    f"run '{row['name']}' has no machine: give --sku, or an entry of --map that suits it"
                )
            self._note(row, found)
            self.ids.append(row["id"])
            self._rows.append({**dict(row), "message": _message(row["message"], found)})
            self._settings.append(past.settings[at])
            self._reached.append(found)
            self._billed.append(billed)

    def _note(self, row: Mapping[Any, Any], found: Reached) -> None:
        self.left_out += [(row["name"], each) for each in found.left_out]
        if found.falling:
            self.notes["have values at a step that did not rise: such a value is no checkpoint"] += 1
        if found.set_back_seconds:
            self.notes["had their clock set back while they ran: that time is put right"] += 1
        if found.without_timestamps:
            self.notes[f"have no timestamps of '{self.quality.name}': one price point each, at their end"] += 1
        if not len(found.epochs):
            self.notes[f"never logged '{self.quality.name}': they count as spend alone"] += 1
        if not found.wall_seconds:
            self.notes["have no duration: their first and their last timestamp are the same"] += 1

    def table(self, study: str, book_version: str, trials: Sequence[int]) -> StudyTable:
        """The study's tables as a coordinator would have logged them; ``trials`` are the numbers of its trials."""
        of_run = np.repeat(np.arange(len(self._reached)), self._lengths)
        quality = self._at_checkpoints(self.quality.name)
        last = np.full(len(self._reached), math.nan)
        last[of_run] = quality
        runs = self._runs(trials).assign(quality=last)
        return StudyTable(
            study=study,
            quality=self.quality,
            budget_usd=None,
            price_book=book_version,
            state=TrialState.COMPLETED,
            runs=runs[[*RUN_COLUMNS, "price_point"]],
            settings=pd.DataFrame(self._settings, dtype=object).map(_none_for_nan),
            summary=pd.DataFrame([_own(each.last) for each in self._reached], dtype=np.float64),
            checkpoints=self._checkpoints(runs, of_run).assign(quality=quality)[list(CHECKPOINT_COLUMNS)],
            metrics=CheckpointMetrics.of({name: self._at_checkpoints(name) for name in self._metric_names()}),
        )

    @property
    def _lengths(self) -> NDArray[np.int64]:
        """How many checkpoints each run has."""
        return np.array([len(each.epochs) for each in self._reached], dtype=np.int64)

    def _runs(self, trials: Sequence[int]) -> pd.DataFrame:
        """The runs' columns of a StudyTable but their quality."""
        rows, points = pd.DataFrame(self._rows), [each.point for each in self._billed]
        wall_seconds = np.array([each.wall_seconds for each in self._reached])
        parts = self._priced(wall_seconds, np.arange(len(points)))
        texts = {point: json.dumps(point.row, ensure_ascii=False) for point in set(points)}
        return pd.DataFrame(
            {
                "run_id": rows["id"],
                "role": str(Role.TRIAL),
                "trial": np.array(trials, dtype=np.int64),
                "label": rows["name"],
                **{name: rows[name] for name in ("state", "reason", "message", "user")},
                "attempts": 1,
                "price_usd": parts.usd,
                "wall_seconds": wall_seconds,
                "sku": [point.sku for point in points],
                "market": [str(point.market) for point in points],
                "region": [point.region for point in points],
                "usd_per_hour": [point.usd_per_hour for point in points],
                "price_source": [point.source for point in points],
                "price_date": [point.effective_from.isoformat() for point in points],
                "price_point": [texts[point] for point in points],
                "price_basis": str(PriceBasis.ESTIMATED),
                "hardware": [_hardware(each) for each in self._billed],
                "energy_source": "unavailable",
                "busy": False,
                "started_at": [each.started_at for each in self._reached],
                **{f"{part}_usd": np.broadcast_to(getattr(parts, part), len(points)) for part in CostPart},
                "billed_seconds": parts.billed_seconds,
                "machine_share": parts.share,
                "cores": [each.cores for each in self._billed],
                "accelerators": [each.accelerators for each in self._billed],
                **dict.fromkeys(STEADY_USAGE, 0.0),
                **dict.fromkeys(("energy_joules", "energy_kwh", "co2_grams"), math.nan),
            }
        )

    def _checkpoints(self, runs: pd.DataFrame, of_run: NDArray[np.int64]) -> pd.DataFrame:
        """The checkpoints' columns of a StudyTable but their quality; ``of_run`` are their rows in ``runs``."""
        elapsed = _joined([each.elapsed_seconds for each in self._reached])
        return pd.DataFrame(
            {
                "run": of_run,
                **{name: runs[name].to_numpy()[of_run] for name in ("run_id", "role", "trial", "label")},
                "epoch": _joined([each.epochs for each in self._reached]).astype(np.int64),
                "price_usd": self._priced(elapsed, of_run).usd,
                "wall_seconds": elapsed,
                "timestamp": _joined([each.timestamps for each in self._reached]),
            }
        )

    def _priced(self, wall_seconds: NDArray[np.float64], of_run: NDArray[np.int64]) -> Parts:
        """What these times cost at the rates of their runs."""
        rates = RateColumns.of_many([each.point for each in self._billed]).at(of_run)
        cores = np.array([each.cores for each in self._billed], dtype=np.float64)[of_run]
        accelerators = np.array([each.accelerators for each in self._billed], dtype=np.float64)[of_run]
        steady = dict.fromkeys(STEADY_USAGE, np.zeros_like(wall_seconds))
        usage = UsageColumns(wall_seconds=wall_seconds, cores=cores, accelerators=accelerators, **steady)
        return price_parts(usage, rates)

    def _metric_names(self) -> list[str]:
        """The metrics that checkpoints have, the quality first."""
        logged = (item for each in self._reached for item in _own(each.metrics).items())
        names = (name for name, values in logged if not np.isnan(values).all())
        return list(dict.fromkeys([self.quality.name, *names]))

    def _at_checkpoints(self, metric: str) -> NDArray[np.float64]:
        """A metric at the checkpoints of all runs, NaN where it was not logged."""
        return _joined([each.metrics.get(metric, np.full(len(each.epochs), math.nan)) for each in self._reached])


def _own(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics whose names the tracker does not use for what it measures itself."""
    return {name: value for name, value in metrics.items() if name not in BOOKED_METRICS}


def _by_run(past: PastRuns) -> Iterator[dict[str, Logged]]:
    """What each run logged of each metric, by time."""
    metrics, names = pd.factorize(past.values["metric"])
    run = past.values["run"].to_numpy(dtype=np.int64)
    steps = past.values["step"].to_numpy(dtype=np.int64)
    times = past.values["timestamp"].to_numpy(dtype=np.float64)
    order = np.lexsort((steps, times, metrics, run))
    run, metrics = run[order], metrics[order]
    every = Logged(steps[order], times[order], past.values["value"].to_numpy(dtype=np.float64)[order])
    groups = np.flatnonzero(np.append(True, (np.diff(run) != 0) | (np.diff(metrics) != 0))) if len(run) else run
    ends = np.append(groups[1:], len(run))
    found: list[dict[str, Logged]] = [{} for _ in range(len(past.runs))]
    for begin, end in zip(groups.tolist(), ends.tolist(), strict=False):
        found[run[begin]][str(names[metrics[begin]])] = every.at(slice(begin, end))
    return iter(found)


def _message(message: str, found: Reached) -> str:
    """A run's message, with how much of its time does not count."""
    seconds = sum(each.seconds for each in found.left_out)
    left_out = f"{seconds / 3600:,.1f} h without a value do not count" if seconds else ""
    return "; ".join(filter(None, [message, left_out]))


def _hardware(billed: Billed) -> str:
    if billed.accelerators:
        return f"{billed.accelerators} × {billed.point.accelerator}"
    return f"{billed.cores} vCPU"


def _joined(parts: Sequence[Any]) -> NDArray[np.float64]:
    joined: NDArray[np.float64] = np.concatenate([*parts, np.empty(0)])
    return joined


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
