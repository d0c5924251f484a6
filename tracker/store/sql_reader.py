"""Reads MLflow's tables straight from its database, without importing MLflow.

Measured by others and by us, MLflow's own client takes about a millisecond for every metric of every
run; this takes the same for a thousand. The tables are MLflow 3's (mlflow/store/tracking/dbmodels).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.databases.addresses import shown_url
from tracker.errors import StudyNotFoundError
from tracker.store.columns import Details, History, ParentRun, Positions, RunIndex, run_key
from tracker.store.database import Database, Rows, many_rows, opened
from tracker.store.found import FoundExperiment, FoundRun, found_experiment

_RUNS_AT_ONCE = 400
"""How many runs a query names."""
_MOST = 3
"""Where every third run that a table has rows of is wanted, reading the whole table is quicker than looking them up."""
_TRUSTED_SECONDS = 60.0
"""How long an index is brought up to date by what has changed, before it is read as a whole again."""
# Parents alone have a direction: there are as many roles as runs.
_PARENTS = """
select e.name, r.run_uuid, r.start_time, t.key, t.value from tags own
join runs r on r.run_uuid = own.run_uuid join experiments e on e.experiment_id = r.experiment_id
join tags t on t.run_uuid = r.run_uuid
where own.key = 'tracker.direction' and r.lifecycle_stage = 'active' and e.lifecycle_stage = 'active'
"""
_OF_STUDY = "r.experiment_id = :experiment and r.lifecycle_stage = 'active' and r.run_uuid <> :parent"
_INDEX = f"""
select r.run_uuid, r.start_time, r.status, r.end_time, state.value, r.name from runs r
left join tags state on r.status = 'SCHEDULED' and state.run_uuid = r.run_uuid and state.key = 'tracker.state'
where {_OF_STUDY} and {{chosen}}
order by r.start_time, length(r.name), r.name
"""
_SETTLED_STATUS = ("FINISHED", "FAILED", "KILLED")
_SETTLED = f"(r.status in {_SETTLED_STATUS} and r.end_time > 0)"
_SUMS = f"""
select count(*), sum(r.start_time - :began), sum(r.end_time - :began), sum(length(r.name)),
sum(case when r.status = 'FAILED' then 1 else 0 end), sum(case when r.status = 'KILLED' then 1 else 0 end)
from runs r where {_OF_STUDY} and {_SETTLED}
"""
_OF_EXPERIMENT = "run_uuid in (select run_uuid from runs where experiment_id = :experiment)"
_TAGS = (
    "select run_uuid, key, value from tags where (key like 'tracker.%' or key in ('mlflow.runName', 'mlflow.user'))"
    " and key not in ('tracker.study', 'tracker.data', 'tracker.commit', 'tracker.price_book') and {chosen}"
)
_PARAMS = "select run_uuid, key, value from params where {chosen}"
_FINALS = "select run_uuid, key, value, is_nan from latest_metrics where {chosen}"
_HISTORY = "select run_uuid, step, timestamp, value, is_nan from metrics where {of_metric} and {chosen}"
_OF_METRIC = "key = :metric"
_OF_METRIC_OF_FEW = "coalesce(key, '') = :metric"
"""The same, in words that keep SQLite from going through all values of the metric to find those of a few runs."""
_BESIDE = f"""
select distinct key from metrics where {{chosen}} and not is_nan and (run_uuid, step) in
(select run_uuid, step from metrics where {{chosen}} and not is_nan and {_OF_METRIC_OF_FEW})
"""


@dataclass(frozen=True, slots=True)
class SqlIndex(RunIndex):
    """An index with what is needed to bring it up to date.

    ``settled`` [runs] says which runs have ended for good, ``sums`` is what _SUMS finds of these, ``last_end_ms`` is
    when the last of them ended, and ``whole_at`` when the index was last read as a whole, by time.monotonic.
    """

    settled: NDArray[np.bool_]
    sums: tuple[int, ...]
    last_end_ms: int
    whole_at: float

    @classmethod
    def of(cls, parent: ParentRun, rows: Rows) -> SqlIndex:
        """The index of these rows of _INDEX."""
        settled = np.array([_is_settled(row) for row in rows], dtype=np.bool_)
        return cls(
            parent,
            np.array([row[0] for row in rows], dtype=object),
            np.array([row[1] or 0 for row in rows], dtype=np.int64),
            np.array([run_key(*row) for row in rows], dtype=object),
            settled,
            _sums(parent, rows),
            max((row[3] for row in rows if _is_settled(row)), default=0),
            time.monotonic(),
        )

    def is_trusted(self, parent: ParentRun) -> bool:
        """Whether it may be brought up to date: it is of this study, and was read as a whole not long ago."""
        return self.parent.run_id == parent.run_id and time.monotonic() - self.whole_at < _TRUSTED_SECONDS

    def with_runs(self, changed: SqlIndex) -> SqlIndex:
        """The settled runs of this index, and those of another, by their start."""
        starts = self.started_at_ms[self.settled]
        places = np.searchsorted(starts, changed.started_at_ms, side="right")

        def both(name: str) -> Any:
            return np.insert(getattr(self, name)[self.settled], places, getattr(changed, name))

        return SqlIndex(
            changed.parent,
            both("run_ids"),
            both("started_at_ms"),
            both("keys"),
            both("settled"),
            tuple(map(sum, zip(self.sums, changed.sums, strict=True))),
            max(self.last_end_ms, changed.last_end_ms),
            self.whole_at,
        )


class SqlReader:
    """One MLflow database, by its SQLAlchemy URL: a ``columns.Source``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def parents(self) -> list[ParentRun]:
        """Every study's name with its parent run, newest first; none where there is no database yet."""
        with opened(self._url) as database:
            return [] if database is None else _parents(database.rows(_PARENTS, {}))

    def index(self, study: str, earlier: RunIndex | None = None) -> RunIndex:
        """The runs of a study. Raises StudyNotFoundError, StoreError.

        Of ``earlier`` those runs are kept that ended for good, where counts and sums say that they are the same.
        """
        with opened(self._url) as database:
            found = (
                [] if database is None else _parents(database.rows(f"{_PARENTS} and e.name = :name", {"name": study}))
            )
            if database is None or not found:
                raise StudyNotFoundError(f"there is no study '{study}' in '{shown_url(self._url)}'")
            parent, place = found[0], {"experiment": _experiments(database, study)[0], "parent": found[0].run_id}
            if isinstance(earlier, SqlIndex) and earlier.is_trusted(parent):
                sums = database.rows(_SUMS, {**place, "began": parent.started_at_ms})[0]
                changed = f"(not {_SETTLED} or r.end_time is null or r.end_time > :after)"
                rows = database.rows(_INDEX.format(chosen=changed), {**place, "after": earlier.last_end_ms})
                index = earlier.with_runs(SqlIndex.of(parent, rows))
                if index.sums == tuple(int(each or 0) for each in sums):
                    return index
            with many_rows():
                rows = [row for chunk in database.chunks(_INDEX.format(chosen="1 = 1"), place) for row in chunk]
                return SqlIndex.of(parent, rows)

    def details(self, index: RunIndex, chosen: Positions) -> Details:
        """Tags that this package sets, params, and the last values of metrics, of the runs at ``chosen``."""
        positions = {index.run_ids[at]: int(at) for at in chosen}
        details = Details()
        with many_rows(), opened(self._url) as database:
            for query, entries in ((_TAGS, details.tags), (_PARAMS, details.params)):
                for rows in _of_runs(database, query, index, chosen):
                    runs, names, values = zip(*rows, strict=True)
                    entries.add([positions.get(run, -1) for run in runs], names, values)
            for rows in _of_runs(database, _FINALS, index, chosen):
                runs, names, values, nans = zip(*rows, strict=True)
                numbers = np.where(np.array(nans, dtype=np.bool_), np.nan, np.array(values, dtype=np.float64))
                details.finals.add([positions.get(run, -1) for run in runs], names, numbers)
        return details

    def history(self, index: RunIndex, metric: str, chosen: Positions) -> History:
        """All values of a metric but NaN, of the runs at ``chosen``."""
        positions = {index.run_ids[at]: int(at) for at in chosen}
        parts = []
        with many_rows(), opened(self._url) as database:
            for rows in _of_runs(database, _HISTORY, index, chosen, {"metric": metric}):
                ids, steps, times, values, nans = zip(*rows, strict=True)
                runs = np.fromiter(map(positions.get, ids, repeat(-1)), np.int64, len(ids))
                kept = (runs >= 0) & ~np.array(nans, dtype=np.bool_)
                found = History(
                    runs, np.array(steps, np.int64), np.array(times, np.int64), np.array(values, np.float64)
                )
                parts.append(found if kept.all() else found.at(kept))
        return History.joined(parts)

    def metrics_beside(self, index: RunIndex, metric: str, chosen: Positions) -> set[str]:
        """The metrics that any of a few runs has at a step at which it has ``metric``."""
        found: set[str] = set()
        with opened(self._url) as database:
            if database is None:
                return found
            for named, runs in _named(index, chosen):
                found.update(row[0] for row in database.rows(_BESIDE.format(chosen=named), {**runs, "metric": metric}))
        return found

    def experiment_id(self, study: str) -> str:
        """The id of the experiment of a study's name. Raises StudyNotFoundError, StoreError."""
        with opened(self._url) as database:
            found = [] if database is None else _experiments(database, study)
        if not found:
            raise StudyNotFoundError(f"there is no study '{study}' in '{shown_url(self._url)}'")
        return str(found[0])

    def texts_of(self, study: str, tag: str) -> dict[str, str]:
        """A tag of a study's runs by their ids; of those that have it. Raises StoreError."""
        query = f"select run_uuid, value from tags where key = :tag and {_OF_EXPERIMENT}"
        with opened(self._url) as database:
            places = [] if database is None else _experiments(database, study)
            if database is None or not places:
                return {}
            return {row[0]: row[1] or "" for row in database.rows(query, {"tag": tag, "experiment": places[0]})}

    def find_study(self, name: str) -> list[FoundExperiment]:
        """The experiment of a study's name first, then those of other names that have runs of it; deleted ones too.

        Raises StoreError.
        """
        with opened(self._url) as database:
            if database is None:
                return []
            experiments = database.rows(
                "select experiment_id, name, lifecycle_stage from experiments where name = :name or experiment_id in"
                " (select r.experiment_id from runs r join tags t on t.run_uuid = r.run_uuid"
                " where t.key = 'tracker.study' and t.value = :name)",
                {"name": name},
            )
            query = (
                "select r.run_uuid, r.lifecycle_stage, study.value, role.value from runs r"
                " left join tags study on study.run_uuid = r.run_uuid and study.key = 'tracker.study'"
                " left join tags role on role.run_uuid = r.run_uuid and role.key = 'tracker.role'"
                " where r.experiment_id = :experiment"
            )
            found = []
            for experiment_id, title, stage in experiments:
                rows = database.rows(query, {"experiment": experiment_id})
                runs = [FoundRun(run, kept != "active", text or "", part or "") for run, kept, text, part in rows]
                found.append(found_experiment(str(experiment_id), title, stage != "active", name, runs))
        return sorted(found, key=lambda each: each.name != name)


def _is_settled(row: Sequence[Any]) -> bool:
    """Whether the run in a row of _INDEX has ended for good: as _SETTLED."""
    return row[2] in _SETTLED_STATUS and bool(row[3])


def _sums(parent: ParentRun, rows: Rows) -> tuple[int, ...]:
    """What _SUMS finds of these rows of _INDEX."""
    settled = [row for row in rows if _is_settled(row)]
    began = parent.started_at_ms
    return (
        len(settled),
        sum(row[1] - began for row in settled if row[1] is not None),
        sum(row[3] - began for row in settled),
        sum(len(row[5]) for row in settled if row[5] is not None),
        sum(row[2] == "FAILED" for row in settled),
        sum(row[2] == "KILLED" for row in settled),
    )


def _parents(rows: Rows) -> list[ParentRun]:
    """Parent runs from one row for each of the tags of what may be one."""
    tags: dict[tuple[str, str, int], dict[str, str]] = {}
    for name, run_id, started, key, value in rows:
        tags.setdefault((name, run_id, started or 0), {})[key] = value
    found = [ParentRun(*identity, known) for identity, known in tags.items() if known.get("tracker.role") == "study"]
    return sorted(found, key=lambda parent: -parent.started_at_ms)


def _experiments(database: Database, study: str) -> list[int]:
    """The experiment of a study's name; none where there is none, or it was deleted."""
    query = "select experiment_id from experiments where name = :name and lifecycle_stage = 'active'"
    return [int(row[0]) for row in database.rows(query, {"name": study})]


def _of_runs(
    database: Database | None, query: str, index: RunIndex, chosen: Positions, more: Mapping[str, Any] | None = None
) -> Iterator[Rows]:
    """The rows of the chosen runs, or of all where they are many; none where the database has gone meanwhile."""
    if database is None or not len(chosen):
        return
    more = more or {}
    runs_in_store = int(database.rows("select count(*) from runs", {})[0][0])
    if _MOST * len(chosen) > runs_in_store:
        yield from database.chunks(query.format(chosen="1 = 1", of_metric=_OF_METRIC), more)
        return
    if _MOST * len(chosen) > len(index.run_ids) > _RUNS_AT_ONCE:
        place = {"experiment": _experiments(database, index.parent.study)[0]}
        yield from database.chunks(query.format(chosen=_OF_EXPERIMENT, of_metric=_OF_METRIC), {**more, **place})
        return
    for named, runs in _named(index, chosen):
        yield from database.chunks(query.format(chosen=named, of_metric=_OF_METRIC_OF_FEW), {**more, **runs})


def _named(index: RunIndex, chosen: Positions) -> Iterator[tuple[str, dict[str, Any]]]:
    """A condition that names the chosen runs, and its parameters, for as many as a query takes at once."""
    for begin in range(0, len(chosen), _RUNS_AT_ONCE):
        runs = {f"run{at}": index.run_ids[run] for at, run in enumerate(chosen[begin : begin + _RUNS_AT_ONCE])}
        yield f"run_uuid in ({', '.join(f':{name}' for name in runs)})", runs
