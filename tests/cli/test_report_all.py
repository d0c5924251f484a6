"""`tracker report --all`: what is printed and written of all studies of a home."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime

import openpyxl
import pandas as pd
import pytest

from tests.support.command import tracker
from tests.support.spending_home import NOVEMBER, OCTOBER, USD_PER_SECOND, put_study

SPENT = pytest.approx((86_400 + 3600 + 7200) * USD_PER_SECOND)
NAME = "<b>vision</b> 🦊"


@pytest.fixture(scope="module")
def home(new_home):
    home = new_home()
    put_study(home, NAME, [("ada", OCTOBER, 86_400.0), ("=grace", NOVEMBER, 3600)], {"team": "=search"})
    put_study(home, "audio", [("", NOVEMBER, 7200)], {"team": "sound"}, user="")
    return home


def test_without_a_format_a_table_is_printed_and_the_totals_below_it(home):
    done = tracker("report", "--all", "--by", "user,month", home=home)
    lines = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    assert lines[0] == ["user", "month", "studies", "runs", "attempts", "machine hours", "billed"]
    assert lines[1][:2] == ["ada", "2026-10"] and lines[2][:2] == ["ada", "2026-11"]
    assert lines[3] == ["—", "2026-11", "1", "1", "1", "2", "$0.192"]
    assert done.stderr == "billed $2.59 in 2 studies, 3 runs\n"
    assert not (home / "reports").exists()


def test_a_script_gets_one_json_document(home):
    document = json.loads(tracker("report", "--all", "--by", "tag:team", "--json", home=home).stdout)
    assert document["total_usd"] == {"billed": SPENT}
    assert [group["tag:team"] for group in document["groups"]] == ["=search", "sound"]
    assert document["studies"] == [NAME, "audio"]


def test_files_have_the_same_totals_and_nothing_that_a_spreadsheet_runs(home, tmp_path):
    done = tracker("report", "--all", "--by", "tag:team", "--format", "csv,focus", "--out", tmp_path, home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / name) for name in ("spend.csv", "charges.csv", "focus.csv")]
    spend, charges = (pd.read_csv(tmp_path / name, keep_default_na=False) for name in ("spend.csv", "charges.csv"))
    focus = pd.read_csv(tmp_path / "focus.csv")
    assert spend["billed_usd"].sum() == charges["usd"].sum() == focus["BilledCost"].sum() == SPENT
    assert spend["tag:team"].tolist() == ["'=search", "sound"]
    assert set(charges["user"]) == {"ada", "'=grace", ""}
    assert {json.loads(tags)["team"] for tags in focus["Tags"]} == {"=search", "sound"}
    with (tmp_path / "focus.csv").open(newline="") as file:
        assert not any(re.match(r"[=+\-@]", cell) for row in csv.reader(file) for cell in row)


def test_the_workbook_has_a_sheet_of_groups_and_one_of_charges(home, tmp_path):
    done = tracker("report", "--all", "--by", "tag:team,month", "--format", "xlsx", "--out", tmp_path, home=home)
    assert done.returncode == 0, done.stderr
    book = openpyxl.load_workbook(tmp_path / "spend.xlsx")
    assert book.sheetnames == ["Spend", "Charges", "Notes"]
    header, *rows = book["Spend"].values
    assert header[-1] == "billed_usd" and sum(row[-1] for row in rows) == SPENT
    assert {row[0] for row in rows} == {"'=search", "sound"}
    header, *rows = book["Charges"].values
    assert sum(row[header.index("usd")] for row in rows) == SPENT
    assert min(row[header.index("started_at")] for row in rows) == datetime(2026, 10, 31, 12)
    assert next(row[0] for row in book["Notes"].values) == "billed $2.59 in 2 studies, 3 runs"


def test_the_page_has_groups_studies_and_totals_and_trusts_no_name(home, tmp_path):
    tracker("report", "--all", "--by", "user", "--format", "html", "--out", tmp_path, home=home)
    page = (tmp_path / "spend.html").read_text()
    assert "&lt;b&gt;vision&lt;/b&gt; 🦊" in page and "<b>vision" not in page
    assert page.count("$2.59") == 2, "on a card and below the table"
    assert "not invoices" in page
    assert len(page) < 20_000 and "http" not in page.replace("http-equiv", "")


def test_files_go_to_the_home_and_are_kept_unless_forced(home):
    written = home / "reports" / "_all" / "spend.html"
    assert tracker("report", "--all", "--format", "html", home=home).stdout == f"{written}\n"
    again = tracker("report", "--all", "--format", "html", home=home)
    assert (again.returncode, "there already; --force replaces " in again.stderr) == (2, True)
    assert tracker("report", "--all", "--format", "html", "--force", home=home).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of the two"),
        (("audio", "--all"), "give one of the two"),
        (("audio", "--by", "sku"), "--by goes with --all"),
        (("audio", "--since", "2026-01-01"), "--since goes with --all"),
        (("audio", "--json"), "--json goes with --all"),
        (("--all", "--by", "mnth"), "did you mean 'month'?"),
        (("--all", "--since", "2100-01-01"), "is in the future"),
        (("--all", "--since", "2026-11-08"), "nothing was charged since 2026-11-08: the last charge was on 2026-11-05"),
        (("--all", "--format", "parquet"), "--all has no format 'parquet'"),
        (("--all", "--out", "somewhere"), "say by --format which"),
        (("--all", "--currency", "EUR"), "unknown currency 'EUR'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(home, arguments, said):
    done = tracker("report", *arguments, home=home)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2 and done.stdout == ""


def test_a_home_without_studies_is_refused(new_home):
    done = tracker("report", "--all", home=new_home())
    assert (done.returncode, "there are no studies" in done.stderr) == (2, True)
