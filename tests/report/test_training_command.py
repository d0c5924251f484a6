"""The command that trains a run again, run for real."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker.report.training_command import _value, training_command
from tracker.runner.study_folder import DESCRIPTION
from tracker.store.home import Home
from tracker.store.run_table import read_study_table
from tracker.study.document import parse_assignments

STUDY = """
name = "two digits"
workload = "tests.support.digits:Digits"
seed = 3
strategy = "frontier"
quality.metric = "accuracy"
pricing.sku_cpu = "aws/m7i.xlarge"
settings = {epochs = 2, threads = 1, precision = "fp32"}
space = {width = [4, 16], learning_rate = {low = 1e-3, high = 1e-1, log = true}}

[budget]
trials = 2
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    put_mlflow_database(folder)
    (folder / "two digits.toml").write_text(STUDY)
    done = tracker("run", folder / "two digits.toml", "--budget-usd", "0.5", home=folder)
    assert done.returncode == 0, done.stderr
    return Home(folder)


def table_of(home, name="two digits"):
    return read_study_table(home.tracking_uri, name)


def trial_row(table, number):
    return int(table.runs.index[(table.runs["role"] == "trial") & (table.runs["trial"] == number)][0])


def test_paths_below_the_current_folder_hold_in_any_checkout(home, monkeypatch):
    table, row = table_of(home), trial_row(table_of(home), 1)
    monkeypatch.chdir(home.path.parent)
    words = shlex.split(training_command(home, table, row).text)
    assert words[2] == f"{home.path.name}/two digits.toml"
    assert words[-2:] == ["--home", home.path.name]


def test_the_command_trains_the_trial_again_with_the_same_settings_and_seed(home):
    table = table_of(home)
    row = trial_row(table, 1)
    command = training_command(home, table, row)
    assert command.remark == ""
    words = shlex.split(command.text)
    assert words[:4] == ["tracker", "run", str(home.path / "two digits.toml"), "--name"]
    assert "--seed" in words
    assert words[words.index("--budget-usd") + 1] == "0.5"
    done = tracker(*words[1:], home=home.path)
    assert done.returncode == 0, done.stderr
    again = table_of(home, "two digits-1-again")
    (new,) = again.runs.index[again.runs["role"] == "trial"]
    assert again.settings_of(new) == table.settings_of(row)
    asked = [json.loads((home.study(name) / f"trials/{number}/1.jsonl").read_text().splitlines()[0])
             for name, number in (("two digits", 1), ("two digits-1-again", 0))]  # fmt: skip
    assert asked[0]["seed"] == asked[1]["seed"] == 4
    assert again.runs["state"].at[new] == "completed"
    assert "two digits-1-again-2" in training_command(home, table, row).text


def test_a_file_that_changed_or_went_is_reported(home):
    table, file = table_of(home), home.path / "two digits.toml"
    row = trial_row(table, 0)
    file.write_text(STUDY.replace("trials = 2", "trials = 9"))
    assert "has been changed since" in training_command(home, table, row).remark
    file.write_text("name = ")
    assert "cannot be read now" in training_command(home, table, row).remark
    file.unlink()
    command = training_command(home, table, row)
    assert command.text == ""
    assert f"'{file}' is not there now" in command.remark
    file.write_text(STUDY)


def test_a_study_whose_file_or_folder_is_not_known_says_so(home, tmp_path):
    table = table_of(home)
    row = trial_row(table, 0)
    gone = training_command(Home(tmp_path), table, row)
    assert gone.text == ""
    assert "there is no study in" in gone.remark
    description = home.study("two digits") / DESCRIPTION
    saved = description.read_text()
    description.write_text(json.dumps({**json.loads(saved), "file": None}))
    assert "was not read from a file" in training_command(home, table, row).remark
    description.write_text(saved)


@pytest.mark.parametrize(
    "value",
    [True, 3, 0.1, 1e-7, 1e20, "fp32", "true", "07", "1e-3", "a b", " edge ", "q\"'", "line\nbreak", "[1]", "x\\y", ""],
)
def test_every_setting_is_read_back_as_it_was(value):
    (read,) = parse_assignments([f"k={_value(value)}"]).values()
    assert read == value
    assert type(read) is type(value)
