"""Two price scenarios side by side: the trials on each frontier, and the price of each quality."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any

from tracker.pricing.currency import USD
from tracker.pricing.price_point import price_point_from_row
from tracker.records import Direction, PriceBasis
from tracker.report.plain import plain
from tracker.report.tables import frontier_table, spend_by_part, study_head
from tracker.report.words import money, several
from tracker.store.run_table import StudyTable

MOST_RATES = 4
POINT = ("trial", "epoch", "quality", "price_usd", "sku")


def price_remarks(table: StudyTable) -> tuple[str, ...]:
    """Sentences about a table's prices; empty where they need no explanation."""
    remarks = [f"imported from {table.origin}"] if table.origin else []
    estimated = int(table.runs["price_basis"].isin((PriceBasis.ESTIMATED, PriceBasis.REPRICED_ESTIMATE)).sum())
    if estimated:
        of = "" if estimated == len(table.runs) else f" of {several(estimated, 'run')}"
        remarks.append(f"prices{of} are estimated from timestamps: the time between them × the rate")
    if (scenario := table.scenario) is not None:
        name = f"scenario {scenario.name}" if scenario.name else "scenario"
        remarks.append(f"{name}: {'; '.join(scenario.sentences) or 'nothing changed'}; price book {table.price_book}")
        remarks += _rates_used(table)
        points = [price_point_from_row(json.loads(text), "") for text in table.runs["price_point"].unique()]
        idle = [each.sentence for each in scenario.changes if not any(map(each.has_effect_on, points))]
        remarks += [f"this changes the price of no run of the study: {sentence}" for sentence in idle]
        others = int((~table.runs["sku"].isin(scenario.skus)).sum()) if scenario.skus else 0
        if others:
            remarks.append(
                f"left at their own SKU, because they ran on another kind of device than {', '.join(scenario.skus)}: "
                f"{several(others, 'run')}; their time there was not measured"
            )
    if data_usd := spend_by_part(table)["data"]:
        paid = money(data_usd, table.unit)
        remarks.append(f"the data cost {paid}, paid once by the study: in its spend, not in the price of a point")
    if table.currency.code != USD.code:
        remarks.append(table.currency.sentence)
    return tuple(remarks)


def report_remarks(table: StudyTable) -> tuple[str, ...]:
    """Sentences for the head of a report: where its figures are from where not from MLflow, and ``price_remarks``."""
    return (*filter(None, [table.notice]), *price_remarks(table))


def _rates_used(table: StudyTable) -> list[str]:
    """A sentence with the rates of runs, each with market, region and date."""
    distinct = table.runs[["sku", "market", "region", "usd_per_hour", "price_date"]].drop_duplicates()
    rates = [
        f"{row['sku']} ({', '.join(filter(None, [row['market'], row['region']]))})"
        f" at ${row['usd_per_hour']:.6g} an hour of {row['price_date']}"
        for row in distinct.to_dict("records")
    ]
    more = f" and {len(rates) - MOST_RATES} more" if len(rates) > MOST_RATES else ""
    return [f"priced at: {'; '.join(rates[:MOST_RATES])}{more}"] if rates else []


def compare_scenarios(first: StudyTable, second: StudyTable, names: tuple[str, str]) -> dict[str, Any]:
    """One study at two sets of prices, as a JSON-safe document.

    ``scenarios``: of each its name, what it does (null for the billed prices), its spend and its frontier.
    ``entered`` and ``left``: the trials that are on the second frontier only, and on the first only. ``levels``: for
    every quality on either frontier, by falling price of the first, the cheapest point that reaches it in each, and
    ``price_ratio``, the second's price over the first's; null where none reaches it.
    """
    frontiers = [frontier_table(first), frontier_table(second)]
    points = [[_point(row) for row in frontier.to_dict("records")] for frontier in frontiers]
    on = [set(frontier["trial"]) for frontier in frontiers]
    qualities = sorted({float(each) for frontier in frontiers for each in frontier["quality"]})
    if first.quality.direction is Direction.MINIMIZE:
        qualities.reverse()
    return {
        **study_head(first),
        "scenarios": [
            {
                "name": name,
                "scenario": None if table.scenario is None else plain(table.scenario.document),
                "spend_usd": plain(table.spend_usd),
                "points": of_table,
            }
            for name, table, of_table in zip(names, (first, second), points, strict=True)
        ],
        "entered": sorted(int(trial) for trial in on[1] - on[0]),
        "left": sorted(int(trial) for trial in on[0] - on[1]),
        "levels": [_level(quality, points, first.quality.direction) for quality in qualities],
    }


def _level(quality: float, frontiers: list[list[dict[str, Any]]], direction: Direction) -> dict[str, Any]:
    before, after = (_cheapest(points, quality, direction) for points in frontiers)
    ratio = after["price_usd"] / before["price_usd"] if before and after else None
    return {"quality": quality, "first": before, "second": after, "price_ratio": ratio}


def _cheapest(points: list[dict[str, Any]], quality: float, direction: Direction) -> dict[str, Any] | None:
    """The first point of a frontier, by rising price, that is at least this good; quality rises with price there."""
    sign = 1.0 if direction is Direction.MAXIMIZE else -1.0
    at = bisect_left(points, sign * quality, key=lambda point: sign * float(point["quality"]))
    return points[at] if at < len(points) else None


def _point(row: dict[Any, Any]) -> dict[str, Any]:
    return {name: plain(row[name]) for name in POINT}
