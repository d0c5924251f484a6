"""Someone changes the password of an MLflow server while a study runs: its records wait for the new one."""

from __future__ import annotations

import secrets
from urllib.parse import quote

import pytest
import requests

from tests.support.command import tracker
from tests.support.mlflow_server import ADMIN, ADMIN_PASSWORD, server_with_auth
from tests.support.postgres import postgres
from tests.support.studies import digits
from tracker import audit_study, open_study, resume_study, run_study
from tracker.runner.progress import Silent

BEFORE, AFTER = "b3fore/p@ss:#%?", "aft3r/p@ss:#%?"


def as_admin(method, endpoint, **content):
    address = f"{server_with_auth().address}/api/2.0/mlflow/users/{endpoint}"
    requests.request(method, address, json=content, auth=(ADMIN, ADMIN_PASSWORD)).raise_for_status()


@pytest.fixture
def user(monkeypatch):
    """Someone who may log to the server, with the password BEFORE; their searches are in PostgreSQL."""
    name = f"user-{secrets.token_hex(4)}"
    server = server_with_auth()
    as_admin("POST", "create", username=name, password=BEFORE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", BEFORE)
    monkeypatch.setenv("TRACKER_STORAGE", postgres().new())
    return name


class Changing(Silent):
    """Changes the user's password when the first trial has ended."""

    def __init__(self, user):
        self.user, self.said = user, []

    def notify(self, message):
        self.said.append(message)

    def ended(self, attempt):
        if attempt.label == "#0":
            as_admin("PATCH", "update-password", username=self.user, password=AFTER)


def test_records_wait_for_the_new_password(user, tmp_path, monkeypatch):
    name, seen = f"password {secrets.token_hex(4)}", Changing(user)
    run_study(digits(name=name), home=tmp_path, trials=3, observer=seen)
    (problem,) = [message for message in seen.said if message.startswith("MLflow did not accept")]
    assert "401" in problem
    assert "MLFLOW_TRACKING_PASSWORD" in problem
    assert any("tracker sync" in message for message in seen.said)
    shown = list(seen.said)
    read = tracker("runs", name, home=tmp_path)
    assert (read.returncode, "is behind" in read.stderr, "#2" in read.stdout) == (0, True, True)
    shown += [read.stdout, read.stderr]
    for command in (["sync", name], ["audit", name], ["resume", name]):
        refused = tracker(*command, home=tmp_path)
        assert refused.returncode == 1
        assert "MLFLOW_TRACKING_PASSWORD" in refused.stderr
        shown += [refused.stdout, refused.stderr]
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", AFTER)
    assert "delivered" in tracker("sync", name, home=tmp_path).stdout
    assert audit_study(name, home=tmp_path).findings == ()
    table = open_study(name, home=tmp_path).table()
    assert (table.state, sorted(table.runs.query("role == 'trial'")["trial"])) == ("completed", [0, 1, 2])
    resume_study(name, home=tmp_path, trials=4)
    assert audit_study(name, home=tmp_path).findings == ()
    shown += [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    passwords = [form for each in (BEFORE, AFTER) for form in (each, quote(each, safe=""))]
    assert not [text for text in shown if any(password in text for password in passwords)]
