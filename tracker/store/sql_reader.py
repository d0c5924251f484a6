"""Reads MLflow's tables straight from its database, without importing MLflow.

Measured by others and by us, MLflow's own client takes about a millisecond for every metric of every
run; this takes the same for a thousand. The tables are MLflow 3's (mlflow/store/tracking/dbmodels).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np

from tracker.errors import StudyNotFoundError
from tracker.store.columns import Details, History, ParentRun, Positions, RunIndex, run_key
from tracker.store.database import Database, Rows, many_rows, opened
from tracker.store.found import FoundExperiment, FoundRun, found_experiment

_RUNS_AT_ONCE = 400
"""How many runs a query names."""
_MOST = 3
"""Where every third run that a table has rows of is wanted, reading the whole table is quicker than looking them up."""
_ROLE = "join tags role on role.run_uuid = r.run_uuid and role.key = 'tracker.role'"
_PARENTS = f"""
select e.name, r.run_uuid, r.start_time, t.key, t.value from experiments e
join runs r on r.experiment_id = e.experiment_id {_ROLE} join tags t on t.run_uuid = r.run_uuid
where role.value = 'study' and r.lifecycle_stage = 'active' and e.lifecycle_stage = 'active'
"""
_INDEX = """
select r.run_uuid, r.start_time, r.status, r.end_time, state.value, r.name from runs r
left join tags state on r.status = 'SCHEDULED' and state.run_uuid = r.run_uuid and state.key = 'tracker.state'
where r.experiment_id = :experiment and r.lifecycle_stage = 'active' and r.run_uuid <> :parent
order by r.start_time, length(r.name), r.name
"""
_OF_EXPERIMENT = "run_uuid in (select run_uuid from runs where experiment_id = :experiment)"
_TAGS = (
    "select run_uuid, key, value from tags where (key like 'tracker.%' or key = 'mlflow.runName')"
    " and key not in ('tracker.study', 'tracker.data', 'tracker.commit', 'tracker.price_book') and {chosen}"
)
_PARAMS = "select run_uuid, key, value from params where {chosen}"
_FINALS = "select run_uuid, key, value, is_nan from latest_metrics where {chosen}"
_HISTORY = "select run_uuid, step, timestamp, value, is_nan from metrics where key = :metric and {chosen}"


class SqlReader:
    """One MLflow database, by its SQLAlchemy URL: a ``columns.Source``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def parents(self) -> list[ParentRun]:
        """Every study's name with its parent run, newest first; none where there is no database yet."""
        with opened(self._url) as database:
            return [] if database is None else _parents(database.rows(_PARENTS, {}))

    def index(self, study: str) -> RunIndex:
        """The runs of a study. Raises StudyNotFoundError, StoreError."""
        with opened(self._url) as database:
            found = (
                [] if database is None else _parents(database.rows(f"{_PARENTS} and e.name = :name", {"name": study}))
            )
            if database is None or not found:
                raise StudyNotFoundError(f"there is no study '{study}' in '{self._url}'")
            place = {"experiment": _experiment(database, study), "parent": found[0].run_id}
            with many_rows():
                rows = [row for chunk in database.chunks(_INDEX, place) for row in chunk]
        return RunIndex(
            found[0],
            np.array([row[0] for row in rows], dtype=object),
            np.array([row[1] or 0 for row in rows], dtype=np.int64),
            np.array([run_key(*row) for row in rows], dtype=object),
        )

    def details(self, index: RunIndex, chosen: Positions) -> Details:
        """Tags that this package sets, params, and the last values of metrics, of the runs at ``chosen``."""
        positions = {index.run_ids[at]: int(at) for at in chosen}
        details = Details()
        with many_rows(), opened(self._url) as database:
            for query, told in ((_TAGS, details.tags), (_PARAMS, details.params)):
                for rows in _of_runs(database, query, index, chosen):
                    runs, names, values = zip(*rows, strict=True)
                    told.add([positions.get(run, -1) for run in runs], names, values)
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


def _parents(rows: Rows) -> list[ParentRun]:
    """Parent runs from one row for each of their tags."""
    tags: dict[tuple[str, str, int], dict[str, str]] = {}
    for name, run_id, started, key, value in rows:
        tags.setdefault((name, run_id, started or 0), {})[key] = value
    found = [ParentRun(*identity, known) for identity, known in tags.items()]
    return sorted(found, key=lambda parent: -parent.started_at_ms)


def _experiment(database: Database, study: str) -> int:
    query = "select experiment_id from experiments where name = :name and lifecycle_stage = 'active'"
    return int(database.rows(query, {"name": study})[0][0])


def _of_runs(
    database: Database | None, query: str, index: RunIndex, chosen: Positions, more: Mapping[str, Any] | None = None
) -> Iterator[Rows]:
    """The rows of the chosen runs, or of all where they are many; none where the database has gone meanwhile."""
    if database is None or not len(chosen):
        return
    more = more or {}
    runs_in_store = int(database.rows("select count(*) from runs", {})[0][0])
    if _MOST * len(chosen) > runs_in_store:
        yield from database.chunks(query.format(chosen="1 = 1"), more)
        return
    if _MOST * len(chosen) > len(index.run_ids) > _RUNS_AT_ONCE:
        place = {"experiment": _experiment(database, index.parent.study)}
        yield from database.chunks(query.format(chosen=_OF_EXPERIMENT), {**more, **place})
        return
    for begin in range(0, len(chosen), _RUNS_AT_ONCE):
        names = {f"run{at}": index.run_ids[run] for at, run in enumerate(chosen[begin : begin + _RUNS_AT_ONCE])}
        listed = ", ".join(f":{name}" for name in names)
        yield from database.chunks(query.format(chosen=f"run_uuid in ({listed})"), {**more, **names})
