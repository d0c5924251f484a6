"""The native charts of the workbook, each of cells that a sheet has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xlsxwriter
from xlsxwriter.chart import Chart

from tracker.report.tables import frontier_table, references_table
from tracker.store.run_table import StudyTable

_INK, _GRID, _FRONTIER, _BASELINE = "#3A4350", "#E3E7EC", "#1F5FBF", "#8A94A3"
_FONT = {"color": _INK, "size": 10, "bold": False}
_AXIS = {"num_font": _FONT, "name_font": _FONT, "line": {"color": _GRID}}
_GRIDLINES = {"visible": True, "line": {"color": _GRID, "width": 0.75}}
_SIZE = {"width": 740, "height": 400}


def frontier_chart(
    book: xlsxwriter.Workbook, table: StudyTable, rows: int, columns: Mapping[str, int], references: int
) -> Chart:
    """Quality against price, by the sheets Frontier and Spend: ``rows`` points, ``references`` baselines."""
    chart = book.add_chart({"type": "scatter", "subtype": "straight_with_markers"})
    chart.add_series(
        {
            "name": "frontier",
            "categories": ["Frontier", 1, columns["price_usd"], rows, columns["price_usd"]],
            "values": ["Frontier", 1, columns["quality"], rows, columns["quality"]],
            "line": {"color": _FRONTIER, "width": 2},
            "marker": {"type": "circle", "size": 6, "fill": {"color": _FRONTIER}, "border": {"color": "white"}},
        }
    )
    if references:
        chart.add_series(
            {
                "name": "baselines",
                "categories": ["Spend", 2, 10, 1 + references, 10],
                "values": ["Spend", 2, 11, 1 + references, 11],
                "line": {"none": True},
                "marker": {"type": "diamond", "size": 9, "fill": {"color": _BASELINE}, "border": {"color": "white"}},
            }
        )
    points, baselines = frontier_table(table), references_table(table)
    prices = np.concatenate([points["price_usd"], baselines["price_usd"]]).astype(float)
    low, high = 10.0 ** np.floor(np.log10(prices.min())), 10.0 ** np.ceil(np.log10(prices.max()))
    x = {"log_base": 10, "min": low, "max": max(high, low * 10), "num_format": "General", "crossing": low}
    _style(chart, "Frontier: the best quality for the money", "price in USD, log scale", table.quality.name, x)
    qualities = np.concatenate([points["quality"], baselines["quality"]]).astype(float)
    _frame_quality(chart, table.quality.name, float(qualities.min()), float(qualities.max()))
    return chart


def spend_chart(book: xlsxwriter.Workbook, rows: int) -> Chart:
    """Spend by state, by the sheet Spend."""
    chart = book.add_chart({"type": "bar"})
    chart.add_series(
        {
            "name": "spend in USD",
            "categories": ["Spend", 2, 0, 1 + rows, 0],
            "values": ["Spend", 2, 2, 1 + rows, 2],
            "fill": {"color": _FRONTIER},
            "gap": 60,
            "data_labels": {"value": True, "font": {"color": _INK, "size": 9}},
        }
    )
    _style(chart, "Spend by state", "spend in USD", "", {})
    chart.set_y_axis({"reverse": True, "num_font": {"color": _INK, "size": 10}, "line": {"color": _GRID}})
    chart.set_x_axis({"visible": False, "major_gridlines": {"visible": False}})
    chart.set_legend({"none": True})
    return chart


def hypervolume_chart(book: xlsxwriter.Workbook, rows: int) -> Chart:
    """Hypervolume against dollars, by the sheet Spend."""
    chart = book.add_chart({"type": "scatter", "subtype": "straight"})
    chart.add_series(
        {
            "name": "hypervolume",
            "categories": ["Spend", 2, 6, 1 + rows, 6],
            "values": ["Spend", 2, 7, 1 + rows, 7],
            "line": {"color": _FRONTIER, "width": 2},
        }
    )
    _style(chart, "How much frontier the money bought", "spent so far in USD", "hypervolume", {"min": 0})
    chart.set_legend({"none": True})
    return chart


def _frame_quality(chart: Chart, name: str, low: float, high: float) -> None:
    """The axis of quality from the round number below the worst to the one above the best."""
    step = 10.0 ** math.floor(math.log10(high - low)) if high > low else max(abs(high), 1.0)
    axis = {"min": round(math.floor(low / step) * step, 12), "max": round(math.ceil(high / step) * step, 12)}
    chart.set_y_axis({"name": name, **_AXIS, "major_gridlines": _GRIDLINES, "label_position": "low", **axis})


def _style(chart: Chart, title: str, x_title: str, y_title: str, x: dict[str, Any]) -> None:
    chart.set_title({"name": title, "name_font": {"color": _INK, "size": 13, "bold": True}, "overlay": False})
    chart.set_x_axis({"name": x_title, **_AXIS, "major_gridlines": {"visible": False}, **x})
    chart.set_y_axis({"name": y_title, **_AXIS, "major_gridlines": _GRIDLINES, "label_position": "low"})
    chart.set_legend({"position": "bottom", "font": _FONT})
    chart.set_chartarea({"border": {"none": True}})
    chart.set_size(_SIZE)
