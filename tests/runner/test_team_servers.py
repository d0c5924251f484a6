"""Studies whose databases are PostgreSQL's and whose MLflow is a server with a password: as safe as with SQLite.

Nothing that they write, print or show holds a password.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import time
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
import sqlalchemy as sa

from tests.support.command import tracker
from tests.support.coordinators import Coordinator
from tests.support.interrupts import ctrl_c_after, once
from tests.support.mlflow_server import ADMIN_PASSWORD, server_with_auth
from tests.support.pausable import study
from tests.support.postgres import PASSWORD, postgres
from tests.support.studies import digits
from tracker import confirm_study, open_study, resume_study, run_study, start_study
from tracker.errors import RequestError, StoreError, StudyExistsError
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home

IN_THE_ENVIRONMENT = "never-shown-0f3a"
SECRETS = (
    *(PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD), json.dumps(PASSWORD)[1:-1]),
    *(ADMIN_PASSWORD, quote(ADMIN_PASSWORD, safe=""), IN_THE_ENVIRONMENT),
)


@pytest.fixture
def team(monkeypatch):
    """The environment of someone whose team has a PostgreSQL server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres().new("mlflow"))
    monkeypatch.setenv("TRACKER_STORAGE", postgres().new())


@pytest.fixture(params=["postgresql", "mlflow server"])
def either(request, monkeypatch):
    """The same, or with an MLflow server that asks for a password; the address of MLflow's."""
    address = postgres().new("mlflow") if request.param == "postgresql" else server_with_auth().url()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("TRACKER_STORAGE", postgres().new())
    return address


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
    described = {**study(epochs=4, epoch_seconds=0.3), "name": name}
    coordinator = Coordinator(f"from tracker import run_study\nrun_study({described!r}, home={str(tmp_path)!r})\n")
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
    own = {"TMPDIR": str(tmp_path)}
    started = [
        Coordinator(script, json.dumps({**study(epochs=1), "name": each}), home, environment=own)
        for each, home in homes.items()
    ]
    for process in started:
        assert process.wait(500) == 0, process.errors.read_text()
    for each, home in homes.items():
        assert list(trials_of(open_study(each, home=home))["state"]) == ["completed"]
        assert optuna_states(each) == ["COMPLETE"]


def test_a_server_that_restarts_under_a_study_loses_nothing(name, tmp_path, monkeypatch):
    server = postgres()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.new("mlflow"))
    monkeypatch.setenv("TRACKER_STORAGE", server.new())

    def restart():
        server.stop()
        time.sleep(2)
        server.start()

    first = lambda: any('"ready"' in log.read_text() for log in tmp_path.glob("studies/*/trials/0/*.jsonl"))  # noqa: E731
    with once(first, restart):
        found = run_study(digits(name=name, budget={"trials": 4}, settings={"epoch_seconds": 3.0}), home=tmp_path)
    assert list(trials_of(found)["state"]) == ["completed"] * 4
    assert found.runs()["wall_seconds"].sum() == pytest.approx(paid(tmp_path))
    assert optuna_states(name).count("COMPLETE") == 4


def contents(url):
    """Everything in a database, as text."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            for row in connection.execute(sa.text(f'select * from "{table}"')):
                yield f"{table}: {row}"


def arguments_of_processes():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().decode(errors="replace")


def test_no_password_is_written_printed_or_shown(either, name, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", IN_THE_ENVIRONMENT)
    storage = os.environ["TRACKER_STORAGE"]
    monkeypatch.delenv("TRACKER_STORAGE")
    described = digits(name=name, budget={"trials": 2}, settings={"epoch_seconds": 0.3})
    launched = start_study(described, home=tmp_path, storage=storage)
    shown = [*arguments_of_processes(), launched.launch.command]
    folder = StudyFolder(Home(tmp_path).study(name))
    deadline = time.monotonic() + 300
    while not folder.is_there or folder.coordinator() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "completed" in tracker("status", name, home=tmp_path).stdout
    monkeypatch.setenv("TRACKER_STORAGE", storage)
    confirm_study(name, home=tmp_path, seeds=1)
    commands = [
        *(["runs", name], ["frontier", name], ["report", name], ["why", name, "0"], ["status", name], ["status", "x"]),
        *(["resume", name, "--trials", "1"], ["doctor", "--no-compile"], ["compare", name, name]),
    ]
    for command in commands:
        said = tracker(*command, home=tmp_path)
        shown += [said.stdout, said.stderr]
    described["name"] = f"{name} too"
    for address in (os.environ["MLFLOW_TRACKING_URI"], storage):
        wrong = address.replace(quote(PASSWORD, safe=""), quote(f"not {PASSWORD}", safe=""))
        for variable in ("MLFLOW_TRACKING_URI", "TRACKER_STORAGE"):
            with monkeypatch.context() as patch, contextlib.suppress(StoreError):
                patch.setenv(variable, wrong)
                try:
                    run_study(described, home=tmp_path)
                except StoreError as error:
                    shown.append(str(error))
                    raise
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    shown += [path.read_bytes().decode(errors="replace") for path in kept]
    shown += [str(path) for path in tmp_path.rglob("*")]
    shown += contents(storage)
    if either.startswith("postgresql"):
        shown += contents(either)
    else:
        shown += contents(f"sqlite:///{server_with_auth().folder / 'mlflow.db'}")
    assert len(shown) > 100
    for text in shown:
        found = [secret for secret in SECRETS if secret in text]
        assert not found, (found, text[:2000])
