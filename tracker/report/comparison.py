"""Two to four runs of a study, or whole studies, side by side: what differs, what they cost, how far they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tracker.errors import RequestError
from tracker.frontier.pareto import frontier_mask
from tracker.pricing.money_unit import MoneyUnit
from tracker.records import CostPart, Direction, Role
from tracker.report.tables import frontier_table, spend_by_part
from tracker.report.words import NOTHING, duration, money, quality, setting, several
from tracker.store.run_table import StudyTable

FEWEST, MOST = 2, 4
MOST_CHOICES = 6
"""Values of a searched setting that are listed one by one."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared, by ``names``, in their order.

    ``settings`` and ``figures``: one row a setting or figure, its name in the index, one column a name, all texts;
    ``settings`` has those that differ only, ``alike`` counts the others.
    ``curves``: name, price_usd, quality: how good each was for how much, price_usd rising within a name; of a study
    its spend and the best quality so far. ``parts``: name, part, usd. ``frontiers``: name, trial, epoch, price_usd,
    quality; None where the studies' qualities are not the same, and then ``apart`` says so.
    """

    names: tuple[str, ...]
    metric: str
    direction: Direction
    unit: MoneyUnit
    settings: pd.DataFrame
    figures: pd.DataFrame
    alike: int
    curves: pd.DataFrame
    parts: pd.DataFrame
    frontiers: pd.DataFrame | None
    apart: str = ""


def compare_runs(table: StudyTable, run_ids: Sequence[str]) -> Comparison:
    """Runs of one study, two to four. Raises RequestError for another number, and for a run that is not there."""
    _check_count(run_ids, "runs")
    rows = [_row_of(table, run_id) for run_id in run_ids]
    names = unique_names([str(table.runs["label"].at[row]) for row in rows])
    texts = {
        name: {key: setting(value) for key, value in table.settings_of(row).items()}
        for name, row in zip(names, rows, strict=True)
    }
    settings, alike = differing(texts)
    steps = table.checkpoints[table.checkpoints["run"].isin(rows)]
    curves = pd.concat(
        [
            _curve(name, steps[steps["run"] == row], "price_usd", "quality")
            for name, row in zip(names, rows, strict=True)
        ]
    )
    parts = [
        (name, str(part), float(table.runs[f"{part}_usd"].to_numpy()[row]))
        for name, row in zip(names, rows, strict=True)
        for part in CostPart
    ]
    return Comparison(
        names=names,
        metric=table.quality.name,
        direction=table.quality.direction,
        unit=table.unit,
        settings=settings,
        figures=pd.DataFrame({name: _run_figures(table, row) for name, row in zip(names, rows, strict=True)}),
        alike=alike,
        curves=curves.reset_index(drop=True),
        parts=pd.DataFrame(parts, columns=["name", "part", "usd"]),
        frontiers=None,
    )


def compare_studies(tables: Sequence[StudyTable]) -> Comparison:
    """Whole studies, two to four, each under its own prices. Raises RequestError for another number."""
    _check_count(tables, "studies")
    first = tables[0]
    names = unique_names([table.study for table in tables])
    settings, alike = differing({name: settings_tried(table) for name, table in zip(names, tables, strict=True)})
    unit = max((table.unit for table in tables), key=lambda unit: unit.of(1.0))
    together = all(table.quality == first.quality for table in tables)
    parts = [
        (name, part, usd)
        for name, table in zip(names, tables, strict=True)
        for part, usd in spend_by_part(table).items()
    ]
    columns = ["trial", "epoch", "price_usd", "quality"]
    frontiers = [frontier_table(table)[columns].assign(name=name) for name, table in zip(names, tables, strict=True)]
    return Comparison(
        names=names,
        metric=first.quality.name,
        direction=first.quality.direction,
        unit=unit,
        settings=settings,
        figures=pd.DataFrame({name: _study_figures(table, unit) for name, table in zip(names, tables, strict=True)}),
        alike=alike,
        curves=pd.concat([_best_so_far(name, table) for name, table in zip(names, tables, strict=True)])
        if together
        else pd.DataFrame(columns=["name", "price_usd", "quality"]),
        parts=pd.DataFrame(parts, columns=["name", "part", "usd"]),
        frontiers=pd.concat(frontiers, ignore_index=True) if together else None,
        apart="" if together else _apart(names, tables),
    )


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind those that came before.

    >>> unique_names(["a", "b", "a"])
    ('a', 'b', 'a (2)')
    """
    listed: list[str] = []
    for name in names:
        count = 2
        unique = name
        while unique in listed:
            unique, count = f"{name} ({count})", count + 1
        listed.append(unique)
    return tuple(listed)


def _check_count(given: Sequence[Any], what: str) -> None:
    if not FEWEST <= len(given) <= MOST:
        raise RequestError(f"{len(given)} {what} were chosen: {FEWEST} to {MOST} can be compared")


def _row_of(table: StudyTable, run_id: str) -> int:
    rows = np.flatnonzero(table.runs["run_id"].to_numpy() == run_id)
    if not len(rows):
        raise RequestError(
            f"study '{table.study}' has no run '{run_id}': it was deleted, or the link is of another study"
        )
    return int(rows[0])


def differing(texts: dict[str, dict[str, str]]) -> tuple[pd.DataFrame, int]:
    """The settings that are not the same everywhere, and how many are."""
    keys = list(dict.fromkeys(key for each in texts.values() for key in each))
    rows = {key: [each.get(key, NOTHING) for each in texts.values()] for key in keys}
    differing = {key: row for key, row in rows.items() if len(set(row)) > 1}
    frame = pd.DataFrame.from_dict(differing, orient="index", columns=list(texts), dtype=object)
    return frame, len(rows) - len(differing)


def _curve(name: str, steps: pd.DataFrame, price: str, good: str) -> pd.DataFrame:
    figures = steps[[price, good]].set_axis(["price_usd", "quality"], axis=1)
    finite = np.isfinite(figures.to_numpy(dtype=np.float64)).all(axis=1)
    rows: pd.DataFrame = figures[finite].sort_values("price_usd", kind="stable").assign(name=name)
    return rows[["name", "price_usd", "quality"]]


def _run_figures(table: StudyTable, row: int) -> dict[str, str]:
    run = table.runs.loc[row].to_dict()
    steps = table.checkpoints[table.checkpoints["run"] == row]
    best = _best(steps["quality"], table.quality.direction)
    return {
        "state": str(run["state"]),
        f"best {table.quality.name}": quality(best),
        f"last {table.quality.name}": quality(float(run["quality"])),
        "price": money(float(run["price_usd"]), table.unit),
        "wall time": duration(float(run["wall_seconds"])),
        "checkpoints": f"{len(steps):,}",
        "billed as": str(run["sku"]) or NOTHING,
    }


def settings_tried(*tables: StudyTable) -> dict[str, str]:
    """What each setting of the studies' trials was: its value, or what was tried of it."""
    trials = pd.concat([table.settings[(table.runs["role"] == Role.TRIAL).to_numpy()] for table in tables])
    return {str(name): _tried(trials[name].dropna().to_numpy()) for name in trials if trials[name].notna().any()}


def _tried(values: Any) -> str:
    distinct = list(dict.fromkeys(values.tolist()))
    if len(distinct) == 1:
        return setting(distinct[0])
    numbers = [each for each in distinct if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(distinct) > MOST_CHOICES and len(numbers) == len(distinct):
        return f"{setting(min(numbers))} to {setting(max(numbers))}"
    listed = (
        sorted(map(setting, distinct)) if len(numbers) < len(distinct) else [setting(each) for each in sorted(numbers)]
    )
    more = f" and {len(listed) - MOST_CHOICES} more" if len(listed) > MOST_CHOICES else ""
    return f"{', '.join(listed[:MOST_CHOICES])}{more}"


def _study_figures(table: StudyTable, unit: MoneyUnit) -> dict[str, str]:
    frontier = frontier_table(table)
    best = frontier.iloc[-1] if len(frontier) else None
    listed = {
        "state": table.state,
        "quality": f"{table.quality.name}, {table.quality.direction}",
        "best of it": NOTHING if best is None else f"{quality(best['quality'])} for {money(best['price_usd'], unit)}",
        "cheapest on the frontier": NOTHING,
        "points on the frontier": f"{len(frontier):,}",
        "spent": money(table.spend_usd, unit),
        "budget": NOTHING if table.budget_usd is None else money(table.budget_usd, unit),
        "trials": several(int((table.runs["role"] == Role.TRIAL).sum()), "trial"),
        "prices": f"price book {table.price_book}" if table.scenario is None else f"scenario {table.scenario.label}",
    }
    if len(frontier):
        first = frontier.iloc[0]
        listed["cheapest on the frontier"] = f"{quality(first['quality'])} for {money(first['price_usd'], unit)}"
    return listed


def _best(values: pd.Series[float], direction: Direction) -> float:
    return float(values.max() if direction is Direction.MAXIMIZE else values.min())


def _best_so_far(name: str, table: StudyTable) -> pd.DataFrame:
    """The best quality so far against the dollars that the study had spent by then; the rows where it grows."""
    steps = table.checkpoints
    finite = np.isfinite(steps[["quality", "price_usd"]].to_numpy(dtype=np.float64)).all(axis=1)
    steps = steps[finite].sort_values(["run", "epoch"], kind="stable")
    before = steps.groupby("run")["price_usd"].shift(fill_value=0.0)
    paid = (steps["price_usd"] - before).clip(lower=0.0)
    order = np.argsort(steps["timestamp"].to_numpy(), kind="stable")
    spend = paid.to_numpy(dtype=np.float64)[order].cumsum()
    values = np.where((steps["role"] == Role.TRIAL).to_numpy(), steps["quality"].to_numpy(dtype=np.float64), np.nan)[
        order
    ]
    usable = np.isfinite(values) & (spend > 0)
    spend, values = spend[usable], values[usable]
    grows = frontier_mask(values, spend, table.quality.direction)
    return pd.DataFrame({"name": name, "price_usd": spend[grows], "quality": values[grows]})


def _apart(names: Sequence[str], tables: Sequence[StudyTable]) -> str:
    listed = "; ".join(
        f"{name} has {table.quality.name} ({table.quality.direction})"
        for name, table in zip(names, tables, strict=True)
    )
    return f"Their frontiers cannot be overlaid, because their qualities differ: {listed}."
