"""The three books of a study are compared: each kind of difference is made by hand, named, and mended."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker import audit_study, open_study, resume_study, run_study
from tracker.errors import RequestError
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore

NAME = "it's <b>a/b</b> 🦊"
STUDY = {
    "name": NAME,
    "workload": "tests.support.quick:quick",
    "quality": {"metric": "accuracy"},
    "budget": {"trials": 5},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "settings": {"threads": 1, "precision": "fp32", "epochs": 6},
    "space": {"width": [4, 8, 16], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study that has ended, to copy and damage."""
    home = tmp_path_factory.mktemp("ran")
    put_mlflow_database(home)
    run_study(STUDY, home=home)
    return home


@pytest.fixture
def home(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "home")


def client_of(home):
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def run_of(home, label="#0"):
    client = client_of(home)
    experiment = client.get_experiment_by_name(NAME)
    runs = client.search_runs([experiment.experiment_id])
    return client, next(run for run in runs if run.info.run_name == label)


def parent_of(home):
    client = client_of(home)
    experiment = client.get_experiment_by_name(NAME)
    return client, client.search_runs([experiment.experiment_id], "tags.`tracker.role` = 'study'")[0]


def sql(home, database, text, *parameters):
    with contextlib.closing(sqlite3.connect(home / database)) as opened:
        opened.execute(text, parameters)
        opened.commit()


def in_optuna(home, text, number):
    trial = "(select trial_id from trials where number = ?)"
    sql(home, "optuna.db", text.format(trial=trial), number)


def folder_of(home):
    return StudyFolder(next(path for path in (home / "studies").iterdir() if not path.name.startswith(".")))


def last_log(home, trial=0):
    return max(folder_of(home).trials.glob(f"{trial}/*.jsonl"), key=lambda path: int(path.stem))


def lose_metric(home):
    _, run = run_of(home)
    for table in ("metrics", "latest_metrics"):
        sql(home, "mlflow.db", f"delete from {table} where run_uuid = ? and key = 'accuracy'", run.info.run_id)


def change_price(home):
    _, run = run_of(home)
    for table in ("metrics", "latest_metrics"):
        text = f"update {table} set value = value * 2 where run_uuid = ? and key in ('price_usd', 'compute_usd')"
        sql(home, "mlflow.db", text, run.info.run_id)


def log_step_again(home):
    client, run = run_of(home)
    client.log_batch(run.info.run_id, [Metric("accuracy", 0.99, int(time.time() * 1000), 1)])


def double_run(home):
    client, run = run_of(home)
    client.create_run(run.info.experiment_id, tags={"tracker.study": NAME}, run_name="#0")


def change_tag(name, text):
    def change(home):
        client, run = run_of(home)
        client.set_tag(run.info.run_id, name, text)

    return change


def change_status(home):
    client, run = run_of(home)
    client.update_run(run.info.run_id, status="SCHEDULED")


def change_setting(home):
    _, run = run_of(home)
    sql(home, "mlflow.db", "update params set value = '77' where run_uuid = ? and key = 'width'", run.info.run_id)


def study_is_running(home):
    client, run = parent_of(home)
    client.set_tag(run.info.run_id, "tracker.state", "running")
    client.update_run(run.info.run_id, status="RUNNING")


def lose_spend(home):
    _, run = parent_of(home)
    for table in ("metrics", "latest_metrics"):
        sql(home, "mlflow.db", f"delete from {table} where run_uuid = ? and key = 'price_usd'", run.info.run_id)


def lose_database(name):
    def lose(home):
        for path in home.glob(f"{name}*"):
            path.unlink()

    return lose


def wait_in_optuna(home):
    optuna.load_study(study_name=NAME, storage=f"sqlite:///{home / 'optuna.db'}").enqueue_trial({})


def ask_in_optuna(home):
    optuna.load_study(study_name=NAME, storage=f"sqlite:///{home / 'optuna.db'}").ask()


def cut_the_end(home):
    path = last_log(home)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["event"] != "ended"))


def leave_staging(home):
    path = folder_of(home).path
    staged = path.with_name(f".{path.name}.999999999")
    staged.mkdir()


DAMAGES = {
    "metric lost": (lose_metric, "checkpoint", "MLflow lacks accuracy"),
    "price changed": (change_price, "checkpoint", "MLflow has price_usd"),
    "step logged twice": (log_step_again, "checkpoint", "MLflow has accuracy 0.99 at step 1"),
    "run deleted": (lambda home: client_of(home).delete_run(run_of(home)[1].info.run_id), "missing", "has no such run"),
    "run twice": (double_run, "double", "MLflow has it twice"),
    "state": (change_tag("tracker.state", "running"), "state", "tracker.state is 'running'"),
    "reason": (change_tag("tracker.reason", "<i>because</i>"), "tag", "tracker.reason is '<i>because</i>'"),
    "attempts": (change_tag("tracker.attempts", "9"), "tag", "tracker.attempts is '9'"),
    "status": (change_status, "state", "MLflow's status is SCHEDULED"),
    "setting": (change_setting, "setting", "MLflow has width = 77"),
    "study running": (study_is_running, "state", "MLflow says that it is running"),
    "spend": (lose_spend, "spend", "MLflow's spend of it is nothing"),
    "MLflow gone": (lose_database("mlflow.db"), "missing", "MLflow has no experiment"),
    "Optuna gone": (lose_database("optuna.db"), "missing", "Optuna does not have it"),
    "trial waiting": (wait_in_optuna, "trial", "Optuna's trial is WAITING"),
    "trial running": (ask_in_optuna, "trial", "Optuna's trial is RUNNING"),
    "trial failed": (
        lambda home: in_optuna(home, "update trials set state = 'FAIL' where trial_id = {trial}", 0),
        "trial",
        "Optuna's trial is FAIL",
    ),
    "values": (
        lambda home: in_optuna(home, "update trial_values set value = 7 where trial_id = {trial}", 0),
        "trial",
        "Optuna's accuracy is 7.0",
    ),
    "no end": (cut_the_end, "attempt", "its log has no end, and no coordinator runs"),
    "staging": (leave_staging, "staging", "of a study that was killed as it started"),
}


def spent(home):
    return {row["label"]: row["price_usd"] for row in open_study(NAME, home=home).runs().to_dict("records")}


def files_of(home):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in home.rglob("*") if path.is_file()}


def test_books_that_agree_are_said_to(home):
    found = audit_study(NAME, home=home)
    assert found.findings == ()
    assert found.price_usd == pytest.approx(sum(spent(home).values()), rel=1e-12)
    said = tracker("audit", NAME, home=home)
    assert (said.returncode, said.stderr) == (0, "")
    assert f"{NAME}: all books agree: {found.runs} runs, {found.attempts} attempts, ${found.price_usd!r}" in said.stdout


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_difference_is_named_and_mended(damage, home):
    before = spent(home)
    make, kind, says = DAMAGES[damage]
    make(home)
    files = files_of(home)
    said = tracker("audit", NAME, home=home)
    assert said.returncode == 1
    assert says in said.stdout
    assert "tracker audit" in said.stderr
    found = audit_study(NAME, home=home)
    assert {finding.kind for finding in found.findings} >= {kind}
    changed = {path.name for path, seen in files_of(home).items() if files.get(path) != seen}
    assert not {name for name in changed if not name.endswith(("-shm", "-wal"))}, "an audit writes nothing"
    events = {path: path.read_text() for path in folder_of(home).trials.rglob("*.jsonl")}
    repaired = tracker("audit", NAME, "--repair", "--json", home=home)
    assert json.loads(repaired.stdout)["findings"] == []
    assert repaired.returncode == 0
    for path, text in events.items():
        assert path.read_text().startswith(text), "event logs only grow"
    if damage != "no end":  # what happened after its last event is not known
        assert spent(home) == before


def test_a_repaired_study_is_resumed_as_any_other(home):
    for make, _, _ in (DAMAGES["no end"], DAMAGES["trial waiting"], DAMAGES["trial failed"], DAMAGES["price changed"]):
        make(home)
    assert len(audit_study(NAME, home=home).findings) >= 3
    assert audit_study(NAME, home=home, repair=True).findings == ()
    resumed = resume_study(NAME, home=home, trials=6)
    assert resumed.table().state == "completed"
    assert len(resumed.runs().query("role == 'trial'")) == 6
    assert audit_study(NAME, home=home).findings == ()


def test_a_trial_that_completed_while_it_was_asked_to_stop_is_completed_in_every_book(home):
    path = last_log(home)
    *before, end = path.read_text().splitlines(keepends=True)
    asked = json.dumps({**json.loads(before[-1]), "event": "stop_asked", "reason": "interrupted"})
    path.write_text("".join([*before, f"{asked}\n", end]))
    assert audit_study(NAME, home=home).findings == ()


def test_a_study_that_was_killed_as_it_was_made_leaves_its_name_free(new_home):
    home = new_home()
    staged = Home(home).study(NAME).with_name(f".{Home(home).study(NAME).name}.999999999")
    staged.mkdir(parents=True)
    MlflowStore(f"sqlite:///{home / 'mlflow.db'}").create_study(NAME, {"tracker.study": NAME}, 1e9, home / "artifacts")
    optuna.create_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name=NAME, directions=["maximize", "minimize"])
    run_study({**STUDY, "budget": {"trials": 1}}, home=home)
    assert audit_study(NAME, home=home).findings == ()
    assert not staged.exists()


def test_what_nobody_can_mend_is_said_and_left(home):
    client, run = run_of(home)
    client.create_run(run.info.experiment_id, run_name="mine")
    found = audit_study(NAME, home=home, repair=True)
    assert [finding.kind for finding in found.findings] == ["foreign"]
    assert "a run that the tracker did not log" in found.findings[0].words
    assert run_of(home, "mine")[1].info.lifecycle_stage == "active"


def test_a_home_that_is_read_only_can_be_audited(home):
    for path in [home, *home.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert audit_study(NAME, home=home).agrees
    finally:
        for path in [home, *home.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_running_study_is_compared_and_not_repaired(home):
    script = "import sys, time; from pathlib import Path; from tracker.runner.study_folder import StudyFolder\n"
    script += "with StudyFolder(Path(sys.argv[1])).locked(): print('locked', flush=True); time.sleep(600)"
    path = folder_of(home).path
    holder = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        found = audit_study(NAME, home=home)
        assert (found.coordinator, found.findings) == (holder.pid, ())
        assert f"process {holder.pid} runs this study" in found.notes[0]
        log_step_again(home)
        assert [finding.kind for finding in audit_study(NAME, home=home).findings] == ["checkpoint"]
        with pytest.raises(RequestError, match="running already"):
            audit_study(NAME, home=home, repair=True)
    finally:
        holder.kill()
        holder.wait()


def test_a_process_that_works_for_no_coordinator_is_seen_and_ended(home):
    with last_log(home).with_suffix(".log").open("a") as output:
        orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=output)
    try:
        found = audit_study(NAME, home=home)
        assert [finding.kind for finding in found.findings] == ["process"]
        assert f"process {orphan.pid} works on attempt 0/" in found.findings[0].words
        assert audit_study(NAME, home=home, repair=True).agrees
        assert orphan.wait(timeout=10) < 0
    finally:
        orphan.kill()


def test_a_trial_whose_state_was_dropped_is_stopped_in_every_book(home):
    path = last_log(home, 1)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [{**each, "state": "paused", "reason": "paused"} if each["event"] == "ended" else each for each in events]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in changed))
    found = audit_study(NAME, home=home)
    assert {"trial", "state"} >= {finding.kind for finding in found.findings} - {"tag"} != set()
    assert audit_study(NAME, home=home, repair=True).findings == ()
    run = run_of(home, "#1")[1]
    assert (run.info.status, run.data.tags["tracker.state"]) == ("FINISHED", "stopped")
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "dropped"
