"""Every attempt at every run of a study: when it was, and what it alone used and cost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.records import TrialState
from tracker.store.attempts import COUNTED, PARTS_USD
from tracker.store.run_table import StudyTable

PLACE = ("sku", "market", "region", "node")
_OF_RUN = ["run_id", "label", "role", "trial"]


def attempts_table(table: StudyTable) -> pd.DataFrame:
    """One row an attempt, in the order of ``table.runs`` and then of time; they add up to it, each part by itself.

    Columns: run (its row in ``table.runs``), run_id, label, role, trial, attempt (from 1), state (of a run's last
    attempt, that of the run; "" of earlier ones, of which it is not kept), started_at and ended_at (seconds since 1970;
    the end is NaN while it runs), wall_seconds, billed_seconds (NaN until it is known), price_usd and its parts
    data_usd, compute_usd, storage_usd, maintenance_usd; sku, market and region that it is priced at, and node, the
    machine of a cluster that it ran on ("" for the coordinator's own). A run's rate is that of its last attempt.

    At other prices than the billed ones a run's price is shared out as each part was billed, or by billed time where
    nothing was billed of it. Raises StoreError.
    """
    runs, several = table.runs, table.attempts.frame
    once = _once(runs, np.setdiff1d(np.arange(len(runs)), several["run"]))
    if table.scenario is not None and len(several):
        several = _shared_out(several, runs)
    both = pd.concat([once, several], ignore_index=True).sort_values("run", kind="stable", ignore_index=True)
    run = both["run"].to_numpy(dtype=np.int64)
    is_last = ~both["run"].duplicated(keep="last")
    return pd.DataFrame(
        {
            "run": run,
            **{name: runs[name].array.take(run) for name in _OF_RUN},
            "attempt": both.groupby("run").cumcount().to_numpy(dtype=np.int64) + 1,
            "state": pd.Series(runs["state"].array.take(run)).where(is_last, ""),
            **{name: both[name] for name in ("started_at", "ended_at", *COUNTED)},
            "price_usd": both[list(PARTS_USD)].sum(axis=1),
            **_places(table, run, both.groupby("run").cumcount().to_numpy(dtype=np.int64)),
        }
    )


def _places(
    table: StudyTable, run: NDArray[np.int64], number: NDArray[np.integer[Any]]
) -> dict[str, pd.api.extensions.ExtensionArray]:
    """What each attempt is priced as and where it ran: ``number`` (from 0) is its place among those at its run."""
    runs = table.runs
    columns = {name: runs[name].array.take(run) for name in PLACE if name != "node"}
    columns["node"] = pd.array([""], dtype="str").take(np.zeros_like(run))
    known = np.flatnonzero(runs["places"] != "") if "places" in runs else np.empty(0, np.int64)
    if not len(known):
        return columns
    places = {row: places_in(runs["places"].iloc[row]) for row in known}
    # At other prices a run is another machine's; the one that it ran on stays.
    for name in PLACE if table.scenario is None else ("node",):
        texts = columns[name].to_numpy(dtype=object).copy()
        for row, (its_run, its_number) in enumerate(zip(run.tolist(), number.tolist(), strict=True)):
            if its_number < len(places.get(its_run, ())):
                texts[row] = places[its_run][its_number][PLACE.index(name)]
        columns[name] = pd.array(texts, dtype="str")
    return columns


def places_in(text: str) -> list[list[str]]:
    """The PLACE of each attempt at a run, the machine by a part of its id; none where the text was cut off."""
    try:
        places: list[list[str]] = json.loads(text)
    except ValueError:
        return []
    return places


def _once(runs: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
    """The attempts at runs that had one: all that the run used and cost."""
    of = runs.iloc[rows]
    ended_at = (of["started_at"] + of["wall_seconds"]).where(of["state"] != TrialState.RUNNING)
    return pd.DataFrame({"run": rows, "started_at": of["started_at"], "ended_at": ended_at, **of[list(COUNTED)]})


def _shared_out(attempts: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The attempts at the prices of ``runs``, by what was billed for each of them."""
    run = attempts["run"].to_numpy(dtype=np.int64)
    seconds = attempts["billed_seconds"].fillna(attempts["wall_seconds"])
    shares = {name: _shares(attempts[name], seconds, run) for name in PARTS_USD}
    shares["billed_seconds"] = _shares(seconds, attempts["wall_seconds"], run)
    return attempts.assign(**{name: share * runs[name].to_numpy()[run] for name, share in shares.items()})


def _shares(weights: pd.Series[float], otherwise: pd.Series[float], run: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each attempt's share of its run: by the first weights that it has, else the same for all."""
    share = np.full(len(run), np.nan)
    for values in (weights, otherwise, pd.Series(1.0, weights.index)):
        sums = values.groupby(run).transform("sum")
        share = np.where(np.isnan(share) & (sums > 0), values / sums.where(sums > 0), share)
    return share
