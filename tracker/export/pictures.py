"""The charts of a report as pictures: drawn by a browser where kaleido finds one, else without (export.drawing)."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

import plotly.graph_objects as go

from tracker.export.browser_pictures import browser_pictures
from tracker.export.drawing import draw
from tracker.export.formats import ReportFile
from tracker.report.figures import hypervolume_figure, spend_figure
from tracker.report.frontier_chart import frontier_figure
from tracker.report.remembered import remembered
from tracker.store.run_table import StudyTable

WIDTH = 1000
CHARTS: dict[str, tuple[str, Callable[[StudyTable], go.Figure]]] = {
    "frontier": ("quality against price, with the frontier", frontier_figure),
    "spend": ("what was spent, by the runs' states", spend_figure),
    "hypervolume": ("hypervolume against dollars spent", hypervolume_figure),
}
"""The charts by their names: what each shows, and what makes it."""


@remembered
def pngs(table: StudyTable) -> dict[str, bytes]:
    """Every chart as a PNG, by its name: WIDTH pixels wide at twice the density, on white."""
    return _drawn(table, "png")


@remembered
def svgs(table: StudyTable) -> dict[str, bytes]:
    """Every chart as an SVG, by its name, on nothing."""
    return _drawn(table, "svg")


def _drawn(table: StudyTable, kind: str) -> dict[str, bytes]:
    figures = {name: make(table) for name, (_, make) in CHARTS.items()}
    drawn = browser_pictures(list(figures.values()), kind, WIDTH)
    if drawn is None:
        drawn = [draw(figure, kind, WIDTH) for figure in figures.values()]
    return dict(zip(figures, drawn, strict=True))


def _files(kind: str, made: Callable[[StudyTable], dict[str, bytes]]) -> tuple[ReportFile, ...]:
    return tuple(
        ReportFile(f"{name}.{kind}", f"{shows}, as a picture", _writer(name, made))
        for name, (shows, _) in CHARTS.items()
    )


def _writer(name: str, made: Callable[[StudyTable], dict[str, bytes]]) -> Callable[[StudyTable, IO[bytes]], None]:
    def write(table: StudyTable, file: IO[bytes]) -> None:
        file.write(made(table)[name])

    return write


PNG_FILES, SVG_FILES = _files("png", pngs), _files("svg", svgs)
