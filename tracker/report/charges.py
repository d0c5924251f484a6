"""What a study's dollars were spent on, as charges: an attempt's cost part in a month each, as accounts have them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.records import CostPart
from tracker.report.attempts import PLACE, attempts_table
from tracker.store.attempts import PARTS_USD
from tracker.store.run_table import StudyTable

TAG = "tag_"
"""What the columns of a study's own tags begin with."""
_OF_ATTEMPT = ["run", "run_id", "label", "role", "trial", "attempt", "state"]


def charges_table(table: StudyTable) -> pd.DataFrame:
    """One row an attempt, cost part and calendar month (UTC); their sum is that of ``table.runs["price_usd"]``.

    What spans months is cut at their boundaries, in proportion to time. Parts that cost nothing are left out, unless
    an attempt has none that cost anything: its compute then stands for it, with 0.

    Columns: study, user (who ran the run, else who started the study; "" where neither is known), tag_NAME for each of
    the study's own tags, run (its row in ``table.runs``), run_id, label, role, trial, attempt, state, part (of
    records.CostPart), sku, market, region, node (the machine of a cluster, "" for the coordinator's own), started_at
    and ended_at (seconds since 1970; of an attempt under way, until now as far as is known), month ("2026-11"),
    machine_hours (billed hours × the machine's share; of the attempt's, the part in this month), usd, and basis:
    StudyTable's price_basis. Raises StoreError.
    """
    attempts = attempts_table(table)
    usd = attempts[list(PARTS_USD)].to_numpy(dtype=np.float64)
    paid = usd != 0
    paid[~paid.any(axis=1), list(CostPart).index(CostPart.COMPUTE)] = True
    rows, parts = np.nonzero(paid)
    started, ended = _periods(attempts)
    pieces, since, until = _by_month(started[rows], ended[rows])
    length = (ended - started)[rows][pieces]
    share = np.divide(until - since, length, out=np.ones_like(length), where=length > 0)
    at, part = rows[pieces], parts[pieces]
    run = attempts["run"].to_numpy(dtype=np.int64)[at]
    months, names = pd.factorize(since.astype("datetime64[s]").astype("datetime64[M]"))
    user = table.runs["user"].where(table.runs["user"] != "", table.user)
    return pd.DataFrame(
        {
            "study": _repeated([table.study], np.zeros_like(run)),
            "user": user.array.take(run),
            **{f"{TAG}{name}": _repeated([text], np.zeros_like(run)) for name, text in table.tags.items()},
            **{name: attempts[name].array.take(at) for name in _OF_ATTEMPT},
            "part": _repeated([str(each) for each in CostPart], part),
            **{name: attempts[name].array.take(at) for name in PLACE},
            "started_at": since,
            "ended_at": until,
            "month": _repeated([str(each) for each in names], months),
            "machine_hours": _machine_hours(attempts, table)[at] * share,
            "usd": usd[at, part] * share,
            "basis": table.runs["price_basis"].array.take(run),
        }
    )


def _machine_hours(attempts: pd.DataFrame, table: StudyTable) -> NDArray[np.float64]:
    """What compute of an attempt was billed for; its wall time where that is not known yet."""
    seconds = attempts["billed_seconds"].fillna(attempts["wall_seconds"]).to_numpy(dtype=np.float64)
    shares = table.runs["machine_share"].fillna(1.0).to_numpy(dtype=np.float64)
    hours: NDArray[np.float64] = seconds * shares[attempts["run"].to_numpy(dtype=np.int64)] / SECONDS_PER_HOUR
    return hours


def _periods(attempts: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When attempts started and ended; one under way ends when the time that it is known to have taken is over."""
    started = attempts["started_at"].to_numpy(dtype=np.float64)
    taken = started + attempts["wall_seconds"].fillna(0.0).to_numpy(dtype=np.float64)
    return started, np.maximum(started, attempts["ended_at"].fillna(pd.Series(taken)).to_numpy(dtype=np.float64))


def _by_month(
    started: NDArray[np.float64], ended: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Periods cut at the boundaries of months: for each piece which period it is of, its start and its end."""
    first = _month(started)
    # What ends at midnight between two months is of the first of them.
    last = np.maximum(first, _month(np.ceil(ended) - 1))
    count = last - first + 1
    pieces = np.repeat(np.arange(len(started)), count)
    month = first[pieces] + np.arange(len(pieces)) - np.repeat(np.cumsum(count) - count, count)
    since = np.maximum(started[pieces], _seconds(month))
    return pieces, since, np.minimum(ended[pieces], _seconds(month + 1))


def _month(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The month, counted from January 1970, that a time is in."""
    return np.floor(seconds).astype(np.int64).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def _seconds(months: NDArray[np.int64]) -> NDArray[np.float64]:
    """When a month begins."""
    return months.astype("datetime64[M]").astype("datetime64[s]").astype(np.int64).astype(np.float64)


def _repeated(texts: list[str], codes: NDArray[np.int64]) -> pd.api.extensions.ExtensionArray:
    """The text of each code, without a Python text for each row."""
    return pd.array(texts, dtype="str").take(codes)
