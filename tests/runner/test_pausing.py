"""A trial that is interrupted goes on from its saved state, in another process, and every attempt is paid for."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import optuna
import pytest

from tests.support.coordinators import Coordinator
from tests.support.interrupts import ctrl_c_after
from tests.support.pausable import PAUSABLE, study
from tracker import open_study, resume_study, run_study


def metrics_of(found):
    points = found.checkpoints().query("role == 'trial'").sort_values("epoch")
    return [(row["epoch"], round(row["quality"], 6)) for row in points.to_dict("records")]


@pytest.fixture(scope="module")
def uninterrupted(new_home):
    return metrics_of(run_study(study(epochs=4), home=new_home()))


def events_of(home, attempt):
    log = next(Path(home).glob(f"studies/*/trials/0/{attempt}.jsonl"))
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_an_interrupted_trial_goes_on_to_the_same_result_and_both_attempts_are_paid(tmp_path, uninterrupted):
    with ctrl_c_after(tmp_path, 2):
        stopped = run_study(study(epochs=4, epoch_seconds=0.5), home=tmp_path)
    paused = stopped.runs().query("role == 'trial'").iloc[0]
    assert (paused["state"], paused["reason"]) == ("paused", "interrupted")
    assert paused["summary"]["step_flops"] > 1e6 and paused["summary"]["step_operations"] > 10, "counted in any state"
    finished = resume_study("pausable", home=tmp_path)
    trial = finished.runs().query("role == 'trial'").iloc[0]
    assert (trial["state"], trial["attempts"]) == ("completed", 2)
    assert metrics_of(finished) == uninterrupted
    assert [len([event for event in events_of(tmp_path, each) if event["event"] == "figures"]) for each in (1, 2)] == [
        1,
        0,
    ]
    for figure in ("step_flops", "step_operations"):
        assert trial["summary"][figure] == paused["summary"][figure], "the first attempt's"
    phases = ("startup_seconds", "train_seconds", "evaluation_seconds", "data_seconds", "saving_seconds")
    assert sum(trial["summary"].get(each, 0.0) for each in phases) == pytest.approx(trial["wall_seconds"], rel=0.01)
    assert trial["summary"]["saving_seconds"] > 0.0
    assert trial["price_usd"] > paused["price_usd"] > 0
    walls = [events_of(tmp_path, attempt)[-1]["usage"]["wall_seconds"] for attempt in (1, 2)]
    assert trial["wall_seconds"] == pytest.approx(sum(walls))
    assert trial["price_usd"] == pytest.approx(sum(walls) / 3600 * trial["usd_per_hour"] / 4)
    prices = finished.checkpoints().query("role == 'trial'").sort_values("epoch")["price_usd"]
    assert prices.is_monotonic_increasing
    epochs = [event["epoch"] for event in events_of(tmp_path, 2) if event["event"] in ("restored", "checkpoint")]
    assert epochs == list(range(epochs[0], 5)), "it went on after the epoch that it restored"
    optuna_study = optuna.load_study(study_name="pausable", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert [trial.state.name for trial in optuna_study.trials] == ["COMPLETE"]
    assert not list(tmp_path.glob("studies/*/trials/0/state.pt")), "what is done needs no state"


def test_a_killed_machine_loses_no_epoch_that_was_saved(tmp_path, uninterrupted):
    coordinator = Coordinator(
        "from tests.support.pausable import study\nfrom tracker import run_study\n"
        f"run_study(study(epochs=4, epoch_seconds=0.5), home={str(tmp_path)!r})\n"
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        logs = list(tmp_path.glob("studies/*/trials/0/1.jsonl"))
        if logs and '"saved"' in logs[0].read_text():
            break
        time.sleep(0.05)
    pid = next(event["pid"] for event in events_of(tmp_path, 1) if event["event"] == "started")
    os.kill(pid, signal.SIGKILL)
    coordinator.kill()
    coordinator.wait()
    finished = resume_study("pausable", home=tmp_path)
    trial = finished.runs().query("role == 'trial'").iloc[0]
    assert trial["state"] in ("completed", "killed")
    if trial["state"] == "completed":  # else the coordinator saw the worker's death before it died itself
        assert metrics_of(finished) == uninterrupted


def test_a_corrupt_state_means_that_the_trial_starts_anew_and_that_is_recorded(tmp_path, uninterrupted):
    with ctrl_c_after(tmp_path, 2):
        run_study(study(epochs=4, epoch_seconds=0.5), home=tmp_path)
    next(tmp_path.glob("studies/*/trials/0/state.pt")).write_bytes(b"torn")
    finished = resume_study("pausable", home=tmp_path)
    assert metrics_of(finished) == uninterrupted
    lost = [event["message"] for event in events_of(tmp_path, 2) if event["event"] == "state_lost"]
    assert len(lost) == 1 and "cannot be read" in lost[0]


@pytest.mark.parametrize(
    ("accident", "budget", "state", "reason", "said"),
    [
        ("memory", {}, "failed", "out_of_memory", "allocate memory"),
        ("silence", {}, "failed", "no_report", "without a report"),
        ("hang", {"trial_seconds": 2}, "stopped", "time_limit", ""),
    ],
)
def test_what_goes_wrong_is_named_and_paid(accident, budget, state, reason, said, tmp_path):
    found = run_study({**study(accident=accident), "budget": {"trials": 1, **budget}}, home=tmp_path)
    trial = found.runs().query("role == 'trial'").iloc[0]
    assert (trial["state"], trial["reason"]) == (state, reason)
    assert said in trial["message"]
    assert trial["price_usd"] > 0


def test_choices_that_ran_out_of_memory_are_not_tried_again(tmp_path):
    space = {"accident": ["memory", "none"], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    found = run_study({**study(), "space": space, "budget": {"trials": 5}}, home=tmp_path)
    trials = found.runs().query("role == 'trial'")
    failed = trials[trials["reason"] == "out_of_memory"]
    assert len(failed) <= 1
    assert len(trials) == 5


def test_several_processes_train_one_model_and_are_billed_as_reserved(tmp_path):
    cores = len(os.sched_getaffinity(0))
    found = run_study(
        {**study(threads=min(2, cores)), "space": {"processes": [1, 2]}, "strategy": "grid", "budget": {"trials": 2}},
        home=tmp_path,
    )
    trials = found.runs().query("role == 'trial'").sort_values("trial")
    assert list(trials["state"]) == ["completed", "completed"], list(trials["message"])
    # Full batches of the same examples: the averaged gradient is that of one process.
    alone, together = trials["quality"]
    assert together == pytest.approx(alone, abs=0.011)
    assert set(trials["cores"]) == {min(2, cores)}


def test_a_process_that_fails_beside_the_first_fails_the_trial_with_its_own_words(tmp_path):
    found = run_study(study(accident="companion", processes=2), home=tmp_path)
    trial = found.runs().query("role == 'trial'").iloc[0]
    assert (trial["state"], trial["reason"]) == ("failed", "error")
    assert "process 1: ValueError: process 1 failed, as asked for" in trial["message"]


def test_a_grid_tries_every_combination_once_and_ends(tmp_path):
    space = {"width": [4, 8], "learning_rate": [0.01, 0.02], "seed": [7]}
    found = run_study(
        {
            **PAUSABLE,
            "settings": {"threads": 1, "epochs": 1},
            "space": space,
            "strategy": "grid",
            "budget": {"trials": 9},
        },
        home=tmp_path,
    )
    trials = found.runs().query("role == 'trial'")
    tried = sorted((row["width"], row["learning_rate"]) for row in trials["settings"])
    assert tried == [(4, 0.01), (4, 0.02), (8, 0.01), (8, 0.02)]
    assert open_study("pausable", home=tmp_path).table().state == "completed"
