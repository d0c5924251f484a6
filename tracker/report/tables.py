"""A study as tables and as JSON documents: frontier, references, runs, spend.

The keys of the documents are a contract with scripts: keys may be added, never changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.frontier.pareto import frontier_mask, slope_per_point
from tracker.frontier.student_t import CONFIDENCE
from tracker.frontier.uncertainty import DRAWS
from tracker.pricing.currency import USD
from tracker.records import CostPart, Direction, Role
from tracker.report.plain import plain, plain_rows
from tracker.report.remembered import remembered
from tracker.report.repeats import CERTAINTY_COLUMNS, certainty_table, repeat_runs
from tracker.store.run_table import RUN_COLUMNS, StudyTable
from tracker.study.spec import Limit

METHOD = (
    "Student's t with variances pooled over the points as far as they agree; a point with two repeats or more is "
    "judged by them alone, because its own measurement was picked for being high; probabilities from frontiers drawn "
    "from the means' distribution"
)
MINOR_PROBABILITY = 0.05
"""A lower probability of being on the frontier is not mentioned."""
POINT_COLUMNS = ["trial", "epoch", "quality", "price_usd", "wall_seconds", "sku", "price_basis", "settings"]


@remembered
def trial_checkpoints(table: StudyTable) -> pd.DataFrame:
    """The checkpoints of trials with a finite quality and a price above zero: the points of the frontier chart.

    The columns are those of ``table.checkpoints``, then ``at``, their row there; ``last``, true for the run's last
    checkpoint; ``kept``, true where it keeps the study's limits; and ``on_frontier``, true for the non-dominated ones
    among these.
    """
    steps = table.checkpoints
    quality, price_usd = (steps[name].to_numpy(dtype=np.float64) for name in ("quality", "price_usd"))
    usable = np.isfinite(quality) & np.isfinite(price_usd) & (price_usd > 0)
    at = np.flatnonzero((steps["role"] == Role.TRIAL).to_numpy() & usable)
    points: pd.DataFrame = steps.take(at).reset_index(drop=True)
    points["at"] = at
    runs = points["run"].to_numpy()
    points["last"] = np.append(np.diff(runs) != 0, True)[: len(runs)]  # checkpoints are sorted by run and epoch
    points["kept"] = kept = keeps_limits(at, table)
    on_frontier = np.zeros(len(points), dtype=np.bool_)
    direction = table.quality.direction
    on_frontier[kept] = frontier_mask(quality[at][kept], price_usd[at][kept], direction)
    points["on_frontier"] = on_frontier
    return points


def keeps_limits(at: NDArray[np.intp], table: StudyTable) -> NDArray[np.bool_]:
    """Whether the checkpoints at these rows [n] keep all of the study's limits."""
    outside = [_outside(limit, _limited(limit, at, table)) for limit in table.limits]
    return ~np.logical_or.reduce(outside) if outside else np.ones(len(at), dtype=np.bool_)


def missed_limits(at: NDArray[np.intp], table: StudyTable) -> NDArray[np.object_]:
    """The limits that the checkpoints at these rows [n] miss, in words; "" where they keep all."""
    missed = np.full(len(at), "", dtype=object)
    for limit in table.limits:
        found = _limited(limit, at, table)
        for row in np.flatnonzero(_outside(limit, found)):
            missed[row] = ", ".join(filter(None, [missed[row], _miss(limit, found[row])]))
    return missed


def _limited(limit: Limit, at: NDArray[np.intp], table: StudyTable) -> NDArray[np.float64]:
    """The limit's metric at these rows; NaN where a checkpoint lacks it."""
    values = table.metrics.get(limit.metric)
    return np.full(len(at), np.nan) if values is None else values[at]


def _outside(limit: Limit, found: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = -np.inf if limit.low is None else limit.low, np.inf if limit.high is None else limit.high
    return ~(np.isfinite(found) & (found >= low) & (found <= high))


def _miss(limit: Limit, value: float) -> str:
    low = limit.low is not None and not value >= limit.low
    bound = f"below {limit.low:g}" if low else f"above {limit.high:g}"
    return f"{limit.metric} {value:.3g} is {bound}" if value == value else f"no {limit.metric}"


@remembered
def frontier_table(table: StudyTable) -> pd.DataFrame:
    """The non-dominated checkpoints of all trials, by rising price.

    Columns: trial, epoch, quality, price_usd, wall_seconds, sku, price_basis, settings, run (the row in
    ``table.runs``), run_id, usd_per_point (the cost of one more point (0.01) of quality from the row before; NaN in the
    first) and test_accuracy (NaN unless the checkpoint is its run's last, the one that is tested).
    """
    points = trial_checkpoints(table)
    direction = table.quality.direction
    rows = points[points["on_frontier"]].sort_values("price_usd")
    of_run = rows["run"].to_numpy()
    tested = np.full(len(rows), np.nan)
    if "test_accuracy" in table.summary:
        tested = table.summary["test_accuracy"].take(of_run).where(rows["last"].to_numpy()).to_numpy()
    rows = rows.assign(
        sku=table.runs["sku"].take(of_run).array,
        price_basis=table.runs["price_basis"].take(of_run).array,
        settings=_dictionaries(table.settings.take(of_run)).to_numpy(),
        usd_per_point=slope_per_point(rows["quality"], rows["price_usd"], direction),
        test_accuracy=tested,
    ).astype({"run_id": object})
    return rows[[*POINT_COLUMNS, "run", "run_id", "usd_per_point", "test_accuracy"]].reset_index(drop=True)


@remembered
def certainty_of(table: StudyTable) -> pd.DataFrame:
    """report.repeats.certainty_table of all checkpoints of trials; empty where the study has no completed repeat."""
    return certainty_table(trial_checkpoints(table), table)


@remembered
def confirmed_frontier_table(table: StudyTable) -> pd.DataFrame:
    """``frontier_table`` with the CERTAINTY_COLUMNS of ``certainty_of`` where the study has repeats."""
    frontier, known = frontier_table(table), certainty_of(table)
    certain = known[["trial", "epoch", *CERTAINTY_COLUMNS]]
    return frontier if known.empty else frontier.merge(certain, on=["trial", "epoch"])


def confirmation_document(table: StudyTable) -> dict[str, Any] | None:
    """The results of repeats of the frontier's trials, and the method; None where there are none.

    ``repeats`` counts their runs and ``completed`` those that are evidence; ``contenders`` are the points off the
    frontier that are on it with at least MINOR_PROBABILITY.
    """
    runs = repeat_runs(table)
    if runs.empty:
        return None
    known = certainty_of(table)
    rivals = known[~known["on_frontier"].astype(bool) & (known["probability_on_frontier"] >= MINOR_PROBABILITY)]
    contenders = rivals.sort_values("probability_on_frontier", ascending=False, kind="stable")
    columns = ["trial", "epoch", *(name for name in CERTAINTY_COLUMNS if name != "tied_with")]
    return {
        "repeats": len(runs),
        "completed": int((runs["state"] == "completed").sum()),
        "spend_usd": plain(float(runs["price_usd"].sum())),
        "confidence": CONFIDENCE,
        "draws": DRAWS,
        "method": METHOD,
        "contenders": plain_rows(contenders[columns]),
    }


@remembered
def references_table(table: StudyTable) -> pd.DataFrame:
    """The baselines that reached a checkpoint, one row each, at their last one.

    Columns: name, quality, price_usd, wall_seconds, run_id, kept (it keeps the study's limits), and dominates: how many
    of the frontier's points cost at least as much and are no better.
    """
    frontier = frontier_table(table)
    at = np.flatnonzero((table.checkpoints["role"] == Role.BASELINE).to_numpy())
    rows = table.checkpoints.take(at).assign(kept=keeps_limits(at, table))
    rows = rows.sort_values("epoch", kind="stable").groupby("run", sort=False).tail(1)
    rows = rows.astype({"run_id": object, "label": object})
    rows = rows[np.isfinite(rows[["quality", "price_usd"]].to_numpy(dtype=np.float64)).all(axis=1)]
    sign = 1 if table.quality.direction == Direction.MAXIMIZE else -1
    dominated = []
    for quality, price in zip(rows["quality"], rows["price_usd"], strict=True):
        gain, saving = sign * (quality - frontier["quality"]), frontier["price_usd"] - price
        dominated.append(int(((gain >= 0) & (saving >= 0) & ((gain > 0) | (saving > 0))).sum()))
    named: pd.DataFrame = rows.rename(columns={"label": "name"})
    rows = named[["name", "quality", "price_usd", "wall_seconds", "run_id", "kept"]]
    return rows.assign(dominates=np.asarray(dominated, dtype=np.int64)).reset_index(drop=True)


@remembered
def searched_settings(table: StudyTable) -> list[str]:
    """The names of the settings that differ between trials, in their order in trials."""
    trials = table.settings[(table.runs["role"] == Role.TRIAL).to_numpy()]
    return [str(name) for name in trials if _differ(trials[name])]


def _differ(values: pd.Series[Any]) -> bool:
    """Whether the values differ."""
    first = repr(values.iloc[0]) if len(values) else ""
    return any(repr(value) != first for value in values)


def study_head(table: StudyTable) -> dict[str, Any]:
    """The head of every document about a study."""
    return {
        "study": table.study,
        "quality": {"name": table.quality.name, "direction": str(table.quality.direction)},
        "spend_usd": plain(table.spend_usd),
        "currency": None if table.currency.code == USD.code else plain(asdict(table.currency)),
        "limits": [plain(asdict(limit)) for limit in table.limits],
    }


def frontier_document(table: StudyTable) -> dict[str, Any]:
    """The frontier as one JSON-safe document: points by rising price, baselines as references.

    Where the study has repeats, points have the keys CERTAINTY_COLUMNS too, and there is a ``confirmation``.
    """
    confirmation, points = confirmation_document(table), confirmed_frontier_table(table)
    columns = [*POINT_COLUMNS, *(name for name in CERTAINTY_COLUMNS if name in points)]
    return {
        **study_head(table),
        "scenario": _scenario(table),
        "price_book": table.price_book,
        "points": plain_rows(points[columns]),
        "references": plain_rows(references_table(table)[["name", "quality", "price_usd", "dominates"]]),
        **({} if confirmation is None else {"confirmation": confirmation}),
    }


def with_dictionaries(table: StudyTable, rows: pd.Index[int] | None = None) -> pd.DataFrame:
    """``table.runs`` with two more columns, ``settings`` and ``summary``: one dictionary per run.

    Only the runs in ``rows`` if given.
    """
    chosen = table.runs.index if rows is None else rows
    return table.runs.loc[chosen, list(RUN_COLUMNS)].assign(
        settings=_dictionaries(table.settings.loc[chosen]), summary=_dictionaries(table.summary.loc[chosen])
    )


def _dictionaries(frame: pd.DataFrame) -> pd.Series[Any]:
    found: list[dict[str, Any]] = [{} for _ in range(len(frame))]
    for name in frame:
        for known, value in zip(found, frame[name].tolist(), strict=True):
            if value is not None and value == value:
                known[str(name)] = value
    return pd.Series(found, index=frame.index, dtype=object)


def runs_document(table: StudyTable) -> dict[str, Any]:
    """Every run as one JSON-safe document."""
    return {
        **study_head(table),
        "scenario": _scenario(table),
        "price_book": table.price_book,
        "budget_usd": plain(table.budget_usd),
        "state": table.state,
        "data": table.data,
        "spend_by_part_usd": plain(spend_by_part(table)),
        "costs": plain(asdict(table.terms)),
        "runs": plain_rows(with_dictionaries(table)),
    }


def frontier_json(table: StudyTable) -> str:
    """``frontier_document`` as JSON text."""
    return json.dumps(frontier_document(table), indent=2, allow_nan=False, ensure_ascii=False)


def spend_by_part(table: StudyTable) -> dict[str, float]:
    """The study's spend in USD by cost part (records.CostPart); the parts sum to the spend."""
    return {str(part): float(table.runs[f"{part}_usd"].sum()) for part in CostPart}


def spend_by_state(table: StudyTable) -> pd.DataFrame:
    """The spend by state, the largest first; the rows sum to the study's spend.

    Columns: state (a trial's state, or "baseline", "preparation" or "repeats"), runs, spend_usd, and share of the
    spend, from 0 to 1.
    """
    roles = table.runs["role"].replace({"repeat": "repeats"})
    group = table.runs["state"].where(roles == "trial", roles)
    spend = table.runs.groupby(group.rename("state"))["price_usd"].agg(runs="size", spend_usd="sum").reset_index()
    total = float(spend["spend_usd"].sum())
    spend["share"] = spend["spend_usd"] / total if total > 0 else 0.0
    return spend.sort_values(["spend_usd", "state"], ascending=[False, True]).reset_index(drop=True)


def _scenario(table: StudyTable) -> dict[str, Any] | None:
    return None if table.scenario is None else plain(table.scenario.document)
