"""A study of a shell command: searched, measured, priced and resumed like any other, by a real script."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tracker import resume_study, run_study

SCRIPT = """
import json, os, sys, time

mode, epochs, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
if mode == "bad":
    sys.exit("the data are gone")
if mode == "silent":
    sys.exit()
state, done = os.environ["TRACKER_STATE"], 0
if os.path.exists(state):
    with open(state) as file:
        done = int(file.read())
with open(os.environ["TRACKER_REPORT"], "a") as report:
    for epoch in range(done + 1, epochs + 1):
        time.sleep(pause)
        with open(state + ".partial", "w") as file:
            file.write(str(epoch))
        os.replace(state + ".partial", state)
        print(json.dumps({"epoch": epoch, "error": 1 / epoch, "seed": int(os.environ["TRACKER_SEED"])}), file=report)
        report.flush()
    print(json.dumps({"parameters": 12}), file=report)
with open(os.path.join(os.environ["TRACKER_ARTIFACTS"], "model.txt"), "w") as file:
    file.write(f"trained in {os.getcwd()}")
"""
STUDY = """
name = "commands"
command = "{{python}} train.py {{mode}} {{epochs}} {{pause}}"
strategy = "grid"

[quality]
metric = "error"
direction = "minimize"

[budget]
trials = {trials}

[pricing]
sku_cpu = "aws/m7i.xlarge"

[settings]
epochs = {epochs}
pause = {pause}
threads = 1

[space]
mode = {modes}
"""
BY_MLFLOW = """
import sys
import mlflow

for step in range(int(sys.argv[2])):
    mlflow.log_metrics({"error": 1 / (step + 1), "loss": step}, step=step)
"""


def write_study(folder, script=SCRIPT, *, trials, modes, epochs=2, pause=0.0):
    (folder / "train.py").write_text(script)
    path = folder / "commands.toml"
    path.write_text(STUDY.format(trials=trials, modes=json.dumps(modes), epochs=epochs, pause=pause))
    return path


def runs_of(study, experiment, wanted=""):
    client = MlflowClient(study.home.tracking_uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id], wanted)


def test_a_command_is_searched_measured_and_priced_and_its_failures_are_told(tmp_path):
    path = write_study(tmp_path, trials=3, modes=["good", "bad", "silent"])
    study = run_study(path, home=tmp_path / "home")
    trials = study.runs().query("role == 'trial'")
    by_mode = {row["settings"]["mode"]: row for row in trials.to_dict("records")}
    ends = {mode: (row["state"], row["reason"]) for mode, row in by_mode.items()}
    assert ends["good"] == ("completed", "")
    assert ends["bad"] == ("failed", "command_failed")
    assert by_mode["bad"]["message"] == "the command ended with exit code 1: the data are gone"
    assert ends["silent"] == ("failed", "no_report")
    assert "no JSON line with an epoch" in by_mode["silent"]["message"]
    assert (trials["price_usd"] > 0).all()
    good = study.checkpoints().query(f"run_id == '{by_mode['good']['run_id']}'").sort_values("epoch")
    assert list(good["quality"]) == [1.0, 0.5]
    assert good["price_usd"].is_monotonic_increasing
    assert by_mode["good"]["summary"]["parameters"] == 12
    kept = list((tmp_path / "home/artifacts").rglob("model.txt"))
    assert [file.read_text() for file in kept] == [f"trained in {tmp_path}"]
    (parent,) = runs_of(study, "commands", "tags.`tracker.role` = 'study'")
    command = "$ {python} train.py {mode} {epochs} {pause}"
    assert parent.data.tags["tracker.workload"] == f"{command}  # in {tmp_path}"


def interrupt_after(home, epochs):
    """Press Ctrl-C in this process when the first trial has reported so often."""

    def watch():
        while True:
            time.sleep(0.05)
            for log in Path(home).glob("studies/*/trials/0/1.jsonl"):
                if log.read_text().count('"checkpoint"') >= epochs:
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    threading.Thread(target=watch, daemon=True).start()


def test_an_interrupted_command_goes_on_from_the_state_that_it_kept(tmp_path):
    home = tmp_path / "home"
    path = write_study(tmp_path, trials=2, modes=["good", "better"], epochs=4, pause=0.5)
    interrupt_after(home, 2)
    stopped = run_study(path, home=home, workers=1)
    assert list(stopped.runs().query("role == 'trial'")["state"]) == ["paused"]
    finished = resume_study("commands", home=home, workers=1)
    trials = finished.runs().query("role == 'trial'").sort_values("trial")
    assert list(trials["state"]) == ["completed", "completed"]
    assert list(trials["attempts"]) == [2, 1]
    checkpoints = finished.checkpoints().query("role == 'trial'")
    for _, points in checkpoints.groupby("trial"):
        assert sorted(points["epoch"]) == [1, 2, 3, 4]
    assert not list(home.rglob("command-state"))


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A study whose script logs to MLflow and knows nothing of the tracker."""
    folder = tmp_path_factory.mktemp("logged")
    return run_study(write_study(folder, BY_MLFLOW, trials=1, modes=["good", "bad"], epochs=3), home=folder / "home")


def test_a_script_that_only_logs_to_mlflow_is_measured_and_priced(logged):
    (trial,) = logged.runs().query("role == 'trial'").to_dict("records")
    assert trial["state"] == "completed"
    points = logged.checkpoints().query("role == 'trial'").sort_values("epoch")
    assert list(points["epoch"]) == [1, 2, 3]
    assert list(points["quality"]) == pytest.approx([1.0, 1 / 2, 1 / 3])
    assert (points["price_usd"] > 0).all()


def test_the_runs_of_the_script_stand_beside_the_study_and_name_their_attempt(logged):
    (run,) = runs_of(logged, "commands (by its command)")
    assert run.data.tags["tracker.attempt"] == "commands #0 1"
    assert run.data.metrics.keys() == {"error", "loss"}
    ours = {each.data.tags["tracker.role"]: each for each in runs_of(logged, "commands")}
    assert ours.keys() == {"study", "trial", "preparation"}
    assert ours["trial"].data.metrics["cpu_seconds"] > 0.5, "importing MLflow is work too"
