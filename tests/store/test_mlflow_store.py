"""MLflow holds every run whole, takes a replay without a double entry, and is read back as tables."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tests.support.mlflow_database import put_mlflow_database
from tests.support.mlflow_server import MlflowServer
from tracker.errors import StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import DataCard, Direction, TrialState
from tracker.store.mlflow_database import DatabaseWriter
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import list_studies, read_study_table
from tracker.store.sql_reader import SqlReader

STUDY_TAGS = {
    "tracker.quality": "accuracy",
    "tracker.direction": "maximize",
    "tracker.budget_usd": "0.5",
    "tracker.price_book": "abc",
    "tracker.state": "completed",
}
CARD = DataCard("digits", "8x8", {"train": 1400}, 10)


def log_study(uri, name, artifacts):
    study = MlflowStore(uri).create_study(name, STUDY_TAGS, 1000.0, artifacts)
    tags = {
        "tracker.role": "trial",
        "tracker.trial": "0",
        "tracker.sku": "aws/m7i.large",
        "tracker.usd_per_hour": "0.1",
    }
    run = study.run("#0", {"width": 4, "compile": False, "rate": 0.5, "precision": "fp32"}, tags, 1000.0)
    fill(run)
    run.outbox.flush()
    return study


def fill(run):
    for epoch in (1, 2):
        values = {"accuracy": epoch / 10, "price_usd": epoch / 100, "wall_seconds": float(epoch)}
        run.add(values, step=epoch, timestamp=1000.0 + epoch)
    run.add({"price_usd": 0.03, "wall_seconds": 3.0, "test_accuracy": 0.15}, step=3, timestamp=1003.0)
    run.tag({"tracker.state": "failed", "tracker.reason": "not_finite", "tracker.message": "x" * 9000})
    run.input(CARD)
    run.end(TrialState.FAILED, 1003.0)


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{put_mlflow_database(tmp_path)}"


def test_what_was_logged_is_read_back_as_tables(uri, tmp_path):
    log_study(uri, "s", tmp_path / "artifacts")
    table = read_study_table(uri, "s")
    assert (table.quality.name, table.quality.direction) == ("accuracy", Direction.MAXIMIZE)
    assert (table.budget_usd, table.price_book, table.state) == (0.5, "abc", "completed")
    (run,) = table.runs.to_dict("records")
    assert table.settings_of(0) == {"width": 4, "compile": False, "rate": 0.5, "precision": "fp32"}
    assert (run["trial"], run["role"], run["state"], run["reason"]) == (0, "trial", "failed", "not_finite")
    assert (run["quality"], run["price_usd"], run["wall_seconds"]) == (0.2, 0.03, 3.0)
    assert table.summary_of(0)["test_accuracy"] == 0.15
    points = table.checkpoints.to_dict("records")
    assert [(point["epoch"], point["quality"], point["price_usd"]) for point in points] == [
        (1, 0.1, 0.01),
        (2, 0.2, 0.02),
    ]
    assert table.metrics.names == ["accuracy", "price_usd", "wall_seconds"]
    with pytest.raises(KeyError):
        table.metrics["energy_joules"]
    assert table.spend_usd == 0.03


def test_a_replay_changes_nothing(uri, tmp_path):
    log_study(uri, "s", tmp_path / "artifacts")
    before = read_study_table(uri, "s")
    log = MlflowStore(uri).open_study("s")
    again = log.run("#0", {"width": 4}, {}, 1000.0, log.logged_runs()["#0"].run_id)
    fill(again)
    again.outbox.flush()
    after = read_study_table(uri, "s")
    assert after.runs.equals(before.runs)
    assert after.checkpoints.equals(before.checkpoints)


def test_a_study_that_is_there_is_not_made_again(uri, tmp_path):
    log_study(uri, "s", tmp_path / "artifacts")
    with pytest.raises(StudyExistsError, match="'s' already"):
        MlflowStore(uri).create_study("s", STUDY_TAGS, 0.0, tmp_path)


def test_an_unknown_study_is_refused_with_the_nearest_name(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(StudyNotFoundError, match="allowed: nothing"):
        read_study_table(uri, "docstrings")
    assert not (tmp_path / "mlflow.db").exists(), "asking for a study must not make a database"
    log_study(uri, "docstrings", tmp_path / "artifacts")
    with pytest.raises(StudyNotFoundError, match="did you mean 'docstrings'"):
        read_study_table(uri, "docstring")


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database, whatever its name says")
    with pytest.raises(StoreError, match="cannot be read"):
        list_studies(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_mlflow_being_away_loses_nothing(uri, tmp_path, monkeypatch):
    study = log_study(uri, "s", tmp_path / "artifacts")
    run = study.run("#1", {"width": 4}, {"tracker.role": "trial", "tracker.trial": "1"}, 1000.0)
    fill(run)
    with monkeypatch.context() as patch:
        patch.setattr(DatabaseWriter, "write", lambda *_: (_ for _ in ()).throw(ConnectionError("away")))
        with pytest.raises(StoreError, match="did not accept 's': away"):
            run.outbox.flush()
    run.outbox.flush()
    runs = read_study_table(uri, "s").runs
    assert list(runs["label"]) == ["#0", "#1"]
    assert list(runs["price_usd"]) == [0.03, 0.03]


def test_a_database_of_a_newer_mlflow_is_refused_with_the_advice_the_right_way_round(uri, tmp_path):
    log_study(uri, "s", tmp_path / "artifacts")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
        database.commit()
    said = "was made by a newer MLflow than the installed [0-9.]+ .*ffffffffffff.*; upgrade mlflow, or use another home"
    with pytest.raises(StoreError, match=said):
        MlflowStore(uri)
    assert len(read_study_table(uri, "s").runs) == 1, "what can be read still is"
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("alter table metrics rename column step to moment")
        database.commit()
    with pytest.raises(StoreError, match=said):
        read_study_table(uri, "s")


def test_a_study_is_found_whatever_its_experiment_is_called(uri, tmp_path):
    tags = {**STUDY_TAGS, "tracker.study": "it's s"}
    study = MlflowStore(uri).create_study("it's s", tags, 1000.0, tmp_path / "artifacts")
    run = study.run("#0", {}, {"tracker.study": "it's s", "tracker.role": "trial"}, 1000.0)
    run.outbox.flush()
    store, client = MlflowStore(uri), study._client
    client.rename_experiment(study.experiment_id, "mine now")
    other = client.create_experiment("it's s")
    client.create_run(other)
    client.delete_run(study.parent.run_id)
    for reader in (store, SqlReader(uri)):
        here, elsewhere = reader.find_study("it's s")
        assert (here.experiment_id, here.parent, here.runs, here.foreign) == (other, "", 0, 1)
        assert (elsewhere.name, elsewhere.deleted, elsewhere.runs, elsewhere.foreign) == ("mine now", False, 1, 0)
        assert (elsewhere.parent, elsewhere.parent_deleted) == (study.parent.run_id, True)
        assert reader.find_study("nobody") == []


@pytest.fixture
def server(uri, tmp_path):
    """A real MLflow tracking server over a database of its own."""
    server = MlflowServer(uri, tmp_path / "server").start()
    yield server.address
    server.stop()


def test_a_server_gives_the_same_tables_as_its_database(server, uri, tmp_path):
    log_study(server, "it's <b>a/b</b> 🦊", tmp_path / "unused")
    by_server = read_study_table(server, "it's <b>a/b</b> 🦊")
    by_database = read_study_table(uri, "it's <b>a/b</b> 🦊")
    assert by_server.runs.equals(by_database.runs)
    assert by_server.checkpoints.equals(by_database.checkpoints)
    assert list_studies(server) == list_studies(uri)
