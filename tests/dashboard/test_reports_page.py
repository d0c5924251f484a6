"""The page Reports, run without a browser: what it offers is what the command writes."""

from __future__ import annotations

import io
import zipfile

from dashboard.pages.reports import _Made
from tracker.export.formats import FORMATS, report_files, write_report
from tracker.imports.exported import read_export
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_writing import compact_scenario_toml
from tracker.report.repricing import priced_study_table
from tracker.store.home import Home


def offered(page):
    return [button.label for button in page.get("download_button")]


def test_every_file_of_every_format_is_offered_beside_the_page_itself(open_page):
    page = open_page("Reports", study="docstrings")
    assert not page.exception and not page.error
    expected = [
        name
        for each, kind in FORMATS.items()
        for name in [*(file.name for file in kind.files), *([f"{each}.zip"] if len(kind.files) > 1 else [])]
    ]
    assert sorted(offered(page)) == sorted(expected)
    shown = " ".join(each.value for each in page.markdown)
    assert [name for name in FORMATS if name != "html" and f"**{name}**" not in shown] == []
    assert len(page.get("iframe")) == 1


def test_a_file_is_made_when_it_is_asked_for_and_once(home, tmp_path):
    table = priced_study_table(Home(home), "docstrings", Scenario())
    made = _Made(table)
    files = report_files(["csv"])
    assert made.contents == {}
    with zipfile.ZipFile(io.BytesIO(made.zipped(files))) as whole:
        whole.extractall(tmp_path / "taken")
    assert set(made.contents) == {file.name for file in files}
    assert made.of(files[0]) is made.of(files[0])
    # The folder is an export: it has what the command writes.
    written = write_report(table, tmp_path / "written", ["csv"])
    assert {path.name for path in written} == {path.name for path in (tmp_path / "taken").iterdir()}
    assert read_export(tmp_path / "taken").spend_usd == table.spend_usd


def test_the_report_is_that_of_the_scenario_of_the_view(open_page):
    scenario = Scenario(name="half", changes=(RateChange(factor=0.5),))
    page = open_page("Reports", study="docstrings", scenario=compact_scenario_toml(scenario))
    assert not page.exception and not page.error
    assert any("scenario half" in each.value.replace("\\", "") for each in page.caption)
    assert "scenario half: compute of everything × 0.5" in page.get("iframe")[0].proto.srcdoc


def test_a_study_without_a_point_has_a_report_too(open_page):
    page = open_page("Reports", study="just <started> $1 🦊")
    assert not page.exception
    assert "No run of this study has reached a checkpoint yet" in page.get("iframe")[0].proto.srcdoc
