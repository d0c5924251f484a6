"""Databases that are locked, half-migrated, another program's, or of a server that refuses, restarts or hangs up."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import optuna
import pytest

from tests.store.test_mlflow_store import log_study
from tests.support.mlflow_database import put_mlflow_database
from tests.support.postgres import PASSWORD, postgres
from tracker.databases import connections
from tracker.databases.addresses import first_line, shown_url, unescaped
from tracker.errors import StoreError
from tracker.records import Direction, TrialState
from tracker.search.sampler import Trials
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import read_study_table
from tracker.store.sql_reader import SqlReader
from tracker.study.domains import Range
from tracker.study.space import SearchSpace

SPACE = SearchSpace({}, {"cpu": {"rate": Range(0.0, 1.0)}})
HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("begin exclusive")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{put_mlflow_database(tmp_path)}"


@contextlib.contextmanager
def held(database, seconds):
    """Another process has the database for itself."""
    with subprocess.Popen([sys.executable, "-c", HOLD, database, str(seconds)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def without_log(database):
    """Out of WAL mode: then readers wait, too."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("pragma journal_mode = delete").fetchone() == ("delete",)


def new_trials(storage, name="s"):
    return Trials.create(storage, name, {"accuracy": Direction.MAXIMIZE}, SPACE, 0)


def revision(database, value):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("update alembic_version set version_num = ?", [value])
        connection.commit()


def test_a_database_that_another_process_holds_is_waited_for(uri, tmp_path):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    trials = new_trials(storage)
    with held(tmp_path / "optuna.db", 6):  # sqlite3 by itself waits for 5
        trials.tell(trials.ask().trial, TrialState.COMPLETED, [0.5])
        trials.flush()
    without_log(tmp_path / "mlflow.db")
    with held(tmp_path / "mlflow.db", 2):
        assert SqlReader(uri).parents() == []
    with held(tmp_path / "mlflow.db", 2):
        assert MlflowStore(uri).find_study("s") == []
    with held(tmp_path / "mlflow.db", 21):  # MLflow by itself waits for 20
        log_study(uri, "s", tmp_path / "artifacts")
    assert read_study_table(uri, "s").spend_usd == 0.03


def test_one_that_is_held_for_too_long_is_said_and_unharmed(uri, tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    new_trials(storage)
    without_log(tmp_path / "mlflow.db")
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.3)
    for database, use in (
        ("mlflow.db", lambda: SqlReader(uri).parents()),
        ("mlflow.db", lambda: MlflowStore(uri)),
        ("optuna.db", lambda: Trials.load(storage, "s", {"accuracy": Direction.MAXIMIZE}, SPACE, 0).ask()),
    ):
        with held(tmp_path / database, 60), pytest.raises(StoreError, match=r"locked: another process has held it"):
            use()
        with contextlib.closing(sqlite3.connect(tmp_path / database)) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_database_of_an_older_mlflow_is_left_as_it_is_and_the_message_says_how_to_upgrade_it(uri, tmp_path):
    log_study(uri, "s", tmp_path / "artifacts")
    revision(tmp_path / "mlflow.db", "451aebb31d03")  # MLflow 1.0
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("drop table webhooks")  # MLflow would make it, and migrate the rest
        connection.commit()
        before = list(connection.iterdump())
    with pytest.raises(StoreError, match=r"older MLflow than the installed .*451aebb31d03.*\n`mlflow db upgrade URL`"):
        MlflowStore(uri)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert list(connection.iterdump()) == before
    assert read_study_table(uri, "s").spend_usd == 0.03, "what can be read still is"


def test_a_database_that_mlflow_was_making_when_it_was_killed_is_completed(tmp_path):
    path = put_mlflow_database(tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("select name from sqlite_master where name like 'webhook%'")]
        for table in tables:
            connection.execute(f"drop table if exists {table}")
        connection.commit()
    with contextlib.suppress(StoreError):  # whether MLflow can is its own affair
        MlflowStore(f"sqlite:///{path}")
    path.unlink()
    path.touch()  # killed before the first table
    assert MlflowStore(f"sqlite:///{path}").find_study("s") == []


@pytest.mark.parametrize(
    "version, said",
    [
        ("v2.6.0.a", "older Optuna than the installed .*v2.6.0.a.*\n`optuna storage upgrade --storage URL`"),
        ("v9.9.0.a", "newer Optuna than the installed .*v9.9.0.a.*; upgrade optuna"),
    ],
)
def test_a_storage_of_another_optuna_is_left_as_it_is_and_the_message_says_what_to_do(tmp_path, version, said):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    new_trials(storage)
    revision(tmp_path / "optuna.db", version)
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        before = list(connection.iterdump())
    with pytest.raises(StoreError, match=said):
        Trials.started(storage, "s")
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        assert list(connection.iterdump()) == before


def test_one_database_does_not_hold_both(uri, tmp_path):
    with pytest.raises(StoreError, match="holds MLflow's tables: Optuna needs a database of its own"):
        new_trials(uri)
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    new_trials(storage)
    with pytest.raises(StoreError, match="holds Optuna's tables: MLflow needs a database of its own"):
        MlflowStore(storage)


@pytest.mark.parametrize("use", [MlflowStore, lambda url: SqlReader(url).parents(), new_trials])
def test_what_postgresql_refuses_is_said_at_once_with_a_remedy_and_without_the_password(use):
    server = postgres()
    wrong = "wr@ng/one#%"
    for url, remedy in (
        (server.url("postgres", wrong), "password authentication failed.*@ is written as %40"),
        (server.url("nowhere"), "does not exist; create it first"),
        (f"postgresql+psycopg2://ada:{wrong}@/db?host=x", "the password in .* must be escaped: .*%40"),
        (server.url("postgres").replace("psycopg2", "no_such_driver"), "cannot be used"),
    ):
        start = time.monotonic()
        with pytest.raises(StoreError, match=remedy) as caught:
            use(url)
        for secret in (wrong, PASSWORD, "wr%40ng", "p%40ss"):
            assert secret not in str(caught.value)
        assert time.monotonic() - start < 60, "it is not tried again"


def test_a_missing_driver_is_said_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    for use in (MlflowStore, lambda url: SqlReader(url).parents(), new_trials):
        with pytest.raises(StoreError, match=r"pip install 'cost-quality-tracker\[postgres\]'"):
            use("postgresql+psycopg2://ada:secret@localhost/x")


def test_a_server_that_hangs_up_or_restarts_is_waited_for(tmp_path):
    server = postgres()
    storage, uri = server.new(), server.new("mlflow")
    trials = new_trials(storage)
    study = log_study(uri, "s", tmp_path / "artifacts")
    assert server.disconnect() > 0
    trials.tell(trials.ask().trial, TrialState.COMPLETED, [0.5])
    trials.flush()
    assert read_study_table(uri, "s").spend_usd == 0.03
    study.parent.tag({"tracker.state": "stopped"})
    study.flush()
    server.stop()
    later = threading.Timer(1.0, server.start)
    later.start()
    for _ in range(3):
        trials.tell(trials.ask().trial, TrialState.COMPLETED, [0.5])
        trials.flush()
    later.join()
    found = optuna.load_study(study_name="s", storage=storage).trials
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 4
    study.parent.tag({"tracker.state": "completed"})
    study.flush()
    assert read_study_table(uri, "s").state == "completed"


def test_connections_that_end_in_the_middle_of_what_they_do_lose_and_double_no_trial():
    server = postgres()
    storage = server.new()
    trials, done = new_trials(storage), threading.Event()

    def hang_up():
        while not done.wait(0.3):
            server.disconnect(storage.split("@/")[1].split("?")[0])

    ending = threading.Thread(target=hang_up)
    ending.start()
    try:
        for _ in range(6):
            trials.tell(trials.ask().trial, TrialState.COMPLETED, [0.5])
            trials.flush()
    finally:
        done.set()
        ending.join()
    states = [trial.state.name for trial in optuna.load_study(study_name="s", storage=storage).trials]
    assert states.count("COMPLETE") == 6


@pytest.mark.parametrize(
    "address, shown",
    [
        ("postgresql://ada:secret@host/db", "postgresql://ada:***@host/db"),
        ("postgresql://ada:s@cr/e#t?@host/db", "postgresql://ada:***@host/db"),
        ("https://ghp_token@host/mlflow", "https://***@host/mlflow"),
        ("http://host:5000/?token=abc&x=1", "http://host:5000/?token=***&x=1"),
        ("postgresql://ada@host/db", "postgresql://ada@host/db"),
        ("sqlite:////home/ada@x/mlflow.db", "sqlite:////home/ada@x/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_in_it(address, shown):
    assert shown_url(address) == shown
    assert shown_url(f"cannot reach {address} now") == f"cannot reach {shown} now"


def test_a_password_is_masked_wherever_an_error_repeats_it():
    url = "postgresql://ada:p%40ss%3Aw@host/db"
    said = first_line(RuntimeError("could not log in as ada with p@ss:w (p%40ss%3Aw)"), url)
    assert said == "could not log in as ada with *** (***)"


@pytest.mark.parametrize(
    "address, wrong",
    [
        ("postgresql://ada:p@ss@host/db", True),
        ("postgresql://ada:p/ss@host/db", True),
        ("postgresql://ada:p#ss@host/db", True),
        (f"postgresql+psycopg2://ada:{PASSWORD}@/db?host=/tmp", True),
        ("postgresql://ada:wr@ng/one#%@/db", True),
        ("postgresql://ada:100%@host/db", True),
        ("postgresql://ada:p%40ss%25@host:5432/db?host=/tmp/a@b", False),
        ("http://host:5000/of/ada@x", False),
        ("sqlite:////home/ada@x/100%/mlflow.db", False),
        ("/home/ada@x/mlflow.db", False),
    ],
)
def test_a_password_that_is_not_escaped_is_noticed(address, wrong):
    assert bool(unescaped(address)) == wrong
