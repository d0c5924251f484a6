"""The charts as pictures: drawn without a browser, and by one where there is one."""

from __future__ import annotations

import io
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import plotly.graph_objects as go
import psutil
import pytest
from PIL import Image

from tests.conftest import CHROMIUM
from tracker.export import browser_pictures
from tracker.export.drawing import draw
from tracker.export.formats import write_report
from tracker.export.pictures import CHARTS, WIDTH
from tracker.records import Direction
from tracker.report.figures import spend_figure
from tracker.report.frontier_chart import frontier_figure


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setattr(browser_pictures, "BROWSERS", ())


def words(svg):
    """The texts of an SVG, each as a reader of it has it."""
    root = ET.fromstring(svg)
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text") if each.text]


def test_a_report_has_every_chart_as_a_png_and_as_an_svg(realistic, tmp_path, no_browser):
    written = write_report(realistic, tmp_path, ["png", "svg"])
    assert {path.name for path in written} == {f"{name}.{kind}" for name in CHARTS for kind in ("png", "svg")}
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.format == "PNG"
                assert picture.width == 2 * WIDTH
                assert len(picture.convert("L").resize((60, 40)).getcolors()) > 1, "something is drawn"
        else:
            assert words(path.read_bytes())


def test_a_picture_says_what_the_chart_says(realistic):
    found = words(draw(frontier_figure(realistic), "svg"))
    figure = frontier_figure(realistic)
    labels = [text for trace in figure.data if trace.text is not None for text in trace.text if text]
    assert labels
    assert set(labels) <= set(found)
    for text in ("frontier", "dominated", "accuracy · better →", "cpu, 2 threads", "fp32", "bf16"):
        assert text in found
    assert "in m$ (thousandths of a US dollar), logarithmic" in found


def test_amounts_stand_beside_the_bars(small):
    figure = spend_figure(small)
    assert set(figure.data[0].text) <= set(words(draw(figure, "svg")))


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_chart_is_the_same_picture(realistic, kind):
    assert draw(frontier_figure(realistic), kind) == draw(frontier_figure(realistic), kind)


def test_names_stay_text_in_a_picture(hostile):
    svg = draw(frontier_figure(hostile), "svg")
    assert b"<script" not in svg
    assert any("<b>\"tf-idf\" & 'Ünï' 🎉</b>" in text for text in words(svg))
    assert draw(frontier_figure(hostile), "png").startswith(b"\x89PNG")


def test_charts_of_studies_at_the_edges_are_drawn(empty, small, by_hand):
    one = by_hand.build([by_hand.trial(0, [0.5], [2.0])])
    constant = by_hand.build([by_hand.trial(number, [0.5, 0.5], [2.0, 4.0]) for number in range(3)])
    none = by_hand.build([by_hand.trial(0, [math.nan], [2.0])])
    less = by_hand.build([by_hand.trial(0, [0.5, 0.4], [2.0, 900.0])], direction=Direction.MINIMIZE)
    for table in (empty, one, constant, none, less, replace(small, budget_usd=None)):
        for _, make in CHARTS.values():
            ET.fromstring(draw(make(table), "svg"))
    assert "No checkpoint has been reached yet" in words(draw(frontier_figure(empty), "svg"))


def test_intervals_of_repeats_are_drawn(small):
    figure = go.Figure(go.Scatter(x=[1.0], y=[2.0], mode="markers"))
    bare = draw(figure, "svg")
    figure.update_traces(error_y={"array": [0.5], "arrayminus": [0.1], "color": "#123456"})
    assert b"#123456" in draw(figure, "svg")
    assert b"#123456" not in bare


@pytest.mark.browser
def test_a_browser_draws_the_pictures_where_there_is_one(realistic, monkeypatch):
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    monkeypatch.setenv("BROWSER_PATH", str(CHROMIUM))
    monkeypatch.setattr(browser_pictures, "LIMIT_SECONDS", 300.0)
    (picture,) = browser_pictures.browser_pictures([frontier_figure(realistic)], "png", WIDTH)
    with Image.open(io.BytesIO(picture)) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width == 2 * WIDTH


def test_a_browser_that_hangs_is_ended_and_the_caller_is_reported(realistic, tmp_path, monkeypatch):
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    started = tmp_path / "started"
    hanging = tmp_path / "browser"
    hanging.write_text(f"#!/bin/sh\necho $$ > '{started}'\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(hanging))
    monkeypatch.setattr(browser_pictures, "LIMIT_SECONDS", 5.0)
    assert browser_pictures.browser_pictures([spend_figure(realistic)], "png", WIDTH) is None
    if started.exists():
        process = int(started.read_text())
        assert not _runs(process)


def _runs(process):
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
