"""Whole studies, or groups of them, at equal dollars and at equal quality: all that `tracker compare` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from tracker.frontier.half_splits import Corner
from tracker.frontier.student_t import CONFIDENCE
from tracker.pricing.currency import USD
from tracker.pricing.money_unit import MoneyUnit
from tracker.records import Direction
from tracker.report.equal_dollars import (
    common_corner,
    equal_dollars,
    levels_usd,
    method_sentences,
    verdicts,
)
from tracker.report.plain import plain, plain_rows
from tracker.report.same_quality import same_quality_table
from tracker.report.scenarios import price_remarks
from tracker.report.sides import Side, check_sides, trials_usd
from tracker.report.study_changes import changes_table, group_remarks, tried_table
from tracker.report.tables import frontier_table
from tracker.report.words import money


@dataclass(frozen=True, eq=False)
class StudyComparison:
    """What is known of two to eight sides; tables are in USD, ``unit`` is what people are shown amounts in.

    ``equal_dollars`` and ``curves``: see report.equal_dollars.EqualDollars; ``same_quality``: same_quality_table;
    ``changes`` and ``tried``: study_changes, one column a side; ``frontiers``: one row a point, of every study: side,
    study, trial, epoch, price_usd, quality. ``verdicts``, ``method`` and ``remarks`` are sentences: the answer, how it
    was made, and what a reader must know beside it.
    """

    sides: tuple[Side, ...]
    corner: Corner
    unit: MoneyUnit
    equal_dollars: pd.DataFrame
    curves: pd.DataFrame
    same_quality: pd.DataFrame
    changes: pd.DataFrame
    tried: pd.DataFrame
    frontiers: pd.DataFrame
    verdicts: tuple[str, ...]
    method: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sides."""
        return tuple(side.name for side in self.sides)

    @property
    def notices(self) -> list[str]:
        """Why studies were read from their events in place of MLflow; none where none was."""
        return list(dict.fromkeys(table.notice for side in self.sides for table in side.tables if table.notice))

    @property
    def metric(self) -> str:
        """The name of the quality that all have."""
        return self.sides[0].tables[0].quality.name

    @property
    def direction(self) -> Direction:
        """Which way that gets better."""
        return self.corner.direction

    def document(self) -> dict[str, Any]:
        """All of it as one JSON-safe document; its keys are a contract that scripts read. Amounts are in USD."""
        currency = self.sides[0].tables[0].currency
        scenario = self.sides[0].tables[0].scenario
        return {
            "quality": {"name": self.metric, "direction": str(self.direction)},
            "sides": [_side_document(side) for side in self.sides],
            "scenario": None if scenario is None else plain(scenario.document),
            "currency": None if currency.code == USD.code else plain(asdict(currency)),
            "reference": {"quality": self.corner.quality, "price_usd": self.corner.price_usd},
            "confidence": CONFIDENCE,
            "verdicts": list(self.verdicts),
            "method": list(self.method),
            "remarks": list(self.remarks),
            "changes": _differences(self.changes),
            "settings_tried": _differences(self.tried),
            "equal_dollars": plain_rows(self.equal_dollars),
            "same_quality": plain_rows(self.same_quality),
            "frontiers": plain_rows(self.frontiers),
        }


def compare_sides(
    sides: Sequence[Side], at_usd: Sequence[float] = (), reference: tuple[float, float] | None = None
) -> StudyComparison:
    """Compare sides at amounts of USD (shares of the smallest spend unless given), from one corner for all.

    ``reference`` is a quality and a price in USD. Raises RequestError for sides that cannot be compared, and for an
    amount or a reference that cannot be one.
    """
    check_sides(sides)
    corner, levels = common_corner(sides, reference), levels_usd(sides, at_usd)
    tables = [table for side in sides for table in side.tables]
    unit = max((table.unit for table in tables), key=lambda unit: unit.of(1.0))
    columns = ["trial", "epoch", "price_usd", "quality"]
    frontiers = [
        frontier_table(table)[columns].assign(side=side.name, study=table.study)
        for side in sides
        for table in side.tables
    ]
    at_equal_dollars = equal_dollars(sides, corner, levels)
    return StudyComparison(
        sides=tuple(sides),
        corner=corner,
        unit=unit,
        equal_dollars=at_equal_dollars.table,
        verdicts=tuple(verdicts(at_equal_dollars.table, unit)),
        curves=at_equal_dollars.curves,
        same_quality=same_quality_table(sides),
        changes=changes_table(sides),
        tried=tried_table(sides),
        frontiers=pd.concat(frontiers, ignore_index=True)[["side", "study", *columns]],
        method=tuple(method_sentences(sides)),
        remarks=tuple(_remarks(sides, float(levels.max()), unit)),
    )


def _remarks(sides: Sequence[Side], most_usd: float, unit: MoneyUnit) -> list[str]:
    """What a reader must know: too few dollars, too few trials, mixed groups, a study that still runs, prices."""
    remarks = []
    tables = [table for side in sides for table in side.tables]
    short = [table for table in tables if trials_usd(table) < most_usd * (1 - 1e-9)]
    if short:
        named = ", ".join(f"'{table.study}' ({money(trials_usd(table), unit)})" for table in short)
        remarks.append(
            f"less than {money(most_usd, unit)} was spent on trials by {named}: the last known value stands there (*)"
        )
    live = [table for table in tables if table.state in ("running", "paused")]
    remarks += [f"'{table.study}' is {table.state}: its figures will change" for table in live]
    remarks += group_remarks(sides)
    unknown = [name for side in sides for name, said in zip(side.studies, side.descriptions, strict=True) if not said]
    if unknown:
        remarks.append(f"without the study file of {', '.join(unknown)}, what the files say is not compared")
    of_prices = [(table.study, remark) for table in tables for remark in price_remarks(table)]
    for remark in dict.fromkeys(remark for _, remark in of_prices):
        studies = [study for study, each in of_prices if each == remark]
        remarks.append(remark if len(studies) == len(tables) else f"{', '.join(studies)}: {remark}")
    return remarks


def _side_document(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "studies": [
            {
                "study": table.study,
                "state": table.state,
                "spend_usd": plain(table.spend_usd),
                "trials_usd": plain(trials_usd(table)),
                "budget_usd": plain(table.budget_usd),
                "trials": int((table.runs["role"] == "trial").sum()),
                "price_book": table.price_book,
            }
            for table in side.tables
        ],
    }


def _differences(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"what": str(what), "values": plain(row.to_dict())} for what, row in table.iterrows()]
