"""MLflow goes away while a study runs: nothing waits for it, and `tracker sync` delivers what is left."""

from __future__ import annotations

import secrets

import pytest

from tests.support.command import tracker
from tests.support.faulty_proxy import DROPPED, Fault, faulty_proxy
from tests.support.mlflow_server import server_with_auth
from tests.support.studies import digits
from tracker import audit_study, run_study
from tracker.runner.progress import Silent
from tracker.store.run_table import read_study_table


@pytest.fixture
def proxy():
    with faulty_proxy(server_with_auth().url()) as proxy:
        yield proxy


class Cutting(Silent):
    """Cuts the connection to MLflow when the first trial has ended."""

    def __init__(self, proxy, what):
        self.proxy, self.what = proxy, what
        self.said = []

    def notify(self, message):
        self.said.append(message)

    def ended(self, attempt):
        if attempt.label == "#0":
            self.proxy.faults.append(Fault(self.what))


@pytest.mark.parametrize("what", [DROPPED, 500])
def test_what_mlflow_missed_is_delivered_later(proxy, tmp_path, monkeypatch, what):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
    name, seen = f"it's away {secrets.token_hex(4)}", Cutting(proxy, what)
    run_study(digits(name=name), home=tmp_path, trials=3, observer=seen)
    assert any("tracker sync" in message for message in seen.said), seen.said
    away = tracker("sync", name, home=tmp_path)
    assert away.returncode != 0
    assert "MLflow" in away.stderr
    assert "Traceback" not in away.stderr
    proxy.faults.clear()
    assert "delivered" in tracker("sync", name, home=tmp_path).stdout
    table = read_study_table(proxy.url, name)
    assert (table.state, sorted(table.runs.query("role == 'trial'")["trial"])) == ("completed", [0, 1, 2])
    assert audit_study(name, home=tmp_path).findings == ()
    assert "MLflow has everything" in tracker("sync", name, home=tmp_path).stdout
    assert audit_study(name, home=tmp_path).findings == ()
