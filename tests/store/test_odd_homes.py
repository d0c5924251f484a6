"""A home of any path: databases, reports and MLflow's own client find it, and nothing is written anywhere else."""

from __future__ import annotations

import json

import mlflow
import optuna
import pytest

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker import resume_study, run_study
from tracker.databases.sqlite_url import sqlite_file, sqlite_url
from tracker.store.home import Home

ODD = """a?mode=ro#b %3F %25 %2e%2e it's "q" & <b> $(touch pwned) ;`|` [red] = ü 🦊"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("odd") / ODD)
    put_mlflow_database(home.path)
    run_study(digits(budget={"trials": 1}, settings={"processes": 2}), home=home.path)
    return home


def test_a_study_in_a_home_of_any_path_runs_resumes_and_is_read(home):
    resumed = resume_study("digits", home=home.path, trials=2)
    assert len(resumed.runs().query("role == 'trial'")) == 2
    shown = tracker("runs", "digits", "--json", "--home", home.path)
    assert len(json.loads(shown.stdout)["runs"]) == len(resumed.runs())
    assert tracker("status", "digits", "--home", home.path).returncode == 0
    written = tracker("report", "digits", "--home", home.path)
    assert written.returncode == 0 and str(home.reports) in written.stdout


def test_mlflow_and_optuna_open_its_databases_by_their_urls(home):
    client = mlflow.MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert client.search_runs([experiment.experiment_id])
    assert experiment.artifact_location.startswith("file:///")
    assert len(optuna.load_study(study_name="digits", storage=home.optuna_storage).trials) >= 1


def test_nothing_is_written_beside_it(home):
    files = [path for path in home.path.parent.rglob("*") if path.is_file()]
    assert files and all(path.is_relative_to(home.path) for path in files)  # MLflow makes a folder of the escaped name


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a%3Fb", "a#b", "a b", "%", "?", "a%zz", "ü🦊", "a'\"b", "a&b=c;d"])
def test_a_url_of_a_file_comes_back_and_no_two_files_share_one(name, tmp_path):
    path = tmp_path / name / "x.db"
    assert sqlite_file(sqlite_url(path)) == path
    assert sqlite_file(f"{sqlite_url(path)}?mode=ro") is None
