"""tracker predict, on a real study: what it prints, its document, and what it refuses."""

from __future__ import annotations

import json

import pytest

from tests.support.command import tracker
from tests.support.studies import DIGITS
from tracker import run_study


@pytest.fixture(scope="module")
def home(new_home):
    folder = new_home()
    run_study({**DIGITS, "name": "digits"}, home=folder, trials=3)
    return folder


def test_the_frontier_is_predicted_on_other_hardware_with_ranges(home):
    done = tracker("predict", "digits", "--on", "L4", "--on", "aws/c7i.2xlarge", home=home)
    assert done.returncode == 0, done.stderr
    assert "aws/c7i.2xlarge on_demand" in done.stdout and "another processor" in done.stdout
    assert "predicted, not measured" in done.stderr
    assert "not predicted on L4: trial" in done.stderr and "FLOPs are not known" in done.stderr


def test_the_document_has_every_point_on_every_target(home):
    frontier = json.loads(tracker("frontier", "digits", "--json", home=home).stdout)["points"]
    done = tracker("predict", "digits", "--on", "L4", "--on", "aws/c7i.2xlarge", "--json", home=home)
    document = json.loads(done.stdout)
    assert len(document["predictions"]) == 2 * len(frontier)
    there = [row for row in document["predictions"] if row["on"] == "aws/c7i.2xlarge"]
    assert [(row["trial"], row["epoch"]) for row in there] == [(row["trial"], row["epoch"]) for row in frontier]
    assert {row["price_basis"] for row in document["predictions"]} == {"predicted"}
    assert all(row["price_usd_low"] <= row["price_usd"] <= row["price_usd_high"] for row in there)


def test_one_trial_at_another_days_rates(home):
    done = tracker("predict", "digits", "--trial", "0", "--on", "aws/m5.large", "--as-of", "2026-08-01", home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trial 0, epoch ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "H1000"], "'H1000' is neither an accelerator nor a SKU"),
        (["--on", "Trainium1"], "specifications of 'Trainium1' are not known"),
        (["--on", "L4", "--trial", "99"], "trial 99 of study 'digits' has no checkpoint; trials with one: 0, 1, 2"),
        (["--trial", "0", "--frontier"], "choose one"),
        (["--on", "B300", "--market", "reserved"], "no reserved rate"),
    ],
)
def test_a_wrong_request_is_refused_in_a_line(home, arguments, message):
    done = tracker("predict", "digits", *arguments, home=home)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.strip().splitlines()) <= 3


def test_a_report_has_what_it_was_asked_for(home, tmp_path):
    done = tracker(
        "report", "digits", "--on", "aws/c7i.2xlarge", "--format", "html,md,json", "--out", tmp_path, home=home
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "On hardware that nobody has rented" in page and 'id="predictions"' in page
    assert "On hardware that nobody has rented" in (tmp_path / "report.md").read_text()
    document = json.loads((tmp_path / "report.json").read_text())
    assert {row["on"] for row in document["predictions"]} == {"aws/c7i.2xlarge"}
    refused = tracker("report", "digits", "--on", "H1000", "--out", tmp_path / "other", home=home)
    assert refused.returncode == 2 and not (tmp_path / "other").exists()
    assert tracker("report", "--all", "--on", "L4", home=home).returncode == 2
