"""Studies in a process of their own: they outlive who started them, and are stopped and resumed from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psutil
import pytest

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker import open_study, start_resume, start_study, stop_study
from tracker.errors import RequestError, StudyExistsError, StudyFileError, StudyNotFoundError, WorkFailedError
from tracker.runner.launches import latest_launch, launches
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.toml_text import to_toml

ROOT = Path(__file__).parents[2]
SECONDS = 300.0
LONG = {"epochs": 5000, "epoch_seconds": 0.2}


def wait_for(what, *, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.1)
    return found


def has_ended(home, name):
    folder = StudyFolder(Home(home).study(name))
    wait_for(lambda: folder.is_there and folder.coordinator() is None)
    return open_study(name, home=home).table().state


def has_checkpoints(home, trial):
    logs = lambda: home.glob(f"studies/digits/trials/{trial}/*.jsonl")  # noqa: E731
    wait_for(lambda: any('"checkpoint"' in log.read_text() for log in logs()))


def test_a_study_runs_to_its_end_by_itself_and_leaves_its_log_and_its_file(tmp_path):
    started = start_study(digits(budget={"trials": 2}), home=tmp_path)
    assert started.exit_code is None
    assert os.getsid(started.launch.process) == started.launch.process != os.getsid(0)
    assert has_ended(tmp_path, "digits") == "completed"
    wait_for(lambda: started.launch.last_lines[-1].startswith("see it: tracker frontier digits"))
    assert any(line.startswith("completed:") for line in started.launch.last_lines)
    assert latest_launch(Home(tmp_path), "digits") == started.launch
    assert tomllib.loads((tmp_path / "launched" / "digits.toml").read_text()) == digits(budget={"trials": 2})
    with pytest.raises(StudyExistsError, match="tracker resume NAME"):
        start_study(digits(), home=tmp_path)


def test_one_is_stopped_resumed_and_given_more_while_it_runs(tmp_path):
    start_study(digits(settings=LONG, budget={"trials": 1, "usd": 5.0}), home=tmp_path)
    has_checkpoints(tmp_path, 0)
    with pytest.raises(RequestError, match="running already, in process"):
        start_resume("digits", home=tmp_path)
    assert stop_study("digits", home=tmp_path) is True
    assert has_ended(tmp_path, "digits") == "stopped"
    assert stop_study("digits", home=tmp_path) is False
    resumed = start_resume("digits", home=tmp_path, trials=2)
    has_checkpoints(tmp_path, 1)
    assert not any("tracker run" in line for line in resumed.launch.last_lines)  # of the first run
    more = start_resume("digits", home=tmp_path, budget_usd=9.0, stop_first=True)
    assert not psutil.pid_exists(resumed.launch.process)
    assert StudyFolder(Home(tmp_path).study("digits")).coordinator() in (more.launch.process, None)
    assert has_ended(tmp_path, "digits") == "completed"
    assert open_study("digits", home=tmp_path).table().budget_usd == 9.0


def test_what_cannot_start_says_so_in_the_processs_own_sentence(tmp_path):
    with pytest.raises(RequestError, match=r"budget\.usd: -1 is not a number of dollars above 0"):
        start_study(digits(budget={"usd": -1}), home=tmp_path)
    with pytest.raises(RequestError, match="digits are broken, as asked for"):
        started = start_study(digits(data={"broken": True}), home=tmp_path)
        wait_for(lambda: started.launch.error)
        raise RequestError(started.launch.error)  # it was preparing its data already when its start returned
    assert len(launches(Home(tmp_path))) == 1
    with pytest.raises(StudyNotFoundError):
        start_resume("no such study", home=tmp_path)
    with pytest.raises(StudyNotFoundError):
        stop_study("no such study", home=tmp_path)


def test_a_process_that_is_killed_before_it_begins_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tracker.runner.detached._COMMAND", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    )
    with pytest.raises(WorkFailedError, match="killed by SIGKILL"):
        start_study(digits(), home=tmp_path)


def test_a_study_without_a_file_keeps_its_comments_and_finds_its_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("import missing_library_for_sure\n")
    text = to_toml(digits(workload="own.py:train")) + "# a word to whoever reads this\n"
    with pytest.raises(RequestError, match="missing_library_for_sure"):
        start_study(StudyDocument.parse("the form", text), home=tmp_path / "home")
    kept = (tmp_path / "home" / "launched" / "digits.toml").read_text()
    assert f'workload = "{tmp_path}/own.py:train"' in kept
    assert "# a word to whoever reads this" in kept


def test_the_command_starts_one_that_outlives_it(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(to_toml(digits()))
    home = put_mlflow_database(tmp_path / "home").parent
    options = ["--name", "a b/ü <i>", "--set", "epochs=1", "--trials", "1"]
    code = "from tracker.cli.main import main; main()"
    words = [sys.executable, "-c", code, "run", str(file), *options, "--home", str(home), "--detach"]
    command = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS, check=True)
    launch = latest_launch(Home(home), "a b/ü <i>")
    assert launch.log in command.stderr
    assert "tracker status 'a b/ü <i>'" in command.stderr
    assert has_ended(home, "a b/ü <i>") == "completed"
    assert open_study("a b/ü <i>", home=home).table().settings["epochs"].dropna().unique().tolist() == [1]
    again = tracker("run", file, *options, "--detach", home=home)
    assert again.returncode == 2
    assert "a study of this name already exists" in again.stderr
    resumed = tracker("resume", "a b/ü <i>", "--trials", "2", "--detach", home=home)
    assert resumed.returncode == 0, resumed.stderr
    assert has_ended(home, "a b/ü <i>") == "completed"
    assert (open_study("a b/ü <i>", home=home).runs()["role"] == "trial").sum() == 2


def test_a_file_that_is_no_study_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(StudyFileError, match="not valid TOML"):
        StudyDocument.parse("an upload", "[" * 100_000)
    with pytest.raises(StudyFileError, match="nested too deeply"):
        StudyDocument.parse("an upload", "a = " + "[" * 100_000)
