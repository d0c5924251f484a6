"""tracker confirm as a person or a script uses it, and what the reading commands say afterwards."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.command import tracker
from tests.support.interrupts import once, training_started
from tests.support.lucky import study
from tests.support.mlflow_database import put_mlflow_database
from tracker import run_study
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    put_mlflow_database(folder)
    run_study(study(repeat_seconds=0.3), home=folder)
    return folder


@pytest.fixture(scope="module")
def confirmed(home):
    """Stopped as `tracker stop` does it, then resumed."""
    folder = StudyFolder(Home(home).study("lucky"))
    with once(lambda: training_started(home, "*-repeat-1"), folder.stop):
        stopped = tracker("confirm", "lucky", "--seeds", "1", "--workers", "1", home=home)
    return stopped, tracker("confirm", "lucky", "--seeds", "1", home=home)


def test_stopped_it_says_how_to_go_on_and_then_does(confirmed):
    stopped, done = confirmed
    assert stopped.returncode == 1
    assert "stopped by SIGTERM" in stopped.stderr
    assert "resume it: tracker confirm lucky" in stopped.stderr
    assert done.returncode == 0, done.stderr
    assert "repeats: 2 completed" in done.stderr
    assert "tracker frontier lucky" in done.stderr
    assert done.stdout == ""


def test_the_frontier_then_tells_how_sure_it_is(confirmed, home):
    document = json.loads(tracker("frontier", "lucky", "--json", home=home).stdout)
    keys = {"repeats", "quality_mean", "quality_low", "quality_high", "price_mean_usd", "probability_on_frontier"}
    assert all(point.keys() >= keys | {"tied_with"} for point in document["points"])
    assert document["confirmation"]["repeats"] > document["confirmation"]["completed"] == 2
    shown = tracker("frontier", "lucky", home=home)
    assert all(title in shown.stdout.splitlines()[0] for title in ("repeats", "mean", "95 %", "on it", "tied with"))
    assert re.search(r"3 repeats of 2 trials cost [\d.]+ [mµ]\$, 1 of them no evidence", shown.stderr)


def test_runs_and_status_count_what_repeats_cost(confirmed, home):
    runs = json.loads(tracker("runs", "lucky", "--json", home=home).stdout)
    paid = sum(run["price_usd"] for run in runs["runs"] if run["role"] == "repeat")
    status = json.loads(tracker("status", "lucky", "--json", home=home).stdout)
    assert (status["state"], status["trials"], status["repeats"]) == ("completed", {"completed": 2}, 3)
    assert status["repeats_usd"] == pytest.approx(paid)
    assert status["spend_usd"] == pytest.approx(sum(run["price_usd"] for run in runs["runs"]))
    assert "#1 repeat 1" in tracker("runs", "lucky", home=home).stdout
    amount = re.search(r"repeats: ([\d.]+ [mµ]\$) of it, by 3 runs", tracker("runs", "lucky", home=home).stderr)
    assert amount
    assert f"repeats    3 for {amount[1]} of" in tracker("status", "lucky", home=home).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "there is no study 'nobody' in"),
        (("lucky", "--seeds", "0"), "0 is not in the range x>=1"),
        (("lucky", "--budget-usd", "0"), "budget_usd: 0.0 is not a number of dollars above 0"),
        (("lucky", "--budget-usd", "nan"), "budget_usd: nan is not a number of dollars above 0"),
        (("lucky", "--workers", "0"), "0 is not in the range x>=1"),
    ],
)
def test_a_wrong_request_is_reported_in_a_line_with_exit_code_2(arguments, said, home):
    done = tracker("confirm", *arguments, home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
