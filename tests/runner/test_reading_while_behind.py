"""Reading a study while MLflow is behind or away: its events give what MLflow has in the end."""

from __future__ import annotations

import json
import secrets
import shlex
import warnings

import pandas as pd
import pytest

from tests.support.command import tracker
from tests.support.faulty_proxy import DROPPED, Fault, faulty_proxy
from tests.support.interrupts import ctrl_c_after
from tests.support.mlflow_database import put_mlflow_database
from tests.support.mlflow_server import ADMIN_PASSWORD, MlflowServer
from tests.support.pausable import study as pausable
from tests.support.studies import digits
from tracker import compare, open_study, resume_study, run_study, spend
from tracker.errors import BehindWarning, StoreError
from tracker.runner.progress import Silent
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.store.home import Home


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    server = MlflowServer(f"sqlite:///{put_mlflow_database(folder)}", folder).start()
    yield server
    server.stop()


@pytest.fixture
def proxy(server, monkeypatch):
    with faulty_proxy(server.url()) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        yield proxy


class Cutting(Silent):
    """Cuts the connection to MLflow when a run has ended."""

    def __init__(self, proxy, label="#0", what=DROPPED):
        self.proxy, self.label, self.what = proxy, label, what

    def ended(self, attempt):
        if attempt.label == self.label:
            self.proxy.faults.append(Fault(self.what))


def figures(name, home):
    """All that reading commands print as JSON of a study, MLflow's run ids left out, and what they say beside it."""
    said, found = [], {}
    for command in (["runs", name], ["runs", name, "--sku", "gcp/n2-standard-4"], ["frontier", name], ["status", name]):
        shown = tracker(*command, "--json", home=home)
        assert shown.returncode == 0, shown.stderr
        found[" ".join(command)] = _without_ids(json.loads(shown.stdout))
        said.append(shown.stderr)
    return found, said


def _without_ids(value):
    if isinstance(value, dict):
        return {key: _without_ids(each) for key, each in value.items() if key != "run_id"}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value


def tables(name, home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BehindWarning)
        table = open_study(name, home=home).table()
    metrics = {metric: table.metrics[metric] for metric in sorted(table.metrics.names)}
    unknown = {"runs": table.runs.drop(columns="run_id"), "checkpoints": table.checkpoints.drop(columns="run_id")}
    return {
        **unknown,
        "settings": table.settings,
        "summary": table.summary,
        "attempts": table.attempts.frame,
        "metrics": pd.DataFrame(metrics),
    }, table


def same(one, other):
    for name, frame in one.items():
        columns = sorted(frame)
        assert columns == sorted(other[name]), name
        pd.testing.assert_frame_equal(
            frame[columns], other[name][columns], check_exact=True, check_dtype=False, check_categorical=False, obj=name
        )


@pytest.mark.parametrize("what", [DROPPED, 500])
def test_the_events_give_the_figures_that_mlflow_has_once_all_is_delivered(proxy, tmp_path, what):
    name = f"it's behind {secrets.token_hex(4)}"
    run_study(digits(name=name, tags={"team": "vision"}), home=tmp_path, trials=3, observer=Cutting(proxy, what=what))
    proxy.faults.clear()
    before, said = figures(name, tmp_path)
    frames, table = tables(name, tmp_path)
    for words in said:
        assert words.count("its events are read instead") == 1, words
        assert f"tracker sync {shlex.quote(name)}" in words and f"of study '{name}'" in words
    assert table.state == "completed" and set(table.runs["label"]) >= {"#0", "#1", "#2"}
    assert "delivered" in tracker("sync", name, home=tmp_path).stdout
    after, said = figures(name, tmp_path)
    assert not any("events" in words for words in said), said
    assert after == before
    delivered, synced = tables(name, tmp_path)
    same(frames, delivered)
    assert synced.notice == ""
    for field in (
        "quality",
        "budget_usd",
        "price_book",
        "state",
        "limits",
        "terms",
        "data",
        "provenance",
        "tags",
        "user",
    ):
        assert getattr(table, field) == getattr(synced, field), field


def test_a_server_that_is_stopped_costs_no_figure_and_no_exit_code(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url())
    name, other = (f"away {secrets.token_hex(4)}" for _ in range(2))
    run_study(digits(name=name), home=tmp_path, trials=2)
    run_study(digits(name=other), home=tmp_path, trials=1)
    imported = f"brought {secrets.token_hex(4)}"
    exported = tmp_path / "exported"
    assert tracker("report", name, "--format", "csv", "--out", exported, home=tmp_path).returncode == 0
    assert tracker("import", "export", exported, "--name", imported, home=tmp_path).returncode == 0
    before, _ = figures(name, tmp_path)
    both = tracker("compare", name, other, "--json", home=tmp_path).stdout
    logged, spent = tables(name, tmp_path)[0], spend(home=tmp_path).total_usd
    server.stop()
    try:
        after, said = figures(name, tmp_path)
        assert after == before
        for words in said:
            assert words.count("events are read instead") == 1 and f"127.0.0.1:{server.port}" in words, words
            assert words.count("\n") == 1 and len(words) < 250, words
            assert ADMIN_PASSWORD not in words
        same(logged, tables(name, tmp_path)[0])
        compared = tracker("compare", name, other, "--json", home=tmp_path)
        assert (compared.returncode, compared.stdout) == (0, both)
        assert compared.stderr.count("events are read instead") == 1
        for command in (["report", name, "--out", tmp_path / "page"], ["why", name, "0"], ["runs", name]):
            shown = tracker(*command, home=tmp_path)
            assert shown.returncode == 0 and "events are read instead" in shown.stderr, shown.stderr
        assert "events are read instead" in (tmp_path / "page/report.html").read_text()
        everything = tracker("report", "--all", "--format", "html", "--out", tmp_path / "all", home=tmp_path)
        assert everything.returncode == 0 and f"imported studies have no events: '{imported}'" in everything.stderr
        with pytest.warns(BehindWarning, match="imported"):
            away = spend(home=tmp_path)
        assert {row["study"] for row in away.table.to_dict("records")} == {name, other}
        gone = tracker("runs", imported, home=tmp_path)
        assert gone.returncode == 1 and "MLflow" in gone.stderr and "Traceback" not in gone.stderr
        with pytest.warns(BehindWarning, match="events are read"):
            compare(name, other, home=tmp_path)
    finally:
        server.start()
    assert figures(name, tmp_path)[1][0].count("events") == 0
    assert spend(home=tmp_path).total_usd == spent


def test_a_study_that_runs_while_mlflow_is_away_is_read_as_it_runs(proxy, tmp_path):
    name, seen = f"running {secrets.token_hex(4)}", []

    class Looking(Cutting):
        def ended(self, attempt):
            super().ended(attempt)
            if attempt.label == "#1":
                notes = StudyNotes(StudyFolder(Home(tmp_path).study(name)).path)
                notes.save_behind(notes.behind() or 1)  # the delivery may not have tried yet
                seen.append(tracker("status", name, "--json", home=tmp_path))
                seen.append(tracker("runs", name, "--json", home=tmp_path))

    run_study(digits(name=name), home=tmp_path, trials=3, observer=Looking(proxy))
    status, runs = seen
    assert json.loads(status.stdout)["state"] == "running"
    assert "its coordinator delivers them later" in status.stderr
    labels = {row["label"]: row["state"] for row in json.loads(runs.stdout)["runs"]}
    assert (labels["#0"], labels["#1"]) == ("completed", "completed")


def test_resumed_trials_have_all_their_attempts_in_the_events(proxy, tmp_path):
    name = f"resumed {secrets.token_hex(4)}"
    with ctrl_c_after(tmp_path, 2):
        run_study({**pausable(epochs=4, epoch_seconds=0.5), "name": name}, home=tmp_path)
    resume_study(name, home=tmp_path, observer=Cutting(proxy, "nobody"))
    logged, _ = tables(name, tmp_path)
    with proxy.failing(DROPPED):
        read, table = tables(name, tmp_path)
    assert table.notice
    same(logged, read)
    assert len(read["attempts"]) == 2


def test_reading_writes_nothing_and_reads_again_only_what_has_grown(proxy, tmp_path):
    from tracker.runner.study_reading import HomeStudyReader

    name = f"again {secrets.token_hex(4)}"
    run_study(digits(name=name), home=tmp_path, trials=2, observer=Cutting(proxy))
    folder = StudyFolder(Home(tmp_path).study(name)).path
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    reader = HomeStudyReader(Home(tmp_path), name)
    first = reader.read()
    assert first.notice and reader.read() is first
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")} == before


def test_what_has_no_events_here_still_fails_with_mlflows_own_words(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="MLflow store"):
        open_study("nobody", home=tmp_path)
    assert tracker("runs", "nobody", home=tmp_path).returncode == 1
