"""Parts of a study are deleted, renamed or lost: what is missing is said, and the event logs restore it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from tests.support.command import tracker
from tests.support.coordinators import Coordinator
from tests.support.interrupts import ctrl_c_after
from tests.support.mlflow_database import put_mlflow_database
from tests.support.pausable import study as pausable
from tests.support.studies import digits
from tracker import open_study, resume_study, run_study
from tracker.errors import RequestError, StudyExistsError, StudyNotFoundError
from tracker.records import Direction
from tracker.runner.progress import Silent
from tracker.search.sampler import Trials
from tracker.store.mlflow_store import MlflowStore
from tracker.study.domains import Choices
from tracker.study.space import SearchSpace

NAME = "it's <b>a/b</b> 🦊"


class Said(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.messages = []

    def notify(self, message):
        self.messages.append(message)

    def ended(self, attempt):
        raise AssertionError(f"nothing is left to train, and {attempt.label} was")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study that has ended, to copy and damage."""
    home = tmp_path_factory.mktemp("ran")
    put_mlflow_database(home)
    run_study(digits(name=NAME, budget={"trials": 3}), home=home)
    return home


@pytest.fixture
def home(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "home")


def client_of(home):
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def experiment_of(home):
    return client_of(home).get_experiment_by_name(NAME).experiment_id


def parent_of(home):
    runs = client_of(home).search_runs([experiment_of(home)], "tags.`tracker.role` = 'study'")
    return runs[0].info.run_id


def lose_parent_run(home):
    parent = parent_of(home)
    with contextlib.closing(sqlite3.connect(home / "mlflow.db")) as database:
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", (parent,))
        database.commit()


def lose_database(home, name):
    for path in home.glob(f"{name}*"):
        path.unlink()


IN_MLFLOW = {
    "experiment deleted": lambda home: client_of(home).delete_experiment(experiment_of(home)),
    "experiment renamed": lambda home: client_of(home).rename_experiment(experiment_of(home), "mine now"),
    "parent run deleted": lambda home: client_of(home).delete_run(parent_of(home)),
    "parent run gone": lose_parent_run,
    "database gone": lambda home: lose_database(home, "mlflow.db"),
}
SAID = {
    "experiment deleted": "was deleted in MLflow",
    "experiment renamed": "under the new name 'mine now'",
    "parent run deleted": "but their parent run was deleted",
    "parent run gone": "but their parent run is missing",
    "database gone": "has no experiment",
}


def paid(home):
    """Every run with what it cost and reached, and each trial as Optuna has it."""
    found = open_study(NAME, home=home)
    runs = found.runs().sort_values("label")[["label", "role", "trial", "state", "price_usd", "quality"]]
    trials = optuna.load_study(study_name=NAME, storage=f"sqlite:///{home / 'optuna.db'}").trials
    optunas = [(trial.number, trial.state.name, trial.params, trial.values) for trial in trials]
    return runs.fillna(-1.0).round(12).to_dict("records"), len(found.checkpoints()), optunas


@pytest.mark.parametrize("damage", IN_MLFLOW)
def test_what_mlflow_lacks_is_said_by_every_reading_command_and_restored_by_resume(damage, home):
    before = paid(home)
    IN_MLFLOW[damage](home)
    for command in ("runs", "frontier", "status", "report"):
        done = tracker(command, NAME, home=home)
        assert done.returncode == 2
        assert SAID[damage] in done.stderr
        assert "tracker resume" in done.stderr
        assert str(home / "studies") in done.stderr, "what still knows the spend"
        assert len(done.stderr.splitlines()) <= 2
    said = Said()
    resume_study(NAME, home=home, observer=said)
    assert paid(home) == before
    assert any(re.search("MLflow.*(restored|again|created)", each) for each in said.messages)
    runs = client_of(home).search_runs([experiment_of(home)])
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs} == {None, parent_of(home)}
    assert len(runs) == len(before[0]) + 1


def delete_optuna_study(home):
    optuna.delete_study(study_name=NAME, storage=f"sqlite:///{home / 'optuna.db'}")


def an_older_optuna_database(home):
    """As from a backup that was made after the first trial."""
    storage = f"sqlite:///{home / 'optuna.db'}"
    study = optuna.load_study(study_name=NAME, storage=storage)
    first, names, directions = study.trials[0], study.metric_names, study.directions
    delete_optuna_study(home)
    again = optuna.create_study(study_name=NAME, storage=storage, directions=directions)
    with warnings.catch_warnings(action="ignore"):
        again.set_metric_names(names)
    again.add_trial(first)


@pytest.mark.parametrize(
    "damage", [delete_optuna_study, an_older_optuna_database, lambda home: lose_database(home, "optuna.db")]
)
def test_what_optuna_lacks_is_restored_by_resume_under_the_same_numbers(damage, home):
    before = paid(home)
    damage(home)
    said = Said()
    resume_study(NAME, home=home, observer=said)
    assert paid(home) == before
    assert any(re.search("the Optuna database .* restored", each) for each in said.messages)


def test_a_paused_trial_goes_on_under_its_number_where_all_databases_were_lost(tmp_path):
    first, home = tmp_path / "first", tmp_path / "home"
    with ctrl_c_after(first, 2):
        run_study(pausable(epochs=4, epoch_seconds=0.5), home=first)
    shutil.copytree(first, home, ignore=shutil.ignore_patterns("*.db*"))
    trial = resume_study("pausable", home=home).runs().query("role == 'trial'").iloc[0]
    assert (trial["trial"], trial["state"], trial["attempts"]) == (0, "completed", 2)
    trials = optuna.load_study(study_name="pausable", storage=f"sqlite:///{home / 'optuna.db'}").trials
    assert [each.state.name for each in trials] == ["COMPLETE"]


def test_a_grid_that_optuna_lost_resumes_what_is_left_of_it(tmp_path):
    study = digits(strategy="grid", space={"width": [4, 8], "learning_rate": [0.01, 0.02]}, settings={"epochs": 1})
    run_study({**study, "budget": {"trials": 2}}, home=tmp_path)
    lose_database(tmp_path, "optuna.db")
    trials = resume_study("digits", home=tmp_path, trials=9).runs().query("role == 'trial'").sort_values("trial")
    assert list(trials["trial"]) == [0, 1, 2, 3]
    tried = sorted((row["width"], row["learning_rate"]) for row in trials["settings"])
    assert tried == [(4, 0.01), (4, 0.02), (8, 0.01), (8, 0.02)]


def test_runs_that_were_deleted_in_mlflow_are_logged_again(home):
    before = paid(home)
    client = client_of(home)
    for run in client.search_runs([experiment_of(home)], "tags.`tracker.role` = 'trial'"):
        client.delete_run(run.info.run_id)
    resume_study(NAME, home=home, observer=Said())
    assert paid(home) == before


def test_a_name_that_something_else_took_in_mlflow_is_not_mixed_with_it(home):
    client = client_of(home)
    client.rename_experiment(experiment_of(home), "mine now")
    other = client.create_experiment(NAME)
    client.create_run(other)
    with pytest.raises(RequestError, match=rf"'{re.escape(NAME)}' \(id {other}\) is not this study's.*'mine now'"):
        resume_study(NAME, home=home)
    assert len(client.search_runs([other])) == 1


def free_by(commands, home):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(commands, shell=True, check=True, env={**os.environ, "PATH": path}, cwd=home, timeout=300)


@pytest.mark.parametrize("deleted", [False, True])
def test_without_its_folder_a_study_says_who_knows_the_spend_and_how_to_free_the_name(deleted, home):
    spend_usd = open_study(NAME, home=home).spend_usd
    (folder,) = (home / "studies").iterdir()
    shutil.rmtree(folder)
    if deleted:
        IN_MLFLOW["experiment deleted"](home)
    for arguments in (("resume", NAME), ("stop", NAME), ("confirm", NAME), ("why", NAME, "0")):
        done = tracker(*arguments, home=home)
        assert done.returncode == 2
        assert "cannot be resumed" in done.stderr
        assert str(folder) in done.stderr
        assert "5 runs and what they cost" in done.stderr
        assert ("mlflow experiments restore" if deleted else "tracker runs") in done.stderr
    again = digits(name=NAME, budget={"trials": 1})
    with pytest.raises(StudyExistsError, match="5 runs and what they cost") as refused:
        run_study(again, home=home)
    assert not list((home / "studies").iterdir())
    (_, commands) = str(refused.value).split("free this one: ")
    free_by(commands, home)
    assert open_study(f"{NAME} (old)", home=home).spend_usd == pytest.approx(spend_usd), "no record was lost"
    assert len(run_study(again, home=home).runs().query("role == 'trial'")) == 1


KILLED = """
import os, sys
from tests.support.studies import digits
from tracker import run_study
from tracker.runner import studies
setattr(studies, sys.argv[2], lambda *_, **__: os._exit(9))
run_study(digits(budget={"trials": 1}), home=sys.argv[1])
"""


@pytest.mark.parametrize("before", ["create_trials", "make_log", "open_session"])
def test_a_study_that_is_killed_as_it_is_made_is_resumed(before, tmp_path):
    assert Coordinator(KILLED, tmp_path, before).wait() == 9
    with pytest.raises(StudyExistsError, match="tracker resume"):
        run_study(digits(), home=tmp_path)
    assert list(resume_study("digits", home=tmp_path).runs().query("role == 'trial'")["state"]) == ["completed"]


def test_what_a_study_left_that_never_cost_anything_does_not_take_its_name(tmp_path):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    objectives = {"accuracy": Direction.MAXIMIZE}
    Trials.create(storage, "digits", objectives, SearchSpace({}, {"cpu": {"width": Choices((4,))}}), 0)
    store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
    store.create_study("digits", {"tracker.study": "digits"}, 0.0, tmp_path / "artifacts")
    client = client_of(tmp_path)
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    found = run_study(digits(budget={"trials": 1}), home=tmp_path)
    assert list(found.runs().query("role == 'trial'")["state"]) == ["completed"]


def test_trials_of_another_program_in_the_optuna_database_are_left_alone(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    optuna.create_study(study_name="digits", storage=storage).optimize(lambda trial: 0.0, n_trials=2)
    with pytest.raises(StudyExistsError, match=r"2 trials of a study 'digits'.*\n.*optuna delete-study"):
        run_study(digits(), home=tmp_path, storage=storage)
    assert len(optuna.load_study(study_name="digits", storage=storage).trials) == 2


def test_a_folder_that_holds_no_study_is_said(tmp_path):
    (tmp_path / "studies/digits").mkdir(parents=True)
    with pytest.raises(StudyExistsError, match=r"holds no study \(it has no study.json\): move it away"):
        run_study(digits(), home=tmp_path)
    with pytest.raises(StudyNotFoundError, match="there is no study 'digits'"):
        resume_study("digits", home=tmp_path)


def test_a_name_that_no_study_has_is_reported_with_the_nearest_one(home):
    with pytest.raises(StudyNotFoundError, match=f"did you mean '{re.escape(NAME)}'"):
        resume_study(NAME[:-1], home=home)
