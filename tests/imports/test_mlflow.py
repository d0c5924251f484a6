"""What MLflow experiments that know nothing of the tracker cost: imported from stores that MLflow and others wrote."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.support.command import ROOT, tracker, tracker_process
from tests.support.mlflow_database import put_mlflow_database
from tests.support.mlflow_server import served_mlflow
from tests.support.past_mlflow import SKU, START_MS, Past
from tracker.databases import connections
from tracker.records import PriceBasis
from tracker.store.run_table import list_studies, read_study_table

QUALITY = ("--quality", "val_acc", "--sku", SKU, "--share", "1/8")


@pytest.fixture
def source(tmp_path):
    return Past(f"sqlite:///{put_mlflow_database(tmp_path / 'source')}")


@pytest.fixture
def home(new_home):
    return new_home()


def bring(home, source, *more, experiment="vision", quality=QUALITY):
    place = source.uri if isinstance(source, Past) else source
    return tracker("import", "mlflow", place, experiment, *quality, *more, home=home)


def imported(home, source, *more, **options):
    """The study as it is read, and what the import said as JSON."""
    said = bring(home, source, "--json", *more, **options)
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    return read_study_table(f"sqlite:///{home / 'mlflow.db'}", document["study"]), document


def tables(home):
    """Every table of the home's database: what MLflow and the tracker keep of its studies."""
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return list(connection.iterdump())


def files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}


def written(found):
    """Those without SQLite's table of who reads."""
    return {name: each for name, each in found.items() if not name.endswith("-shm")}


def test_every_logged_value_is_a_price_point(home, source):
    source.run(name="first", params={"lr": "0.1", "layers": "4"}, val_loss=[0.9, 0.6, 0.4])
    source.run([0.6, 0.9], name="second", status="FAILED", params={"lr": "0.01", "layers": "8"})
    table, said = imported(home, source)
    assert table.study == "vision" and table.quality.name == "val_acc"
    assert table.runs["label"].tolist() == ["first", "second"]
    assert table.runs["state"].tolist() == ["completed", "failed"]
    assert table.runs["wall_seconds"].round(1).tolist() == [181, 121]
    assert table.checkpoints["wall_seconds"].round(1).tolist() == [60, 120, 180, 60, 120]
    assert table.checkpoints["price_usd"][2] == pytest.approx(table.runs["usd_per_hour"][0] / 8 * 180 / 3600)
    assert set(table.runs["price_basis"]) == {PriceBasis.ESTIMATED}
    assert table.settings["lr"].tolist() == [0.1, 0.01]
    assert table.metrics["val_loss"][:3].tolist() == [0.9, 0.6, 0.4]
    assert (said["added"], said["updated"], said["unchanged"]) == (2, 0, 0)


def test_an_import_is_a_study_like_any_other(home, source, tmp_path):
    for at in range(4):
        source.run([0.5, 0.7, 0.8 + at / 100], params={"lr": str(0.1 / (1 + at))}, tags={"mlflow.user": "ada"})
    imported(home, source)
    assert "estimated" in tracker("frontier", "vision", "--json", home=home).stdout
    runs = json.loads(tracker("runs", "vision", "--json", home=home).stdout)
    assert len(runs["runs"]) == 4 and {each["price_basis"] for each in runs["runs"]} == {"estimated"}
    said = tracker("runs", "vision", "--json", "--as-of", "2024-01-01", home=home)
    assert json.loads(said.stdout)["runs"][0]["price_usd"] > runs["runs"][0]["price_usd"], said.stderr
    said = tracker("frontier", "vision", "--market", "spot", home=home)
    assert said.returncode == 2 and "no spot rate" in said.stderr
    for name in ("html", "csv", "json", "md", "xlsx"):
        out = tmp_path / f"report-{name}"
        said = tracker("report", "vision", "--format", name, "--out", out, home=home)
        assert said.returncode == 0, said.stderr
    assert bring(home, source, "--name", "again").returncode == 0
    for words in (("compare", "vision", "again"), ("report", "--all")):
        said = tracker(*words, home=home)
        assert said.returncode == 0, said.stderr
    said = tracker("import", "export", tmp_path / "report-csv", "--name", "back", home=home)
    assert said.returncode == 0, said.stderr
    back = json.loads(tracker("runs", "back", "--json", home=home).stdout)
    assert [each["price_usd"] for each in back["runs"]] == [each["price_usd"] for each in runs["runs"]]
    assert {each["price_basis"] for each in back["runs"]} == {"estimated"}


def test_a_second_import_adds_what_is_new_and_updates_what_has_grown(home, source):
    source.run(name="done")
    growing = source.run([0.4], status="RUNNING", name="growing")
    imported(home, source)
    before = tables(home)
    _, said = imported(home, source)
    assert (said["added"], said["updated"], said["unchanged"]) == (0, 0, 2)
    assert tables(home) == before
    assert "nothing new in 2 runs" in bring(home, source).stdout
    source.log(growing, first_step=2, val_acc=[0.6])
    source.run([0.9], name="new")
    table, said = imported(home, source)
    assert (said["added"], said["updated"], said["unchanged"]) == (1, 1, 1)
    assert sorted(table.runs["label"]) == ["done", "growing", "new"]
    assert len(table.checkpoints) == 3 + 2 + 1
    assert sorted(table.runs["trial"]) == sorted(set(table.runs["trial"]))
    source.client.set_terminated(growing, "FINISHED", source.now_ms)
    table, said = imported(home, source)
    assert (said["added"], said["updated"]) == (0, 1)
    assert set(table.runs["state"]) == {"completed"}


def test_the_source_is_left_as_it_is(home, source):
    source.run()
    folder = Path(source.uri.removeprefix("sqlite:///")).parent
    before = files(folder)
    imported(home, source)
    assert written(files(folder)) == written(before)


def test_the_log_of_a_killed_writer_stays_beside_its_database(home, tmp_path):
    path = put_mlflow_database(tmp_path / "source")
    Past(f"sqlite:///{path}").run()
    script = (
        f"import os, sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('pragma journal_mode=wal');"
        "c.execute(\"update runs set name = 'renamed'\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    before = files(path.parent)
    table, _ = imported(home, str(path))
    assert table.runs["label"].tolist() == ["renamed"]
    assert "mlflow.db-wal" in before
    assert written(files(path.parent)) == written(before)


def test_a_source_that_is_locked_is_waited_for_and_then_named(home, source, monkeypatch, tmp_path):
    source.run()
    source.uri, path = f"sqlite:///{tmp_path / 'locked.db'}", source.uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(tmp_path / "locked.db", check_same_thread=False)) as writer:
        with closing(sqlite3.connect(path)) as own:
            own.backup(writer)
        writer.execute("pragma journal_mode=delete")
        writer.execute("begin exclusive")
        monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.1)
        said = bring(home, source)
        assert said.returncode == 2 and "locked" in said.stderr and len(said.stderr.splitlines()) <= 2
        monkeypatch.setattr(connections, "PATIENCE_SECONDS", 60.0)
        threading.Timer(0.5, writer.rollback).start()
        assert bring(home, source).returncode == 0


def test_what_a_run_was_when_it_ended(home, source):
    killed = source.run([0.3, 0.4], status="RUNNING", name="killed", tags={"mlflow.user": "ada"})
    source.run(name="deleted")
    source.client.delete_run(source.client.search_runs([source.id], "attributes.run_name = 'deleted'")[0].info.run_id)
    source.run([], name="no quality", train_loss=[0.4], tags={"mlflow.user": "grace"})
    source.run(status="KILLED", name="stopped")
    table, said = imported(home, source)
    runs = table.runs.set_index("label")
    assert list(runs.index) == ["killed", "no quality", "stopped"]
    assert runs["state"].tolist() == ["stopped", "completed", "killed"]
    assert runs["user"].tolist()[:2] == ["ada", "grace"]
    assert runs["wall_seconds"]["killed"] == 120
    assert runs["price_usd"]["no quality"] > 0
    assert any("1 run deleted in MLflow" in each for each in said["remarks"])
    assert any("never logged 'val_acc'" in each for each in said["remarks"])
    assert killed


def test_times_that_cannot_be_are_not_known(home, source):
    """A time of 0, and seconds where MLflow has milliseconds."""
    for stamp in (0, START_MS // 1000):
        run = source.start()
        source.client.log_batch(run, [Metric("val_acc", 0.5 + at / 10, stamp, at) for at in range(3)])
        source.client.set_terminated(run, end_time=source.now_ms + 600_000)
    with closing(sqlite3.connect(source.uri.removeprefix("sqlite:///"))) as connection:
        source.run(name="from 1970")
        connection.execute("update runs set start_time = 0 where name = 'from 1970'")
        connection.commit()
    table, said = imported(home, source)
    assert table.runs["wall_seconds"].round(1).tolist() in ([600, 600, 121], [121, 600, 600])
    assert len(table.checkpoints) == 1 + 1 + 3
    assert any("no timestamps of 'val_acc'" in each for each in said["remarks"])


def test_values_that_are_no_numbers(home, source):
    source.run([0.5, math.nan, math.inf, 0.6], val_loss=[math.inf, math.nan, 0.5, 0.4])
    source.run([math.nan, math.inf])
    table, _ = imported(home, source)
    assert table.checkpoints["quality"].tolist() == [0.5, 0.6]
    assert len(table.runs) == 2
    assert tracker("report", "vision", "--format", "json", home=home).returncode == 0


def test_a_pause_is_left_out_and_listed(home, source):
    run = source.start(name="resumed")
    source.log(run, val_acc=[0.3, 0.4, 0.5])
    source.now_ms += 9 * 3_600_000
    source.log(run, first_step=4, val_acc=[0.6, 0.7])
    source.client.set_terminated(run, end_time=source.now_ms)
    table, said = imported(home, source)
    assert table.runs["wall_seconds"].tolist() == [300]
    (left_out,) = said["left_out"]
    assert left_out["run"] == "resumed" and left_out["seconds"] == 9 * 3600
    said = bring(home, source, "--name", "listed")
    assert "9.0 h" in said.stderr and "resumed" in said.stderr


def test_of_nested_runs_the_outermost_that_logs_the_quality_is_followed(home, source):
    sweep = source.start(name="sweep")
    for at in range(2):
        tags = {"mlflow.parentRunId": sweep}
        trial = source.run([0.5, 0.6 + at / 10], name=f"trial {at}", tags=tags)
        source.run([0.4], name="fold", tags={"mlflow.parentRunId": trial})
    source.client.set_terminated(sweep)
    table, said = imported(home, source)
    assert table.runs["label"].tolist() == ["trial 0", "trial 1"]
    assert len([each for each in said["remarks"] if "nested" in each]) == 2


def test_gpus_that_system_metrics_saw_are_the_share(home, source):
    run = source.start()
    source.log(run, val_acc=[0.5], **{f"system/gpu_{at}_utilization_percentage": [90.0] for at in range(4)})
    source.client.set_terminated(run, end_time=source.now_ms)
    words = ("--quality", "val_acc", "--sku", SKU)
    table, _ = imported(home, source, quality=words)
    assert table.runs["accelerators"].tolist() == [4]
    assert table.runs["machine_share"].tolist() == [0.5]
    assert not [name for name in table.summary.columns if name.startswith("system/")]
    small = bring(home, source, "--name", "small", quality=("--quality", "val_acc", "--sku", "aws/p3.2xlarge"))
    assert small.returncode == 2 and "saw 4 GPUs" in small.stderr and "aws/p3.2xlarge has 1" in small.stderr


HOSTILE = 'it\'s "<b>a/b</b>" 🦊 ' + "x" * 40


def test_names_of_any_kind(home, tmp_path):
    source = Past(f"sqlite:///{put_mlflow_database(tmp_path / 'source')}", HOSTILE)
    source.run(name=HOSTILE, params={"a b/c": HOSTILE, "n": "NaN", "i": "1e999", "big": "9" * 40, "none": "None"})
    source.run(name=HOSTILE, params={"a b/c": "=1+1"}, **{"val/top 5-acc.x": [0.5, 0.6]})
    table, said = imported(home, source, experiment=HOSTILE)
    assert said["study"] == HOSTILE
    assert table.runs["label"].tolist() == [HOSTILE] * 2
    assert table.metrics["val/top 5-acc.x"][3:5].tolist() == [0.5, 0.6]
    for words in (("runs", HOSTILE, "--json"), ("report", HOSTILE, "--format", "html"), ("frontier", HOSTILE)):
        done = tracker(*words, home=home)
        assert done.returncode == 0, done.stderr
    _, said = imported(home, source, experiment=HOSTILE)
    assert said["unchanged"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("vison", *QUALITY), "'vision'"),
        (("vision", "--quality", "val_ac", "--sku", SKU), "'val_acc'"),
        (("vision", "--quality", "val_acc", "--sku", "aws/p4d.24xlarg"), "aws/p4d.24xlarge"),
        (("vision", "--quality", "val_acc"), "give --sku"),
        (("vision", "--quality", "val_acc", "--share", "1/8"), "give --sku"),
        (("vision", "--quality", "val_acc", "--sku", SKU, "--share", "1/7"), "share 1/7"),
        (("vision", "--quality", "val_acc", "--sku", SKU, "--share", "much"), "share 'much'"),
        (("vision", "--quality", "thing", "--sku", SKU), "--direction"),
        (("vision", "--quality", "price_usd", "--direction", "minimize", "--sku", SKU), "price_usd"),
    ],
)
def test_wrong_requests_write_nothing(home, source, words, message):
    source.run(thing=[1.0], price_usd=[1.0])
    before = tables(home)
    said = tracker("import", "mlflow", source.uri, *words, home=home)
    assert said.returncode == 2 and message in said.stderr, said.stderr
    assert len(said.stderr.splitlines()) <= 2
    assert tables(home) == before


def test_a_source_that_is_none(home, tmp_path):
    for place in (tmp_path / "nowhere", f"sqlite:///{tmp_path}/no.db", f"file://{tmp_path}/no", tmp_path):
        said = bring(home, place)
        assert said.returncode == 2 and len(said.stderr.splitlines()) <= 2, said.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.db").write_text("not a database, but quite long " * 100)
    assert bring(home, tmp_path / "text.db").returncode == 2


def test_a_password_is_neither_shown_nor_kept(home, source):
    said = bring(home, "http://ada:hunter2@127.0.0.1:9/")
    assert said.returncode == 2 and "hunter2" not in said.stderr + said.stdout and "ada" in said.stderr
    said = bring(home, "postgresql://ada:hun/ter2@127.0.0.1:9/mlflow?sslpassword=hunter3")
    assert said.returncode == 2 and not {"ter2", "hunter3"} & set(said.stderr.replace("@", " ").split())
    assert "hunter3" not in said.stderr


def test_a_name_that_is_taken_by_another_study(home, source, tmp_path):
    source.run(val_loss=[0.5])
    imported(home, source)
    other = Past(f"sqlite:///{put_mlflow_database(tmp_path / 'other')}")
    other.run()
    said = bring(home, other)
    assert said.returncode == 2 and "give another --name" in said.stderr
    said = bring(home, source, quality=("--quality", "val_loss", "--sku", SKU))
    assert said.returncode == 2 and "give another --name" in said.stderr


def test_a_folder_of_runs_is_read_without_a_trace(home, tmp_path, monkeypatch):
    folder = tmp_path / "mlruns"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        source = Past(folder.as_uri())
        source.run(params={"lr": "0.1"}, val_loss=[math.nan, 0.5, 0.4])
    (folder / ".trash").rmdir()
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    table, _ = imported(home, str(folder))
    assert table.checkpoints["quality"].tolist() == [0.5, 0.7, 0.8]
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
    _, said = imported(home, folder.as_uri())
    assert said["unchanged"] == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """MLflow's own REST API over a database, as `mlflow server` has it, in a thread of this process."""
    path = put_mlflow_database(tmp_path_factory.mktemp("server"))
    with served_mlflow(f"sqlite:///{path}", path.parent) as address:
        yield address


def test_a_server_as_the_source(home, server):
    source = Past(server, "served")
    source.run(name="first", params={"lr": "0.1"}, val_loss=[0.5, 0.4, 0.3])
    growing = source.run([0.5], status="RUNNING", tags={"mlflow.user": "ada"})
    table, _ = imported(home, source, experiment="served")
    assert table.checkpoints["quality"].tolist() == [0.5, 0.7, 0.8, 0.5]
    before = tables(home)
    imported(home, server + "/", experiment="served")
    assert tables(home) == before
    source.log(growing, first_step=2, val_acc=[0.6])
    table, said = imported(home, source, experiment="served")
    assert (said["added"], said["updated"], said["unchanged"]) == (0, 1, 1)


def test_a_server_as_the_home(tmp_path, server, source, monkeypatch):
    source.run()
    growing = source.run([0.5], status="RUNNING")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    said = bring(tmp_path / "home", source, "--name", "at the server", "--json")
    assert said.returncode == 0, said.stderr
    source.log(growing, first_step=2, val_acc=[0.6])
    said = bring(tmp_path / "home", source, "--name", "at the server", "--json")
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert (document["added"], document["updated"], document["unchanged"]) == (0, 1, 1)
    table = read_study_table(server, "at the server")
    assert table.checkpoints["quality"].tolist() == [0.5, 0.7, 0.8, 0.5, 0.6]
    assert list(table.runs["price_basis"]) == [PriceBasis.ESTIMATED] * 2


def test_an_import_that_is_killed_leaves_nothing_and_the_next_one_works(home, source):
    for _ in range(3):
        source.run()
    script = f"""
import os, signal, sys
from tracker.store.mlflow_store import MlflowStore
MlflowStore.publish_study = MlflowStore.publish_runs = lambda self, log, *_: (log.flush(), os.kill(os.getpid(), 9))
sys.argv = ["tracker", "import", "mlflow", {source.uri!r}, "vision", *{QUALITY!r}, "--home", {str(home)!r}]
from tracker.cli.main import main
main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for killed_again in (False, True):
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
        studies = [each.name for each in list_studies(f"sqlite:///{home / 'mlflow.db'}")]
        assert studies == (["vision"] if killed_again else [])
        table, _ = imported(home, source)
        assert len(table.runs) == 3 + killed_again
        client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
        assert sorted(each.name for each in client.search_experiments()) == ["Default", "vision"]
        source.run()


def test_two_imports_at_once_are_one(home, source):
    for _ in range(3):
        source.run()
    said = []
    words = ("import", "mlflow", source.uri, "vision", *QUALITY)
    threads = [
        threading.Thread(target=lambda: said.append(tracker_process(*words, home=home, timeout=300))) for _ in range(2)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.returncode for each in said] == [0, 0], said
    assert sorted("nothing new" in each.stdout for each in said) == [False, True]
    assert len(read_study_table(f"sqlite:///{home / 'mlflow.db'}", "vision").runs) == 3


def test_a_home_that_cannot_be_written(source, tmp_path):
    source.run()
    (tmp_path / "file").write_text("")
    said = bring(tmp_path / "file", source)
    assert said.returncode == 2 and "cannot be written" in said.stderr
