"""What was read once is not read again, and never stands for what has changed."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.support.mlflow_database import put_mlflow_database
from tracker.errors import StudyNotFoundError
from tracker.records import TrialState
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import StudyReader, read_study_table
from tracker.store.sql_reader import SqlReader

TAGS = {"tracker.quality": "accuracy", "tracker.direction": "maximize", "tracker.state": "running"}


def add_run(log, number, epochs=3, ended=True, lift=0.0):
    tags = {"tracker.role": "trial", "tracker.trial": str(number), "tracker.state": "running", "tracker.sku": "a/b"}
    run = log.run(f"#{number}", {"width": number, "odd @ name": 0.5}, tags, 1000.0 + number)
    for epoch in range(1, epochs + 1):
        values = {"accuracy": epoch / 10 + lift, "price_usd": epoch / 100, "wall_seconds": float(epoch), "re@5": 0.1}
        run.add(values, step=epoch, timestamp=2000.0 + epoch)
    if ended:
        end(run, epochs)
    run.outbox.flush()
    return run


def end(run, epochs, state=TrialState.COMPLETED, at=3000.0):
    run.add({"price_usd": 0.5, "wall_seconds": 9.0}, step=epochs + 1, timestamp=at)
    run.tag({"tracker.state": state})
    run.end(state, at)


@pytest.fixture
def store(tmp_path):
    """A store with a study of four runs, the last one under way: its URI, the study's log, and a cache's folder."""
    uri = f"sqlite:///{put_mlflow_database(tmp_path)}"
    log = MlflowStore(uri).create_study("s", TAGS, 1000.0, tmp_path / "artifacts")
    runs = [add_run(log, number, ended=number < 3) for number in range(4)]
    return uri, log, tmp_path / "cache", runs


@pytest.fixture
def asked(monkeypatch):
    """How many runs each question to the database was about."""
    counts = []
    for name in ("details", "history"):
        real = getattr(SqlReader, name)

        def counting(self, *arguments, real=real):
            counts.append(len(arguments[-1]))
            return real(self, *arguments)

        monkeypatch.setattr(SqlReader, name, counting)
    return counts


def same(one, other):
    assert one.runs.equals(other.runs)
    assert one.settings.equals(other.settings)
    assert one.summary.equals(other.summary)
    assert one.checkpoints.astype({"run_id": object, "role": object, "label": object}).equals(
        other.checkpoints.astype({"run_id": object, "role": object, "label": object})
    )


def test_runs_that_ended_are_read_once_and_the_one_under_way_each_time(store, asked):
    uri, _, cache, _ = store
    first = read_study_table(uri, "s", cache)
    assert set(asked) == {4}
    asked.clear()
    again = read_study_table(uri, "s", cache)
    assert set(asked) == {1}
    same(first, again)
    same(first, read_study_table(uri, "s"))


def test_a_run_that_grows_and_ends_is_followed(store):
    uri, _, cache, runs = store
    reader = StudyReader(uri, "s", cache)
    assert len(reader.read().checkpoints) == 12
    runs[3].add({"accuracy": 0.9, "price_usd": 0.04}, step=4, timestamp=2004.0)
    runs[3].outbox.flush()
    assert reader.read().checkpoints["quality"].max() == 0.9
    end(runs[3], 4)
    runs[3].outbox.flush()
    assert reader.read().runs["state"].tolist() == ["completed"] * 4
    assert reader.read() is reader.read(), "nothing can have changed"
    same(reader.read(), read_study_table(uri, "s"))


@pytest.mark.parametrize("after", [TrialState.STOPPED, TrialState.RUNNING])
def test_a_paused_run_that_is_stopped_or_resumed_is_read_again(store, after):
    uri, _, cache, runs = store
    end(runs[3], 3, TrialState.PAUSED)
    runs[3].outbox.flush()
    assert read_study_table(uri, "s", cache).runs["state"].iloc[3] == "paused"
    if after is TrialState.RUNNING:
        runs[3].resume()
    runs[3].tag({"tracker.state": after})
    runs[3].outbox.flush()
    assert read_study_table(uri, "s", cache).runs["state"].iloc[3] == after
    end(runs[3], 3, TrialState.PAUSED, at=4000.0)
    runs[3].add({"price_usd": 0.75}, step=5, timestamp=4000.0)
    runs[3].outbox.flush()
    again = read_study_table(uri, "s", cache)
    assert (again.runs["state"].iloc[3], again.runs["price_usd"].iloc[3]) == ("paused", 0.75)


def test_another_database_in_its_place_is_another_study(store, tmp_path):
    uri, _, cache, _ = store
    read_study_table(uri, "s", cache)
    (tmp_path / "other").mkdir()
    other = put_mlflow_database(tmp_path / "other")
    log = MlflowStore(f"sqlite:///{other}").create_study("s", TAGS, 1000.0, tmp_path / "artifacts")
    add_run(log, 0, lift=0.5)
    for path in tmp_path.glob("mlflow.db*"):
        path.unlink()
    for path in other.parent.glob("mlflow.db*"):
        path.rename(tmp_path / path.name)
    table = read_study_table(uri, "s", cache)
    assert table.checkpoints["quality"].tolist() == [0.6, 0.7, 0.8]


def test_a_run_that_was_deleted_is_gone_and_one_that_was_renamed_has_its_new_name(store):
    uri, _, cache, runs = store
    read_study_table(uri, "s", cache)
    client = MlflowStore(uri)._client
    client.delete_run(runs[0].run_id)
    client.update_run(runs[1].run_id, name="the good one")
    table = read_study_table(uri, "s", cache)
    assert table.runs["label"].tolist() == ["the good one", "#2", "#3"]
    assert table.runs["trial"].tolist() == [1, 2, 3]
    client.restore_run(runs[0].run_id)
    assert len(read_study_table(uri, "s", cache).runs) == 4


def test_a_reader_that_stays_open_sees_every_change_of_what_has_ended(store):
    uri, log, cache, runs = store
    client, reader = MlflowStore(uri)._client, StudyReader(uri, "s", cache)
    changes = [
        lambda: None,
        lambda: client.delete_run(runs[1].run_id),
        lambda: runs.append(add_run(log, 4, ended=False)),
        lambda: client.restore_run(runs[1].run_id),
        lambda: client.update_run(runs[2].run_id, name="the good one"),
        lambda: runs.append(add_run(log, 0.5)),  # started between two that have ended
        lambda: (end(runs[4], 3, TrialState.PAUSED), runs[4].outbox.flush()),
        lambda: (runs[4].resume(), runs[4].tag({"tracker.state": TrialState.RUNNING}), runs[4].outbox.flush()),
        lambda: (end(runs[4], 4, TrialState.FAILED, at=2500.0), runs[4].outbox.flush()),  # by a clock that is behind
        lambda: client.set_terminated(runs[0].run_id, "KILLED", 3_000_000),
        lambda: (runs[2].resume(), runs[2].outbox.flush()),
    ]
    for change in changes:
        change()
        same(reader.read(), read_study_table(uri, "s"))
    assert len(reader.read().runs) == 6


def test_a_name_of_the_same_length_is_seen_when_an_index_is_read_as_a_whole_again(store, monkeypatch):
    uri, _, cache, runs = store
    reader = StudyReader(uri, "s", cache)
    reader.read()
    MlflowStore(uri)._client.update_run(runs[1].run_id, name="#8")
    assert reader.read().runs["label"].tolist() == ["#0", "#1", "#2", "#3"], "for a minute at most"
    monkeypatch.setattr("tracker.store.sql_reader._TRUSTED_SECONDS", 0.0)
    assert reader.read().runs["label"].tolist() == ["#0", "#8", "#2", "#3"]


def test_what_is_broken_in_the_cache_or_cannot_be_written_costs_time_only(store, monkeypatch):
    uri, _, cache, _ = store
    whole = read_study_table(uri, "s", cache)
    files = sorted(cache.rglob("*.arrow"))
    assert len(files) == 4  # what runs were reported, and three metrics
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:100])
    files[2].write_bytes(b"no arrow file")
    files[3].unlink()
    same(whole, read_study_table(uri, "s", cache))
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    same(whole, read_study_table(uri, "s", cache))


def test_readers_at_once_agree(store):
    uri, _, cache, _ = store
    expected, found = read_study_table(uri, "s"), []
    threads = [threading.Thread(target=lambda: found.append(read_study_table(uri, "s", cache))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for table in found:
        same(expected, table)
    assert not list(cache.rglob(".*")), "no half-written file stays"


def test_a_deleted_study_leaves_nothing_behind(store):
    uri, log, cache, _ = store
    read_study_table(uri, "s", cache)
    MlflowStore(uri)._client.delete_experiment(log.experiment_id)
    with pytest.raises(StudyNotFoundError):
        read_study_table(uri, "s", cache)
    assert not list(cache.rglob("*.arrow"))


def test_metrics_are_read_when_they_are_asked_for_under_their_own_names(store):
    uri, _, cache, _ = store
    for _ in range(2):
        table = read_study_table(uri, "s", cache)
        assert set(table.metrics.names) == {"accuracy", "price_usd", "wall_seconds", "re@5"}
        assert table.metrics["re@5"].tolist() == [0.1] * 12
        assert table.settings_of(2) == {"width": 2, "odd @ name": 0.5}
        with pytest.raises(KeyError):
            table.metrics["no such metric"]


def test_a_database_on_a_disk_that_takes_nothing_is_read(store, tmp_path):
    uri, *_ = store
    source = Path(uri.removeprefix("sqlite:///"))
    place = tmp_path / "read-only"
    place.mkdir()
    copy = place / "mlflow.db"
    with sqlite3.connect(source) as database, sqlite3.connect(copy) as target:
        database.backup(target)
    target.execute("PRAGMA journal_mode=WAL")
    target.close()
    copy.chmod(0o444)
    place.chmod(0o555)
    try:
        same(read_study_table(f"sqlite:///{copy}", "s"), read_study_table(uri, "s"))
    finally:
        place.chmod(0o755)
