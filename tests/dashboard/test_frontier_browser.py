"""Frontier in a real browser: a target moved by keys, the chart's files, a study that grows meanwhile."""

from __future__ import annotations

import csv
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.dashboard.conftest import BEGAN, study_tags, write_run
from tests.support.dashboard import MOST_MS, served_dashboard, wait_until_drawn, watched_page
from tests.support.mlflow_database import put_mlflow_database
from tracker.report.axis_points import axis_points
from tracker.report.targets import cheapest_reaching
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import read_study_table

SCREEN = {"width": 1280, "height": 1400}
RANGE = "() => document.querySelector('.plot')._fullLayout.xaxis.range.map(Number)"


def saved(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).first.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


@pytest.mark.browser
def test_the_target_is_moved_by_keys_and_the_chart_s_files_are_what_they_say(browser, served, home):
    found = axis_points(read_study_table(Home(home).tracking_uri, "docstrings"))
    with watched_page(browser, served, viewport=SCREEN) as page:
        page.goto(f"{served}/?study=docstrings")
        wait_until_drawn(page)
        thumb, targets = page.get_by_role("slider").first, []
        thumb.focus()
        for key in ("ArrowRight", "End"):
            thumb.press(key)
            page.wait_for_url(lambda url, known=tuple(targets): "target=" in url and target_in(url) not in known)
            targets.append(target_in(page.url))
            answer = cheapest_reaching(found, targets[-1])
            page.get_by_text(answer.question).first.wait_for()
            page.get_by_text(answer.sentence).first.wait_for()
        assert targets[0] < targets[1]
        name, picture = saved(page, "PNG")
        assert (name, picture[:8]) == ("docstrings-frontier.png", b"\x89PNG\r\n\x1a\n")
        name, drawing = saved(page, "SVG")
        assert name == "docstrings-frontier.svg"
        assert drawing.lstrip().startswith(b"<svg") and b"accuracy" in drawing
        name, table = saved(page, "CSV")
        rows = list(csv.DictReader(table.decode("utf-8").splitlines()))
        assert name == "docstrings-frontier.csv"
        assert {"x", "y", "settings.size"} <= set(rows[0])
        assert [float(row["y"]) for row in rows] == pytest.approx(found.frontier["y"].tolist())
        assert page.locator('script[src^="/plotly-"]').count() == 1, "by the page itself or by its charts, not by both"
        assert page.faults == []


def target_in(url):
    return float(parse_qs(urlsplit(url).query)["target"][0])


@pytest.mark.browser
def test_a_study_that_grows_is_drawn_by_itself_and_stays_zoomed(browser, tmp_path):
    home = Home(tmp_path)
    home.make()
    put_mlflow_database(tmp_path)
    log = MlflowStore(home.tracking_uri).create_study(
        "growing", study_tags("running"), BEGAN, home.artifacts("growing")
    )
    for number, top in enumerate((0.5, 0.6, 0.7)):
        write_run(log, f"#{number}", "trial", [top / 2, top], 5.0 * (number + 1), {"size": number})
    with served_dashboard(tmp_path) as address, watched_page(browser, address, viewport=SCREEN) as page:
        page.goto(f"{address}/?study=growing")
        wait_until_drawn(page)
        page.get_by_test_id("stMetric").get_by_text("0.7000").first.wait_for()
        whole = page.evaluate(RANGE)
        area = page.locator(".plot .nsewdrag").first.bounding_box()
        left, top = area["x"] + area["width"] * 0.25, area["y"] + area["height"] * 0.2
        page.mouse.move(left, top)
        page.mouse.down()
        page.mouse.move(left + area["width"] * 0.2, top + area["height"] * 0.2, steps=4)
        page.mouse.move(left + area["width"] * 0.5, top + area["height"] * 0.6, steps=4)
        page.mouse.up()
        page.wait_for_function(f"(whole) => ({RANGE})()[0] !== whole[0]", arg=whole, polling=100)
        zoomed = page.evaluate(RANGE)
        assert whole[0] < zoomed[0] < zoomed[1] < whole[1]
        write_run(log, "#3", "trial", [0.5, 0.95], 20.0, {"size": 3})
        table = read_study_table(home.tracking_uri, "growing")
        (run,) = table.runs.loc[table.runs["label"] == "#3", "run_id"]
        drawn = "(run) => document.querySelector('.plot').data.some((each) => JSON.stringify(each).includes(run))"
        page.wait_for_function(drawn, arg=f"{run}@2", timeout=MOST_MS, polling=100)
        page.get_by_test_id("stMetric").get_by_text("0.9500").first.wait_for()
        assert page.evaluate(RANGE) == zoomed
        assert page.faults == []
