"""What others wrote is shown as text: names, tags, knobs, settings and messages, by every command and in every file."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re

import openpyxl
import pandas as pd
import pytest

from dashboard.parts.chart import _csv
from tests.dashboard.conftest import study_tags, write_run
from tests.support.command import ROOT, tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker.records import TrialState
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore

EVIL = "=1+1|<evil onload=x> [red]x[/red] **b** \x1b[31m \u202e `$(x)` 🦊"
NAME = "=1+1|<evil> [red]x[/red] **b** `$(x)` é 🦊"
STEERING = ("\x1b", "\u202e", "\r", "\x07")
FORMATS = ("html", "csv", "json", "md", "xlsx")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two studies with such texts wherever MLflow has room for one, whoever wrote them."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.make()
    put_mlflow_database(home.path)
    store = MlflowStore(home.tracking_uri)
    for name in (NAME, "=other"):
        tags = {**study_tags("completed"), "tracker.tags": json.dumps({"team": EVIL}), "team": EVIL}
        tags |= {"tracker.data_description": EVIL, "tracker.hardware": EVIL, "mlflow.user": EVIL}
        log = store.create_study(name, tags, 1.79e9, home.artifacts(name))
        write_run(log, EVIL, "baseline", [0.3], 7.0, {})
        for number in range(4):
            failed = number == 3
            settings = {"device": "cpu", "threads": 1, EVIL: f"{EVIL}{number % 2}"}
            state = TrialState.FAILED if failed else TrialState.COMPLETED
            write_run(log, f"#{number}", "trial", [] if failed else [0.5 + number / 10], 1.0 + number, settings, state)
    return home


def the_names(text):
    return text.count("<evil") and text.count("[red]x[/red]")


COMMANDS = {
    "status": ("status", NAME),
    "runs": ("runs", NAME),
    "parts": ("runs", NAME, "--parts"),
    "frontier": ("frontier", NAME),
    "compare": ("compare", NAME, "=other"),
    "spend": ("report", "--all", "--by", "study,user,tag:team"),
    "stop": ("stop", NAME),
    "unknown": ("status", EVIL),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_them_as_they_are_and_never_steers_the_terminal(command, home, tmp_path):
    done = tracker(*COMMANDS[command], home=home.path, folder=tmp_path)
    assert not any(character in done.stdout + done.stderr for character in STEERING)
    assert "internal error" not in done.stderr
    if command not in ("stop", "parts"):
        assert the_names(done.stdout + done.stderr), "no markup of the terminal's library"


def test_commands_print_through_one_door():
    files = [path for path in (ROOT / "tracker" / "cli").rglob("*.py") if path.name != "output.py"]
    assert files and not [path.name for path in files if "click.echo" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("arguments", [("status",), ("runs",), ("frontier",)])
def test_json_has_the_same_values(arguments, home):
    done = tracker(*arguments, NAME, "--json", home=home.path)
    assert not any(character in done.stdout for character in STEERING)
    shown = json.loads(done.stdout)
    assert shown["study"] == NAME
    assert any(EVIL in str(value) for value in _values(shown))


def _values(document):
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from _values(value)
    elif isinstance(document, list):
        for value in document:
            yield from _values(value)
    else:
        yield document


@pytest.fixture(scope="module")
def report(home):
    """The files of a report, by their names."""
    done = tracker("report", NAME, "--format", ",".join(FORMATS), home=home.path)
    assert done.returncode == 0, done.stderr
    folder = home.reports
    assert all(path.resolve().is_relative_to(folder) for path in folder.rglob("*"))
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


class Tags(html.parser.HTMLParser):
    """The elements of a page, and their attributes that run something."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [tag, *(name for name, _ in attributes if name.startswith("on"))]
        self.found += [str(value) for name, value in attributes if name in ("href", "src") and value]


def test_a_page_has_no_element_of_theirs(report):
    tags = Tags()
    tags.feed(report["report.html"].read_text())
    assert "h1" in tags.found
    assert not [each for each in tags.found if each.startswith(("evil", "on", "javascript:"))]
    text = report["report.html"].read_text()
    assert "&lt;evil" in text and not any(character in text for character in STEERING)


def test_a_csv_and_a_workbook_hold_no_formula(report):
    cells = 0
    for path in report.values():
        if path.suffix == ".csv":
            for row in csv.reader(path.read_text().splitlines()):
                for cell in row:
                    cells += 1
                    assert not cell.startswith(("=", "@", "+", "\t", "\r")), (path.name, cell)
        if path.suffix == ".xlsx":
            for sheet in openpyxl.load_workbook(path):
                for row in sheet.iter_rows():
                    assert not [cell.coordinate for cell in row if cell.data_type == "f"], sheet.title
    assert cells


def test_markdown_has_no_html_and_no_emphasis_of_theirs(report):
    text = report["report.md"].read_text()
    assert "&lt;evil" in text
    outside_code = re.sub(r"(`+) .*? \1(?!`)", "", text)
    assert "<evil" not in outside_code and " **b** " not in outside_code
    assert not any(character in text for character in STEERING)


def test_the_table_below_a_chart_is_a_csv_without_formulas():
    frame = pd.DataFrame({"=x": ["@y", "plain", None], "price": [-0.5, 1.0, 2.0]})
    rows = list(csv.reader(io.StringIO(_csv(frame))))
    assert rows == [["'=x", "price"], ["'@y", "-0.5"], ["plain", "1.0"], ["", "2.0"]]
