"""A tracking server that is down, slow, or loses its answers: what is not written is written later, and only once."""

from __future__ import annotations

import secrets
from urllib.parse import quote

import pytest

from tests.store.test_mlflow_store import STUDY_TAGS, fill
from tests.support.faulty_proxy import DROPPED, LOST, TWICE, faulty_proxy
from tests.support.mlflow_server import ADMIN, ADMIN_PASSWORD, server_with_auth
from tracker.errors import RefusedError, StoreError
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import read_study_table

TAGS = {"tracker.role": "trial", "tracker.trial": "0", "tracker.usd_per_hour": "0.1", "tracker.sku": "aws/m7i.large"}


@pytest.fixture
def name():
    return f"faults {secrets.token_hex(4)}"


@pytest.fixture
def proxy():
    with faulty_proxy(server_with_auth().url()) as proxy:
        yield proxy


def new_run(proxy, name, tmp_path):
    study = MlflowStore(proxy.url).create_study(name, STUDY_TAGS, 1000.0, tmp_path / "artifacts")
    run = study.run("#0", {"width": 4}, TAGS, 1000.0)
    fill(run)
    return run


def flushed(run, attempts=5):
    """How many attempts failed before everything was written."""
    for failed in range(attempts):
        try:
            run.outbox.flush()
        except StoreError as error:
            assert not isinstance(error, RefusedError), error
        else:
            return failed
    raise AssertionError(f"not written after {attempts} attempts")


@pytest.mark.parametrize("what", [DROPPED, LOST, 500, 429])
@pytest.mark.parametrize("path", ["runs/create", "runs/log-batch", "runs/log-inputs", "runs/update"])
def test_what_a_server_did_not_take_or_did_not_confirm_is_written_once(proxy, name, tmp_path, what, path):
    run = new_run(proxy, name, tmp_path)
    with proxy.failing(what, path, times=1, headers={"Retry-After": "3600"}):
        assert flushed(run) == 1
    table = read_study_table(proxy.url, name)
    assert list(table.runs["label"]) == ["#0"]
    assert list(table.checkpoints["epoch"]) == [1, 2]
    assert table.spend_usd == 0.03


@pytest.mark.parametrize("path", ["experiments/get-by-name", "runs/search", "metrics/get-history"])
def test_a_read_is_asked_again_where_the_server_closes_the_connection(proxy, name, tmp_path, path):
    new_run(proxy, name, tmp_path).outbox.flush()
    with proxy.failing(DROPPED, path, times=2):
        assert list(read_study_table(proxy.url, name).checkpoints["epoch"]) == [1, 2]
    with proxy.failing(DROPPED, path), pytest.raises(StoreError, match="cannot be read"):
        read_study_table(proxy.url, name)


def test_a_request_that_a_load_balancer_sends_twice_makes_no_second_value(proxy, name, tmp_path):
    run = new_run(proxy, name, tmp_path)
    with proxy.failing(TWICE, "log-batch"):
        run.outbox.flush()
    table = read_study_table(proxy.url, name)
    assert list(table.checkpoints["epoch"]) == [1, 2]
    assert table.spend_usd == 0.03


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 502])
def test_a_page_in_place_of_an_answer_is_not_the_last_word(proxy, name, tmp_path, status):
    run = new_run(proxy, name, tmp_path)
    with proxy.failing(status, "log-batch"), pytest.raises(StoreError) as caught:
        run.outbox.flush()
    assert not isinstance(caught.value, RefusedError)
    assert ADMIN_PASSWORD not in str(caught.value) and quote(ADMIN_PASSWORD, safe="") not in str(caught.value)
    if status in (200, 400, 404, 413):
        assert "may come from a proxy" in str(caught.value)
    assert flushed(run) == 0
    assert read_study_table(proxy.url, name).spend_usd == 0.03


def test_a_password_that_is_no_longer_right_is_said_and_what_waits_is_kept(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)
    with faulty_proxy(server_with_auth().address) as proxy:
        run = new_run(proxy, name, tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "no longer right")
        with pytest.raises(StoreError, match="MLFLOW_TRACKING_PASSWORD"):
            run.outbox.flush()
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)
        assert flushed(run) == 0
        assert read_study_table(proxy.url, name).spend_usd == 0.03
