"""The page Reports, run without a browser: what it offers is what the command writes."""

from __future__ import annotations

from tracker.export.formats import DEFAULT, report_files, write_report
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_writing import compact_scenario_toml
from tracker.report.repricing import priced_study_table
from tracker.store.home import Home


def offered(page):
    return {button.label for button in page.get("download_button")}


def test_every_file_of_the_command_is_offered_beside_the_page_itself(open_page, home, tmp_path):
    page = open_page("Reports", study="docstrings")
    assert not page.exception and not page.error
    written = write_report(priced_study_table(Home(home), "docstrings", Scenario()), tmp_path)
    assert offered(page) == {file.name for file in report_files(DEFAULT)} == {path.name for path in written}
    assert len(page.get("iframe")) == 1


def test_the_report_is_that_of_the_scenario_of_the_view(open_page):
    scenario = Scenario(name="half", changes=(RateChange(factor=0.5),))
    page = open_page("Reports", study="docstrings", scenario=compact_scenario_toml(scenario))
    assert not page.exception and not page.error
    assert any("scenario half" in each.value.replace("\\", "") for each in page.caption)
    assert "scenario half: compute of everything × 0.5" in page.get("iframe")[0].proto.srcdoc


def test_a_study_without_a_point_has_a_report_too(open_page):
    page = open_page("Reports", study="just <begun> $1 🦊")
    assert not page.exception
    assert "No run of this study has reached a checkpoint yet" in page.get("iframe")[0].proto.srcdoc
