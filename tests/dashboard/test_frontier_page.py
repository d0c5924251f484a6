"""The page Frontier, run without a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboard.text import literal
from tests.support.mlflow_database import put_mlflow_database
from tracker.records import Direction
from tracker.report.axis_points import axis_points
from tracker.report.targets import cheapest_reaching
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import read_study_table


def texts(page):
    kinds = (page.markdown, page.caption, page.info, page.warning, page.error)
    return " ".join(each.value.replace("\\", "") for kind in kinds for each in kind)


def test_a_link_opens_its_study_with_the_answers(open_page):
    page = open_page("Frontier", study="docstrings")
    assert not page.exception
    assert page.selectbox[0].value == "docstrings" or page.sidebar.selectbox[0].value == "docstrings"
    assert {metric.label: metric.value for metric in page.metric}["Best accuracy"] == "0.7543"
    assert "dominates 6 of 22 frontier points" in texts(page)


def test_the_frontier_is_a_table_too_with_units_in_its_heads(open_page):
    page = open_page("Frontier", study="docstrings")
    frontier = next(frame.value for frame in page.dataframe if len(frame.value) == 22)
    assert frontier["x"].is_monotonic_increasing
    assert frontier["y"].is_monotonic_increasing
    assert {"settings.size", "settings.precision", "settings.threads"} <= set(frontier.columns)
    assert "settings.dropout" not in frontier.columns  # the same in every trial


def test_the_target_is_dragged_and_the_sentence_is_right(open_page, home):
    page = open_page("Frontier", study="docstrings")
    slider = page.select_slider[0]
    goal = slider.options[-3]
    slider.set_value(float(goal)).run()
    assert not page.exception
    target = float(page.query_params["target"])
    found = axis_points(read_study_table(Home(home).tracking_uri, "docstrings"))
    answer = cheapest_reaching(found, target)
    assert answer.reached
    assert answer.question in texts(page)
    assert answer.sentence in texts(page)
    assert answer.next_better in texts(page)


def test_a_target_out_of_reach_is_typed_and_reported(open_page):
    page = open_page("Frontier", study="docstrings")
    page.number_input[0].set_value(0.99).run()
    assert not page.exception
    assert "No checkpoint reaches accuracy 0.9900; the best is trial" in texts(page)
    assert page.query_params["target"] == "0.99"


def test_what_each_step_costs_and_more_money_are_a_click_away(open_page):
    page = open_page("Frontier", study="docstrings")
    (part,) = [each for each in page.expander if "what more money would bring" in each.label]
    (text,) = [each.value.replace("\\", "") for each in part.markdown]
    assert "It starts at accuracy" in text
    assert "It stops paying after #" in text
    assert "Whether more money would help is not known" in text  # the study has no decisions


def test_the_budget_of_a_link_is_answered_in_the_study_s_unit(open_page):
    page = open_page("Frontier", study="docstrings", budget="0.0001")
    assert "Best under 0.100 m$" in texts(page)
    bad = open_page("Frontier", study="docstrings", budget="lots", target="nan", x="moon", xscale="?", predictions="-1")
    assert not bad.exception
    assert "Cheapest reaching accuracy" in texts(bad)


def test_other_axes_have_their_own_frontier_and_words(open_page):
    page = open_page("Frontier", study="docstrings", x="wall_seconds")
    assert not page.exception
    assert "Quickest reaching accuracy" in texts(page)
    page.selectbox[0].set_value("price_usd").run()
    assert "Cheapest reaching accuracy" in texts(page)


def test_a_selected_point_fills_the_panel(open_page, run_ids):
    page = open_page("Frontier", study="docstrings", point=f"{run_ids['#5']}@2")
    assert not page.exception
    assert "### #5, epoch 2 · completed" in texts(page)
    parts, figures, settings = (table.value for table in page.table)
    assert parts.iloc[:, 0].tolist() == ["data", "compute", "storage", "maintenance"]
    assert "accuracy" in figures.iloc[:, 0].tolist()
    assert "size" in settings.iloc[:, 0].tolist()
    codes = [code.value for code in page.code]
    assert any("The search's decisions are unknown" in code for code in codes)
    assert any(code.startswith("mlflow ui --backend-store-uri sqlite:///") for code in codes)
    assert "The command that trains it again is not known" in texts(page)  # the study has no folder here


def test_several_points_are_chosen_among_and_a_deleted_one_is_reported(open_page, run_ids):
    page = open_page("Frontier", study="docstrings", point=[f"{run_ids['#5']}@2", f"{run_ids['#6']}@1"])
    assert not page.exception
    assert any(button.label == "Compare their runs" for button in page.button)
    gone = open_page("Frontier", study="docstrings", point="0123@4")
    assert not gone.exception
    assert "study 'docstrings' has no run '0123': it was deleted" in texts(gone)
    assert len(gone.metric) == 4


def test_an_answer_s_details_are_a_button_away(open_page):
    page = open_page("Frontier", study="docstrings")
    next(button for button in page.button if button.label == "Show its details").click().run()
    assert not page.exception
    assert "@" in page.query_params["point"]
    assert "On the frontier" in texts(page)


def test_repeats_show_in_the_table_and_in_words(open_page, confirmed_home):
    page = open_page("Frontier", at=confirmed_home, study="confirmed")
    assert not page.exception
    frontier = next(frame.value for frame in page.dataframe if "repeats" in frame.value)
    assert frontier["repeats"].tolist() == [2, 2]
    assert frontier["quality_mean"].tolist() == pytest.approx([0.495, 0.695])
    assert any("2 repeats of 1 trial cost" in each.label.replace("\\", "") for each in page.expander)


def test_a_study_without_a_checkpoint_says_so_and_when_it_was_read(open_page):
    page = open_page("Frontier", study="just <started> $1 🦊")
    assert not page.exception
    assert "No run of this study has reached a checkpoint yet" in texts(page)
    assert "every 3 s" in texts(page)
    assert "every 3 s" not in texts(open_page("Frontier", study="docstrings"))


@pytest.mark.parametrize(
    ("qualities", "direction"),
    [([0.5], Direction.MAXIMIZE), ([0.5, 0.5, 0.5], Direction.MINIMIZE), ([float("nan")] * 2, Direction.MAXIMIZE)],
)
def test_a_single_point_a_constant_quality_and_no_number_at_all_leave_the_page_usable(
    open_page, tmp_path, qualities, direction
):
    place = Home(tmp_path)
    put_mlflow_database(tmp_path)
    tags = {"tracker.state": "completed", "tracker.quality": "q" * 240, "tracker.direction": str(direction)}
    log = MlflowStore(place.tracking_uri).create_study("s", tags, 1.79e9, tmp_path / "artifacts")
    run = log.run("#0", {}, {"tracker.role": "trial", "tracker.trial": "0", "tracker.state": "completed"}, 1.79e9)
    for epoch, quality in enumerate(qualities, 1):
        run.add({"q" * 240: quality, "wall_seconds": epoch, "price_usd": epoch}, step=epoch, timestamp=1.79e9 + epoch)
    run.outbox.flush()
    page = open_page("Frontier", at=tmp_path, study="s")
    assert not page.exception
    assert len(page.metric) >= 1


@pytest.mark.browser
def test_a_point_is_clicked_the_target_dragged_and_the_link_opens_the_same_view(browser, served):
    page = browser.new_page(viewport={"width": 1280, "height": 1800})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{served}/?study=docstrings")
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=300_000)
    point = page.locator(".js-plotly-plot").first.locator(".scatterlayer .point").nth(3)
    box = point.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_text("Cost parts", exact=True).wait_for(timeout=60_000)
    title = page.locator("h3", has_text="epoch").first.inner_text()
    assert re.fullmatch(r"#\d+, epoch \d+ · completed", title)
    thumb = page.get_by_role("slider").first
    thumb.focus()
    thumb.press("ArrowRight")
    page.wait_for_url("**target=*", timeout=60_000)
    (target,) = parse_qs(urlsplit(page.url).query)["target"]
    shown = f"Cheapest reaching accuracy {float(target):.4f}"
    page.locator("strong", has_text=shown).first.wait_for(timeout=60_000)
    drawn = f"document.querySelector('.plot').textContent.includes('target {float(target):.4f}')"
    page.wait_for_function(drawn, timeout=60_000, polling=100)
    other = browser.new_page(viewport={"width": 390, "height": 1800})
    other.goto(page.url)
    other.get_by_text("Cost parts", exact=True).wait_for(timeout=120_000)
    assert other.locator("h3", has_text="epoch").first.inner_text() == title
    assert other.locator("strong", has_text="Cheapest reaching accuracy").first.inner_text() == shown
    assert complaints == []
    other.close()
    page.close()


def test_the_pages_load_nothing_heavy():
    """Torch alone would take seconds and half a gigabyte."""
    code = "import dashboard.pages.frontier, dashboard.pages.compare, json, sys; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"torch", "optuna", "mlflow"}.isdisjoint(json.loads(output.splitlines()[-1]))


def test_markdown_shows_names_as_they_are():
    assert literal("a*b* $x$ :tada: [l](u)\n# <b>") == (r"a\*b\* \$x\$ \:tada\: \[l\]\(u\) \# \<b\>")


def test_other_hardware_is_chosen_and_goes_into_the_link(open_page):
    page = open_page("Frontier", study="docstrings")
    assert not page.exception and "hardware that you have not rented" in " ".join(each.value for each in page.header)
    page.multiselect(key="hardware").set_value(["L4", "H100"]).run()
    assert not page.exception
    assert set(page.query_params["on"]) == {"L4", "H100"}
    assert "predicted, not measured" in texts(page) or "not predicted on" in texts(page)
    again = open_page("Frontier", study="docstrings", on="H100")
    assert not again.exception and again.multiselect(key="hardware").value == ["H100"]
    strange = open_page("Frontier", study="docstrings", on="<b>H1O0 🦊")
    assert not strange.exception and strange.multiselect(key="hardware").value == []
