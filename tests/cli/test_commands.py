"""The command as a person or a script uses it: what it prints, what it writes, how it exits."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import ROOT, tracker, tracker_process
from tests.support.coordinators import Coordinator
from tests.support.mlflow_database import put_mlflow_database
from tracker.cli.main import COMMANDS
from tracker.export.formats import DEFAULT, report_files

NAME = "it's <b>a/b</b> 🦊"
STUDY = """
name = "digits"
workload = "tests.support.digits:Digits"

[quality]
metric = "accuracy"

[budget]
trials = 3

[settings]
epochs = 2
threads = 1

[space]
width = [4, 8, 16, 32, 64]
precision = ["fp32", "tf32"]
"""


@pytest.fixture(scope="module")
def home(new_home):
    return new_home()


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("studies") / "digits.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def ran(home, study_file):
    """A study under a name with everything in it that could go wrong."""
    done = tracker_process("run", study_file, "--name", NAME, "--workers", "1", "--seed", "7", home=home)
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_tells_the_machine_the_rate_what_is_left_out_and_how_it_ended(ran):
    assert "is billed as" in ran.stderr
    assert "data: digits; rows: 1,400 train, 397 validation" in ran.stderr
    assert ran.stderr.count("left out: precision tf32") == 1
    assert re.search(r"new best accuracy 0\.\d+ for [\d.]+ [mµ]\$ \(#\d\)", ran.stderr)
    assert not re.search(r"^#\d", ran.stderr, re.MULTILINE), "no line for a trial that neither failed nor was the best"
    assert "completed: every trial has ended" in ran.stderr
    assert re.search(rf"{re.escape(NAME)}: best .* spent · 3 of 3 trials: 3 completed\n", ran.stderr)
    assert ran.stdout == ""


def test_every_reading_command_gives_one_json_document_on_standard_output(ran, home):
    frontier = json.loads(tracker("frontier", NAME, "--json", home=home).stdout)
    assert frontier.keys() >= {"study", "quality", "spend_usd", "scenario", "price_book", "points"}
    keys = {"trial", "epoch", "quality", "price_usd", "wall_seconds", "sku", "price_basis", "settings"}
    assert all(point.keys() == keys for point in frontier["points"])
    runs = json.loads(tracker("runs", NAME, "--json", home=home).stdout)
    assert runs["data"] == "digits; rows: 1,400 train, 397 validation"
    assert sum(run["price_usd"] for run in runs["runs"]) == pytest.approx(frontier["spend_usd"])
    status = json.loads(tracker("status", NAME, "--json", home=home).stdout)
    assert (status["state"], status["trials"]) == ("completed", {"completed": 3})
    assert status["best"]["quality"] == frontier["points"][-1]["quality"]


def test_the_tables_show_every_run_and_every_frontier_point(ran, home):
    runs = tracker("runs", NAME, home=home)
    assert "data: digits; rows: 1,400 train" in runs.stderr
    assert [word in runs.stdout for word in ("preparation", "logistic regression", "#0", "#1", "#2")] == [True] * 5
    frontier = tracker("frontier", NAME, home=home)
    points = json.loads(tracker("frontier", NAME, "--json", home=home).stdout)["points"]
    assert len(frontier.stdout.splitlines()) == len(points) + 1
    assert "reference: logistic regression" in frontier.stderr
    assert "3 completed" in tracker("status", NAME, home=home).stdout


def test_a_report_is_a_page_and_tables(ran, home, tmp_path):
    done = tracker("report", NAME, "--out", tmp_path / "out", home=home)
    written = [Path(line).name for line in done.stdout.splitlines()]
    assert written == [file.name for file in report_files(DEFAULT)]
    page = (tmp_path / "out/report.html").read_text()
    assert "<b>a/b</b>" not in page.replace("\\u003cb", "<not ")
    with (tmp_path / "out/runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5


def test_a_name_that_is_taken_says_how_to_go_on(ran, home, study_file):
    done = tracker("run", study_file, "--name", NAME, home=home)
    assert done.returncode == 2
    assert "tracker resume" in done.stderr
    more = tracker("resume", NAME, "--trials", "4", home=home)
    assert more.returncode == 0, more.stderr
    assert json.loads(tracker("status", NAME, "--json", home=home).stdout)["trials"] == {"completed": 4}


def test_an_edited_file_is_said_at_resume_and_taken_where_it_may_change(tmp_path):
    path, home = tmp_path / "digits.toml", put_mlflow_database(tmp_path / "home").parent
    path.write_text(STUDY)
    assert tracker("run", path, "--trials", "1", home=home).returncode == 0
    path.write_text(STUDY.replace("trials = 3", "trials = 2"))
    same = tracker("resume", "digits", home=home)
    assert f"'{path}' was edited since the study was started" in same.stderr
    assert "tracker resume digits --update" in same.stderr
    assert "budget.trials: 3 → 2" in same.stderr
    assert "1 of 1 trials: 1 completed" in same.stderr
    path.write_text(STUDY.replace("trials = 3", "trials = 2").replace("epochs = 2", "epochs = 3"))
    refused = tracker("resume", "digits", "--update", home=home)
    assert refused.returncode == 2
    assert "settings.epochs: 2 → 3" in refused.stderr
    path.write_text(STUDY.replace("trials = 3", "trials = -2"))
    wrong = tracker("resume", "digits", "--update", home=home)
    assert (wrong.returncode, f"{path}: 1 problem" in wrong.stderr) == (2, True), wrong.stderr
    assert "line 9, budget.trials: -2 is not" in wrong.stderr
    path.write_text(STUDY.replace("trials = 3", "trials = 2"))
    taken = tracker("resume", "digits", "--update", home=home)
    assert (taken.returncode, "2 of 2 trials: 2 completed" in taken.stderr) == (0, True), taken.stderr
    stored = home / "studies/digits/study.json"
    stored.write_text(stored.read_text().replace('"metric": "accuracy"', '"metric": "acuracy"'))
    broken = tracker("resume", "digits", home=home)
    assert (broken.returncode, f"stored copy '{stored}': 1 problem" in broken.stderr) == (2, True), broken.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "none.toml"), "study file 'none.toml' cannot be read: No such file"),
        (("run", "STUDY", "--budget-usd", "0"), "budget.usd: 0.0 is not"),
        (("run", "STUDY", "--trials", "-1"), "budget.trials: -1 is not"),
        (("run", "STUDY", "--set", "widht=3"), "settings.widht: unknown key; did you mean 'width'?"),
        (("run", "STUDY", "--set", "precision=bf17"), "did you mean 'bf16'?"),
        (("run", "STUDY", "--set", "width"), "not of the form knob=value"),
        (("run", "STUDY", "--workers", "0"), "0 is not in the range"),
        (("run", "STUDY", "--storage", "nonsense"), "database 'nonsense' cannot be used"),
        (("frontier", "nobody"), "there is no study 'nobody'"),
        (("status", "nobody"), "there is no study 'nobody'"),
        (("resume", "nobody"), "there is no study"),
        (("stop", "nobody"), "there is no study"),
        (("report", "nobody"), "there is no study"),
        (("frontire", "x"), "did you mean 'frontier'?"),
    ],
)
def test_a_wrong_request_is_reported_in_a_line_with_exit_code_2(arguments, said, study_file, tmp_path):
    given = [study_file if argument == "STUDY" else argument for argument in arguments]
    done = tracker(*given, home=tmp_path)
    assert done.returncode == (1 if "--storage" in arguments else 2), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [("run", "STUDY", "--set", "widht=3"), ("frontier", "nobody")])
def test_nothing_else_is_said_by_a_process_of_its_own(arguments, study_file, tmp_path):
    given = [study_file if argument == "STUDY" else argument for argument in arguments]
    done, expected = tracker_process(*given, home=tmp_path), tracker(*given, home=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected.stderr)


def test_a_home_that_cannot_be_written_is_said(study_file, tmp_path):
    (tmp_path / "file").write_text("")
    done = tracker("run", study_file, home=tmp_path / "file")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def interrupted_study(study_file, home, stop):
    put_mlflow_database(home)
    words = ["run", study_file, "--set", "epochs=10000", "--set", "epoch_seconds=0.2"]
    process = Coordinator("from tracker.cli.main import main; main()", *words, environment={"TRACKER_HOME": str(home)})
    trial = home / "studies/digits/trials/0/1.jsonl"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (trial.exists() and '"checkpoint"' in trial.read_text()):
        time.sleep(0.1)
    stop(process)
    _, errors = process.communicate(timeout=300)  # its training would take half an hour
    return process.returncode, errors


@pytest.mark.parametrize("way", ["ctrl-c", "tracker stop"])
def test_stopping_keeps_what_was_reached_and_says_how_to_go_on(way, study_file, tmp_path):
    def stop(process):
        if way == "ctrl-c":
            process.send_signal(signal.SIGINT)
        else:
            assert tracker("stop", "digits", home=tmp_path).returncode == 0

    code, errors = interrupted_study(study_file, tmp_path, stop)
    assert code == 1
    assert "tracker resume digits" in errors
    assert "Traceback" not in errors
    status = json.loads(tracker("status", "digits", "--json", home=tmp_path).stdout)
    assert status["state"] == "stopped"
    assert status["trials"].keys() == {"stopped"}
    assert status["best"]["price_usd"] > 0
    assert "is not running" in tracker("stop", "digits", home=tmp_path).stderr


def test_a_study_whose_coordinator_was_killed_is_shown_as_interrupted(study_file, tmp_path):
    interrupted_study(study_file, tmp_path, lambda process: process.kill())
    assert json.loads(tracker("status", "digits", "--json", home=tmp_path).stdout)["state"] == "interrupted"


def test_the_doctor_tells_what_was_tried_and_what_is_billed(tmp_path):
    document = json.loads(tracker("doctor", "--json", "--no-compile", home=tmp_path).stdout)
    assert document["cores"] == len(os.sched_getaffinity(0))
    assert "fp32" in document["precisions"]["cpu"]
    assert document["billed_as"]["cpu"]["usd_per_hour"] > 0
    assert document["billed_as"]["cpu"]["source"]
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_command_and_is_quick_to_import(tmp_path):
    done = tracker("--help", home=tmp_path)
    for command in (*COMMANDS, "dashboard"):
        assert re.search(rf"^  {command} +\S", done.stdout, re.MULTILINE), command
    code = "import sys, tracker.cli.main; print({'mlflow', 'optuna', 'torch', 'pandas', 'ray'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "set()\n"
