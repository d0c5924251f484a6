"""Who ran a study and what it is accounted for by: kept in MLflow, read back, changed at a resume."""

from __future__ import annotations

import json

import mlflow
import pytest

from tests.support.command import tracker
from tests.support.studies import digits
from tracker import open_study, resume_study, run_study
from tracker.runner import user
from tracker.study.toml_text import to_toml

TAGS = {"team": "search", "cost_center": "=4711 & <b>"}


@pytest.fixture
def home(new_home, tmp_path, monkeypatch):
    """A home with a tagged study in it that ada ran, and its file."""
    home = new_home()
    (tmp_path / "digits.toml").write_text(to_toml(digits(budget={"trials": 1}, tags={"team": "old"})))
    monkeypatch.setenv("LOGNAME", "ada")
    run_study(tmp_path / "digits.toml", home=home, tags=TAGS)
    return home


def test_tags_and_users_are_kept_read_back_and_changed_at_a_resume(home, tmp_path, monkeypatch):
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits").experiment_id

    def logged():
        runs = client.search_runs([experiment])
        return {run.data.tags["tracker.role"]: run.data.tags for run in runs}, runs

    by_role, runs = logged()
    assert all(run.data.tags["mlflow.user"] == "ada" for run in runs)
    assert by_role["study"].items() >= TAGS.items()
    table = open_study("digits", home=home).table()
    assert (table.tags, table.user) == (TAGS, "ada")
    assert set(table.runs["user"]) == {"ada"}

    status = tracker("status", "digits", home=home).stdout
    assert "run by     ada\ntags       team = search, cost_center = =4711 & <b>\n" in status
    shown = json.loads(tracker("status", "digits", "--json", home=home).stdout)
    assert (shown["user"], shown["tags"]) == ("ada", TAGS)
    assert "tags: team = search" in tracker("runs", "digits", home=home).stderr

    path = tmp_path / "digits.toml"
    path.write_text(path.read_text().replace('team = "old"', 'site = "here"'))
    monkeypatch.setenv("LOGNAME", "grace")
    table = resume_study("digits", home=home, trials=2, update=True).table()
    assert table.tags == {"cost_center": TAGS["cost_center"], "site": "here"}
    assert table.user == "ada", "who started it"
    assert table.runs.set_index("label")["user"].loc[["#0", "#1"]].tolist() == ["ada", "grace"]
    assert logged()[0]["study"]["team"] == "", "MLflow does not show what is not so any more"


def test_a_user_whom_the_system_does_not_know_is_nobody(monkeypatch):
    def unknown():
        raise OSError("no such user")

    monkeypatch.setattr(user.getpass, "getuser", unknown)
    assert user.current_user() == ""


def test_wrong_tags_of_the_command_line_start_nothing(tmp_path, new_home):
    path = tmp_path / "digits.toml"
    path.write_text(to_toml(digits()))
    for tag, why in (("team", "--tag 'team' is not of the form key=value"), ("user=me", "tags.user: every charge")):
        done = tracker("run", path, "--tag", tag, home=new_home())
        assert done.returncode == 2
        assert why in done.stderr
