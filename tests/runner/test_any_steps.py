"""Studies of trainings whose steps are any rising integers, and of spaces that come to an end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import tracker
from tests.support.interrupts import once
from tests.support.iterations import STEPS, study
from tracker import confirm_study, resume_study, run_study

RATES = {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
FOUR = {"learning_rate": [0.01, 0.1], "epochs": [2, 3]}
"""Four combinations."""


def trials_of(found):
    return found.runs().query("role == 'trial'")


def reported(found):
    """The steps of each trial that was completed."""
    done = trials_of(found).query("state == 'completed'")["label"]
    steps = found.checkpoints()
    return {label: sorted(set(steps[steps["label"] == label]["epoch"])) for label in done}


def checkpoints(home):
    return sum(log.read_text().count('"checkpoint"') for log in Path(home).glob("studies/*/trials/*/*.jsonl"))


def decisions(home):
    return [json.loads(line) for line in (home / "studies/counted/decisions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("counts", ["iterations", "from 0", "every fifth epoch", "first, then seldom"])
def test_a_study_goes_to_its_end_whatever_steps_count_and_after_an_interruption(counts, tmp_path):
    with once(lambda: checkpoints(tmp_path) >= 12):
        run_study(study(RATES, counts=counts, seconds=0.1), home=tmp_path, workers=1)
    found = resume_study("counted", home=tmp_path, workers=2)
    trials = trials_of(found)
    assert len(trials) == 12
    assert set(trials["state"]) <= {"completed", "stopped"}, list(trials["message"])
    assert (trials["state"] == "completed").sum() >= 11, "one, at most, was interrupted before it had saved anything"
    assert all(steps == list(STEPS[counts]) for steps in reported(found).values())


def test_what_is_reported_of_decisions_is_in_the_trials_own_steps(tmp_path):
    found = run_study(study(RATES, trials=10, seconds=0.25), home=tmp_path, workers=1)
    assert all(steps == [20, 40, 60] for steps in reported(found).values())
    forecasts = [each["numbers"]["at_epoch"] for each in decisions(tmp_path) if "at_epoch" in each["numbers"]]
    assert forecasts
    assert min(forecasts) >= 20
    assert all(step % 20 == 0 for step in forecasts)
    ranked = [each["why"] for each in decisions(tmp_path) if "ranks in" in each["why"]]
    assert all(" trials after epoch 20" in why or " trials after epoch 60" in why for why in ranked)


def test_a_script_that_counts_iterations_is_searched(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import json, os, sys, time\n"
        "state, report, after = os.environ['TRACKER_STATE'], os.environ['TRACKER_REPORT'], 0\n"
        "if os.path.exists(state):\n    after = json.load(open(state))\n"
        "for step in range(after + 100, 301, 100):\n"
        "    time.sleep(0.05)\n"
        "    json.dump(step, open(state + '.part', 'w'))\n    os.replace(state + '.part', state)\n"
        "    line = {'epoch': step, 'accuracy': 0.9 - 100 / step / 2 - abs(float(sys.argv[1]) - 0.03)}\n"
        "    open(report, 'a').write(json.dumps(line) + '\\n')\n"
    )
    shown = {key: each for key, each in study(RATES).items() if key != "workload"}
    shown |= {"command": f"{{python}} {script} {{learning_rate}}", "folder": str(tmp_path), "settings": {"threads": 1}}
    shown["quality"] = {"metric": "accuracy", "direction": "maximize"}
    found = run_study(shown, home=tmp_path, workers=1)
    assert set(trials_of(found)["state"]) == {"completed"}, list(trials_of(found)["message"])
    assert all(steps == [100, 200, 300] for steps in reported(found).values())


@pytest.mark.parametrize("last_step", [60, "epochs"])
def test_what_is_at_the_last_step_that_the_study_says_is_not_paused_there(last_step, tmp_path):
    shown = study(RATES, trials=3, counts="twice", epochs=60, seconds_to_save=0.5)
    found = run_study({**shown, "quality": {"metric": "accuracy", "last_step": last_step}}, home=tmp_path, workers=1)
    trials = trials_of(found)
    assert list(trials["state"]) == ["completed"] * 3
    assert list(trials["attempts"]) == [1] * 3, (
        "a pause was asked for after the first report, and is of no use any more"
    )


def test_a_repeat_stops_at_the_step_that_is_on_the_frontier(tmp_path):
    run_study(study({"learning_rate": [0.03]}, trials=1), home=tmp_path)
    found = confirm_study("counted", home=tmp_path, seeds=2)
    deepest = found.frontier()["epoch"].max()
    assert deepest == 60
    steps = found.checkpoints().query("role == 'repeat'")
    assert steps.groupby("label")["epoch"].apply(sorted).to_dict() == {
        f"#0 repeat {number}": [20, 40, 60] for number in (1, 2)
    }


@pytest.mark.parametrize(
    ("strategy", "sampler"),
    [("frontier", "TPESampler"), ("optuna", "TPESampler"), ("optuna", "BruteForceSampler"), ("grid", "TPESampler")],
)
def test_no_combination_is_paid_twice_not_even_after_an_interruption(strategy, sampler, tmp_path):
    shown = {**study(FOUR, strategy=strategy, trials=20), "seed": 7, "search": {"sampler": sampler}}
    with once(lambda: checkpoints(tmp_path) >= 4):
        run_study(shown, home=tmp_path, workers=2)
    done = tracker("resume", "counted", "--workers", 2, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "completed: every combination was tried" in done.stdout + done.stderr
    tried = [
        tuple(settings[name] for name in FOUR)
        for settings in trials_of(resume_study("counted", home=tmp_path))["settings"]
    ]
    assert sorted(tried) == [(0.01, 2), (0.01, 3), (0.1, 2), (0.1, 3)]


@pytest.mark.parametrize("space", [{"counts": ["iterations"]}, {"learning_rate": [0.01]}])
def test_a_space_of_one_point_is_one_trial(space, tmp_path):
    found = run_study(study(space, trials=20), home=tmp_path)
    assert list(trials_of(found)["state"]) == ["completed"]


def test_a_seed_that_is_searched_makes_other_settings(tmp_path):
    found = run_study(study({"seed": [1, 2, 3], "learning_rate": [0.01]}, trials=20), home=tmp_path)
    assert sorted(settings["seed"] for settings in trials_of(found)["settings"]) == [1, 2, 3]
