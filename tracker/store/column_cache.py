"""Keeps what was read of runs that do not change any more, so that it is not read again.

One Arrow file for the tags and params of a study's runs, and one for each metric. Each row stands with the key of its
run (RunIndex.keys): it is taken where the store still gives a run that key, and read again otherwise. A file is written
whole and moved into place, so readers and writers need not know of each other; what cannot be read, or written, costs
time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tracker.store.columns import Details, History, Positions, RunIndex, Source

_FORMAT = "2"
_WORTH_WRITING = 0.02
"""The share of a study's runs that must be new for a file to be written again."""


class CachedStudy:
    """What a source has of a study, read as far as ``folder`` does not have it; ``None`` keeps nothing."""

    def __init__(self, source: Source, index: RunIndex, folder: Path | None) -> None:
        self.index = index
        self._source = source
        self._folder = folder
        self._asked: tuple[NDArray[np.object_], Positions] = np.empty(0, dtype=object), np.empty(0, dtype=np.int64)

    @cached_property
    def _positions(self) -> pd.Index:
        """The keys of runs that do not change, to find their positions by."""
        return pd.Index(self.index.keys)

    def details(self) -> pa.Table:
        """One row a run, in the order of the index: "tag:…" and "param:…" as dictionaries, "last:…" as float64.

        A run without one has null there.
        """
        count = len(self.index.run_ids)
        kept = self._read("runs")
        places = np.full(count, -1, dtype=np.int64)
        if kept is not None:
            at = self._now(kept.column("key").to_numpy(zero_copy_only=False))
            places[at[at >= 0]] = np.flatnonzero(at >= 0)
        missing = np.flatnonzero(places < 0)
        if kept is not None and not len(missing):
            whole = kept if np.array_equal(places, np.arange(len(kept))) else kept.take(pa.array(places))
            return whole.drop_columns(["key"])
        fresh = _wide(self._source.details(self.index, missing), missing, count)
        fresh = fresh.append_column("key", pa.array(self.index.keys[missing], pa.string()))
        if kept is None or len(missing) == count:
            whole = fresh
        else:
            known = np.flatnonzero(places >= 0)
            both = pa.concat_tables([kept.take(pa.array(places[known])), fresh], promote_options="default")
            order = np.empty(count, dtype=np.int64)
            order[np.concatenate([known, missing])] = np.arange(count)
            whole = both.unify_dictionaries().take(pa.array(order)).combine_chunks()
        if self._is_worth_writing(missing):
            self._write("runs", whole.filter(pa.array(self.index.keys != "")))
        return whole.drop_columns(["key"])

    def history(self, metric: str) -> History:
        """The values of a metric, by the name that it is logged under: one a run and step, by rising run and step."""
        name = f"metric-{hashlib.sha256(metric.encode()).hexdigest()[:16]}"
        kept, found = self._read(name), History.empty()
        known = np.zeros(len(self.index.run_ids), dtype=np.bool_)
        if kept is not None:
            runs = kept.column("run").combine_chunks()
            now = self._now(runs.dictionary.to_numpy(zero_copy_only=False))
            known[now[now >= 0]] = True
            at = now[runs.indices.to_numpy(zero_copy_only=False)] if len(now) else np.empty(0, np.int64)
            found = History(at, *(kept.column(each).to_numpy() for each in ("step", "timestamp_ms", "value")))
            found = (found if (now >= 0).all() else found.at(at >= 0)).latest()
        missing = np.flatnonzero(~known)
        if len(missing):
            found = found.with_runs(self._source.history(self.index, metric, missing).latest())
        if self._is_worth_writing(missing):
            self._write(name, self._table(found))
        return found

    def every_value(self, metric: str, chosen: Positions) -> History:
        """Source.history, straight from the source: all values, also several of one run and step."""
        return self._source.history(self.index, metric, chosen)

    def metrics_beside(self, metric: str, chosen: Positions) -> set[str]:
        """Source.metrics_beside, of a few runs, straight from the source."""
        return self._source.metrics_beside(self.index, metric, chosen)

    def _now(self, keys: NDArray[np.object_]) -> Positions:
        """Where the runs of some keys are now; -1 for those that there are no more, or that changed."""
        before, places = self._asked  # the files of a study were written for the same runs, mostly
        if len(before) != len(keys) or not (before == keys).all():
            places = self._found(keys)
            self._asked = keys, places
        return places

    def _found(self, keys: NDArray[np.object_]) -> Positions:
        if len(keys) == len(self.index.keys) and (keys == self.index.keys).all():
            return np.arange(len(keys), dtype=np.int64)
        if self._positions.is_unique:
            return self._positions.get_indexer(pd.Index(keys)).astype(np.int64)
        positions = {key: at for at, key in enumerate(self.index.keys) if key}
        return np.array([positions.get(key, -1) for key in keys], dtype=np.int64)

    def _table(self, history: History) -> pa.Table:
        """A metric's file: the values of runs that do not change, all of whose keys are in the dictionary.

        One batch, even of no values: a file without a batch has no dictionary.
        """
        settled = self.index.keys != ""
        codes = np.cumsum(settled) - 1
        kept = settled[history.runs]
        runs = pa.DictionaryArray.from_arrays(
            pa.array(codes[history.runs[kept]].astype(np.int32)), pa.array(self.index.keys[settled], pa.string())
        )
        columns = {"step": history.steps, "timestamp_ms": history.timestamps_ms, "value": history.values}
        values = {name: pa.array(each[kept]) for name, each in columns.items()}
        return pa.Table.from_batches([pa.record_batch({"run": runs, **values})])

    def _is_worth_writing(self, missing: Positions) -> bool:
        new = int((self.index.keys[missing] != "").sum())
        return new > _WORTH_WRITING * len(self.index.keys)

    def _read(self, name: str) -> pa.Table | None:
        if self._folder is None:
            return None
        with contextlib.suppress(OSError, pa.ArrowException, KeyError):
            with pa.memory_map(str(self._folder / f"{name}.arrow")) as file:
                table = pa.ipc.open_file(file).read_all()
            return table if len(table) or name != "runs" else None
        return None

    def _write(self, name: str, table: pa.Table) -> None:
        if self._folder is None:
            return
        with contextlib.suppress(OSError, pa.ArrowException):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")
            os.close(handle)
            try:
                with pa.OSFile(partial, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                    for batch in table.to_batches():
                        writer.write_batch(batch)
                Path(partial).replace(self._folder / f"{name}.arrow")
            finally:
                Path(partial).unlink(missing_ok=True)


def cache_folder(cache: Path, tracking_uri: str, study: str) -> Path:
    """Where what was read of a study is kept below ``cache``: another place for each store and each version."""
    try:
        own = version("cost-quality-tracker")
    except PackageNotFoundError:
        own = ""
    place = "\n".join([_FORMAT, own, tracking_uri, study])
    return cache / "read" / hashlib.sha256(place.encode(errors="surrogatepass")).hexdigest()[:24]


def forget(folder: Path) -> None:
    """Throw away what was kept of a study."""
    shutil.rmtree(folder, ignore_errors=True)


def _wide(details: Details, rows: Positions, count: int) -> pa.Table:
    """The tags, params and last metrics of the runs at ``rows`` of ``count``, one row each in that order."""
    place = np.full(count + 1, -1, dtype=np.int64)  # the last one is for position -1
    place[rows] = np.arange(len(rows))
    columns: dict[str, pa.Array] = {}
    for kind, entries in (("tag:", details.tags), ("param:", details.params)):
        for name, at, texts in entries.by_name(place):
            coded = texts.cast(pa.string()).dictionary_encode()
            indices = np.full(len(rows), -1, dtype=np.int32)
            indices[at] = coded.indices.fill_null(-1).to_numpy()
            columns[f"{kind}{name}"] = pa.DictionaryArray.from_arrays(
                pa.array(indices, mask=indices < 0), coded.dictionary
            )
    for name, at, values in details.finals.by_name(place):
        column = np.full(len(rows), np.nan)
        column[at] = values.to_numpy(zero_copy_only=False)
        columns[f"last:{name}"] = pa.array(column)
    return pa.table(columns) if columns else pa.table({"none": pa.nulls(len(rows))})
