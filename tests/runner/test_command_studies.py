"""A study of a shell command: searched, measured, priced and resumed like any other, by a real script."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from tests.support.interrupts import ctrl_c_after
from tests.support.mlflow_database import put_mlflow_database
from tracker import resume_study, run_study
from tracker.errors import RequestError

SCRIPT = """
import json, os, sys, time

mode, epochs, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
if mode == "bad":
    sys.exit("the data are gone")
if mode == "silent":
    sys.exit()
if mode == "mlflow":
    import mlflow

    for step in range(epochs):
        mlflow.log_metrics({"error": 1 / (step + 1), "loss": step}, step=step)
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


def write_study(folder, *, trials, modes, epochs=2, pause=0.0):
    (folder / "train.py").write_text(SCRIPT)
    path = folder / "commands.toml"
    path.write_text(STUDY.format(trials=trials, modes=json.dumps(modes), epochs=epochs, pause=pause))
    return path


def runs_of(study, experiment, wanted=""):
    client = MlflowClient(study.home.tracking_uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id], wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    put_mlflow_database(folder / "home")
    return folder


@pytest.fixture(scope="module")
def study(folder):
    """A study whose script reports in each way that it can, and in none."""
    path = write_study(folder, trials=4, modes=["good", "bad", "silent", "mlflow"])
    return run_study(path, home=folder / "home")


def trial_of(study, mode):
    (trial,) = [row for row in study.runs().to_dict("records") if row["settings"].get("mode") == mode]
    return trial


def points_of(study, mode):
    return study.checkpoints().query(f"run_id == '{trial_of(study, mode)['run_id']}'").sort_values("epoch")


def test_a_command_is_searched_measured_and_priced(study):
    trial, points = trial_of(study, "good"), points_of(study, "good")
    assert trial["state"] == "completed"
    assert list(points["quality"]) == [1.0, 0.5]
    assert points["price_usd"].is_monotonic_increasing
    assert trial["summary"]["parameters"] == 12
    assert trial["price_usd"] > 0


def test_a_command_that_fails_is_reported_and_paid(study):
    bad, silent = trial_of(study, "bad"), trial_of(study, "silent")
    assert (bad["state"], bad["reason"]) == ("failed", "command_failed")
    assert bad["message"] == "the command ended with exit code 1: the data are gone"
    assert (silent["state"], silent["reason"]) == ("failed", "no_report")
    assert "no JSON line with an epoch" in silent["message"]
    assert min(bad["price_usd"], silent["price_usd"]) > 0


def test_a_command_runs_beside_its_study_file_and_its_files_are_kept(study, folder):
    kept = list((folder / "home/artifacts").rglob("model.txt"))
    assert [file.read_text() for file in kept] == [f"trained in {folder}"]
    (parent,) = runs_of(study, "commands", "tags.`tracker.role` = 'study'")
    command = "$ {python} train.py {mode} {epochs} {pause}"
    assert parent.data.tags["tracker.workload"] == f"{command}  # in {folder}"


def test_a_script_that_only_logs_to_mlflow_is_measured_and_priced(study):
    trial, points = trial_of(study, "mlflow"), points_of(study, "mlflow")
    assert trial["state"] == "completed"
    assert list(points["epoch"]) == [0, 1]
    assert list(points["quality"]) == [1.0, 0.5]
    assert (points["price_usd"] > points_of(study, "good")["price_usd"].max()).all(), "importing MLflow is paid for"
    (run,) = runs_of(study, "commands", f"tags.`tracker.trial` = '{trial['trial']}'")
    assert run.data.metrics["cpu_seconds"] > 0.5


def test_the_runs_of_the_script_are_in_its_trials_own_store_and_name_their_attempt(study):
    number = trial_of(study, "mlflow")["trial"]
    store = study.home.study("commands") / "trials" / str(number) / "mlflow.db"
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("commands (by its command)")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["tracker.attempt"] == f"commands #{number} 1"
    assert run.data.metrics.keys() == {"error", "loss"}
    assert run.info.artifact_uri.startswith(store.with_name("mlflow-artifacts").as_uri())
    assert MlflowClient(study.home.tracking_uri).get_experiment_by_name("commands (by its command)") is None
    roles = {each.data.tags["tracker.role"] for each in runs_of(study, "commands")}
    assert roles == {"study", "trial", "preparation"}


def test_an_interrupted_command_goes_on_from_the_state_that_it_kept(tmp_path):
    home = tmp_path / "home"
    path = write_study(tmp_path, trials=2, modes=["good", "better"], epochs=4, pause=0.5)
    with ctrl_c_after(home, 2):
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


LOGS = """
import sys, time
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

writer = EventFileWriter("runs/now")
for step in (1, 2):
    value = Summary.Value(tag="val/error", simple_value=float(sys.argv[1]) / step)
    writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
    time.sleep(0.5)
writer.close()
"""
LOG_STUDY = """
name = "logs"
command = "{python} logs.py {start}"
strategy = "grid"
quality = { metric = "error", direction = "minimize" }
budget = { trials = 2 }
settings = { threads = 1 }
space = { start = [4, 8] }

[report]
"""


def test_of_trials_that_write_event_files_to_one_folder_at_once_each_has_its_own(tmp_path):
    put_mlflow_database(tmp_path / "home")
    (tmp_path / "logs.py").write_text(LOGS)
    path = tmp_path / "logs.toml"
    path.write_text(LOG_STUDY + 'tensorboard = "runs"\nerror = "val/error"\n')
    study = run_study(path, home=tmp_path / "home", workers=2)
    trials = study.runs().query("role == 'trial'")
    assert list(trials["state"]) == ["completed"] * 2
    points = study.checkpoints().query("role == 'trial'")
    for run, settings in zip(trials["run_id"], trials["settings"], strict=True):
        own = points.query(f"run_id == '{run}'").sort_values("epoch")
        assert list(own["quality"]) == [settings["start"], settings["start"] / 2]
        assert own["wall_seconds"].diff().iloc[1] > 0.4


def test_csv_logs_in_one_folder_are_of_one_trial_at_a_time(tmp_path):
    put_mlflow_database(tmp_path / "home")
    path = tmp_path / "logs.toml"
    path.write_text(LOG_STUDY + 'csv = "logs"\n')
    with pytest.raises(RequestError, match=r"--workers 2: trials at once would all write csv logs to 'logs'"):
        run_study(path, home=tmp_path / "home", workers=2)
    assert not list((tmp_path / "home").rglob("trials"))
