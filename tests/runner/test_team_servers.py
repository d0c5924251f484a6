"""Studies whose databases are PostgreSQL's are as safe as those in SQLite's."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from tests.support.command import ROOT, tracker
from tests.support.interrupts import ctrl_c_after
from tests.support.pausable import study
from tests.support.postgres import postgres
from tracker import open_study, resume_study, run_study
from tracker.errors import RequestError, StudyExistsError
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home


@pytest.fixture
def team(monkeypatch):
    """The environment of someone whose team has a PostgreSQL server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres().new("mlflow"))
    monkeypatch.setenv("TRACKER_STORAGE", postgres().new())


@pytest.fixture
def name():
    return f"team {secrets.token_hex(4)}"


def optuna_states(name):
    found = optuna.load_study(study_name=name, storage=os.environ["TRACKER_STORAGE"])
    return [trial.state.name for trial in found.trials]


def trials_of(found):
    return found.runs().query("role == 'trial'")


def paid(home):
    """How many seconds the attempts worked, by their event logs."""
    ends = [json.loads(log.read_text().splitlines()[-1]) for log in Path(home).glob("studies/*/trials/*/*.jsonl")]
    return sum(end["usage"]["wall_seconds"] for end in ends)


def test_an_interrupted_study_is_resumed_where_it_was(team, name, tmp_path):
    with ctrl_c_after(tmp_path, 2):
        stopped = run_study({**study(epochs=4, epoch_seconds=0.5), "name": name}, home=tmp_path)
    assert trials_of(stopped).iloc[0]["state"] == "paused"
    assert "paused" in tracker("status", name, home=tmp_path).stdout
    finished = resume_study(name, home=tmp_path)
    trial = trials_of(finished).iloc[0]
    assert (trial["state"], trial["attempts"]) == ("completed", 2)
    assert finished.runs()["wall_seconds"].sum() == pytest.approx(paid(tmp_path))
    assert optuna_states(name) == ["COMPLETE"]
    for command in (["runs", name], ["frontier", name], ["report", name], ["why", name, "0"]):
        said = tracker(*command, home=tmp_path)
        assert said.returncode == 0, said.stderr


def test_a_coordinator_that_is_killed_loses_nothing_and_doubles_nothing(team, name, tmp_path):
    script = tmp_path / "script.py"
    described = {**study(epochs=4, epoch_seconds=0.3), "name": name}
    script.write_text(f"from tracker import run_study\nrun_study({described!r}, home={str(tmp_path)!r})\n")
    coordinator = subprocess.Popen([sys.executable, script], cwd=ROOT)
    logs = lambda: list(tmp_path.glob("studies/*/trials/0/1.jsonl"))  # noqa: E731
    deadline = time.monotonic() + 300
    while not (logs() and '"saved"' in logs()[0].read_text()):
        assert time.monotonic() < deadline and coordinator.poll() is None
        time.sleep(0.05)
    with (
        pytest.raises(RequestError, match="running already, in process"),
        StudyFolder(Home(tmp_path).study(name)).locked(),
    ):
        raise AssertionError("a second coordinator")
    os.kill(coordinator.pid, signal.SIGKILL)
    coordinator.wait()
    with pytest.raises(StudyExistsError, match=name):
        run_study(described, home=tmp_path / "elsewhere")
    finished = resume_study(name, home=tmp_path)
    assert list(trials_of(finished)["label"]) == ["#0"]
    assert trials_of(finished).iloc[0]["state"] == "completed"
    assert finished.runs()["wall_seconds"].sum() == pytest.approx(paid(tmp_path))
    assert optuna_states(name) == ["COMPLETE"]


def test_two_studies_start_at_once_in_databases_that_are_still_empty(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres().new())
    monkeypatch.setenv("TRACKER_STORAGE", postgres().new())
    script = "import json, sys\nfrom tracker import run_study\nrun_study(json.loads(sys.argv[1]), home=sys.argv[2])\n"
    homes = {f"{name} {each}": tmp_path / each for each in ("one", "other")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, json.dumps({**study(epochs=1), "name": each}), str(home)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for each, home in homes.items()
    ]
    for process in started:
        assert process.wait(500) == 0, process.stderr.read()
    for each, home in homes.items():
        assert list(trials_of(open_study(each, home=home))["state"]) == ["completed"]
        assert optuna_states(each) == ["COMPLETE"]
