"""tracker advise as a person or a script uses it, on a real small study."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command import tracker
from tracker import open_study, run_study
from tracker.cli.options import seconds_until
from tracker.errors import RequestError
from tracker.pricing.scenario import Scenario
from tracker.records import Market

DIGITS = """
name = "digits"
workload = "tests.support.digits:Digits"
[quality]
metric = "accuracy"
[budget]
trials = 10
[settings]
epochs = 3
threads = 1
precision = "fp32"
[space]
width = [4, 8, 16, 32]
learning_rate = {low = 0.001, high = 0.3, log = true}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory, new_home):
    home, path = new_home(), tmp_path_factory.mktemp("digits") / "study.toml"
    path.write_text(DIGITS)
    run_study(path, home=home)
    return home


def points(home):
    return json.loads(tracker("frontier", "digits", "--json", home=home).stdout)["points"]


def asked(home, *options):
    done = tracker("advise", "digits", *options, "--json", home=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_cheapest_at_a_quality_is_the_frontier_s_with_the_command_that_trains_it_again(home):
    frontier = points(home)
    middle = frontier[len(frontier) // 2]
    document = asked(home, "--min-quality", middle["quality"])
    assert document["reached"]
    assert {name: document["point"][name] for name in middle} == middle
    done = tracker("advise", "digits", "--min-quality", middle["quality"], home=home)
    assert document["train_again"]["command"] in done.stdout.splitlines()
    assert f"trial #{middle['trial']} after epoch {middle['epoch']}" in done.stdout.lower()
    assert "was measured once" in done.stdout


def test_its_command_trains_the_same_settings_again(home):
    document = asked(home, "--max-usd", "1")
    words = shlex.split(document["train_again"]["command"])[1:]
    done = tracker(*words)
    assert done.returncode == 0, done.stderr
    again = words[words.index("--name") + 1]
    (row,) = open_study(again, home=home).frontier().tail(1)["settings"]
    assert {name: row[name] for name in document["point"]["settings"]} == document["point"]["settings"]


def test_asked_for_nothing_it_reads_out_the_frontier_and_says_how_forecasts_came_true(home):
    done = tracker("advise", "digits", home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("It starts at accuracy ")
    assert "Kneedle" in done.stdout
    assert "ore money" in done.stdout
    document = asked(home)
    assert len(document["steps"]) == len(points(home)) - 1
    assert document["more_money"]["record"]["due"] >= 0


def test_python_says_what_the_command_says(home):
    by_command = asked(home, "--max-usd", "1", "--deadline", "2h", "--market", "spot")
    study = open_study("digits", home=home)
    found = study.advise(max_usd=1.0, deadline_seconds=7200.0, scenario=Scenario(market=Market.SPOT))
    assert found == by_command
    assert found["scenario"]["market"] == "spot"


def test_a_quality_out_of_reach_is_answered_with_the_best_there_is(home):
    document = asked(home, "--min-quality", "1.5")
    assert document["reached"] is False
    assert document["point"]["quality"] == points(home)[-1]["quality"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--deadline", "2020-01-31"), "--deadline 2020-01-31 is past"),
        (("--deadline", "soon"), "--deadline 'soon' is no time; allowed: seconds (90)"),
        (("--deadline", "0h"), "--deadline 0h: allowed is a time above 0"),
        (("--max-usd", "-1"), "cost -1: allowed is a finite number above 0"),
        (("--min-quality", "nan"), "quality nan: allowed is a finite number"),
        (("--predictions", "1000"), "has no predictions_per_second"),
    ],
)
def test_what_cannot_be_answered_exits_with_2_and_says_what_is_allowed(home, options, words):
    done = tracker("advise", "digits", *options, home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_no_such_study_exits_with_2_and_names_the_nearest(home):
    done = tracker("advise", "digit", home=home)
    assert done.returncode == 2
    assert "digits" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("45min", 2700.0), ("2h", 7200.0), (" 1.5 d ", 129600.0)],
)
def test_a_deadline_is_a_duration_in_any_unit(text, seconds):
    assert seconds_until(text, datetime.now(UTC)) == seconds


def test_a_deadline_is_a_time_too():
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert seconds_until((now + timedelta(hours=3)).isoformat(), now) == 3 * 3600
    for past in ("2026-11-30T11:59+00:00", "inf", "-3h", "9" * 400 + "d"):
        with pytest.raises(RequestError, match=r"--deadline"):
            seconds_until(past, now)


def test_on_hardware_that_nothing_can_be_predicted_for_it_says_why(home):
    nearest = tracker("advise", "digits", "--on", "H1000", home=home)
    assert nearest.returncode == 2
    assert "'H1000' is neither an accelerator nor a SKU; did you mean" in nearest.stderr
    done = tracker("advise", "digits", "--on", "L4", "--max-usd", "1", home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing can be predicted on L4: its FLOPs are not known" in done.stderr
