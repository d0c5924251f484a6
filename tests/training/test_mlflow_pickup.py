"""What a script logs to MLflow by itself becomes checkpoints: from a real database, and over MLflow's real REST API."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from contextlib import contextmanager

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from werkzeug.serving import make_server

from tracker.errors import StoreError
from tracker.training import mlflow_sources
from tracker.training.mlflow_pickup import Logged, MlflowPickup
from tracker.training.mlflow_sources import TAG, open_source


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A real MLflow database."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    MlflowClient(uri).create_experiment("of the script", artifact_location=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    """MLflow's own REST API over that database, as `mlflow server` has it, in a thread of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", database)
        patch.setenv("MLFLOW_TRACKING_URI", database)  # the server sets it in its process, which is this one
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path_factory.mktemp("served")))
        from mlflow.server import app

        served = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=served.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{served.server_port}"
        MlflowClient(address).search_runs(["0"])  # the first answer takes long
        yield address
        served.shutdown()
        mlflow.set_tracking_uri(None)


@pytest.fixture(params=["database", "server"])
def store(request, database):
    """The address that a pick-up reads, both ways."""
    return database if request.param == "database" else request.getfixturevalue("server")


class Script:
    """What a script has logged: values are given the times that they would have been logged at."""

    def __init__(self, uri, tag):
        self.client = MlflowClient(uri)
        self.run = self.client.create_run("1", tags={TAG: tag}).info.run_id
        self.now_ms = 1_700_000_000_000

    def log(self, step, milliseconds_later=1000, **metrics):
        self.now_ms += milliseconds_later
        self.client.log_batch(self.run, [Metric(name, value, self.now_ms, step) for name, value in metrics.items()])


@pytest.fixture
def script(database, request):
    return Script(database, request.node.name)


@pytest.fixture
def pickup(store, request):
    """A pick-up of what the script of this test logs; ``open`` takes what MlflowPickup takes."""
    return MlflowPickup(open_source(store, request.node.name, "accuracy"), "accuracy")


def look(pickup):
    return [(found.epoch, found.metrics) for found in pickup.look(last=True)]


def test_every_step_of_the_quality_metric_is_a_checkpoint_with_what_was_logged_at_it_or_before(script, pickup):
    script.log(1, loss=9.0)
    script.log(1, accuracy=0.5)
    script.log(1, milliseconds_later=3, f1=0.4)  # right after it
    script.log(7, loss=8.0, train_seconds=3.0, epoch=7)  # two of them stay in the script's own run
    script.log(2, accuracy=0.6)
    script.log(3, f1=0.7, wrong=math.nan, accuracy=0.7)
    assert look(pickup) == [
        (1, {"loss": 9.0, "f1": 0.4, "accuracy": 0.5}),
        (2, {"loss": 8.0, "f1": 0.4, "accuracy": 0.6}),
        (3, {"loss": 8.0, "f1": 0.7, "accuracy": 0.7}),
    ]
    assert look(pickup) == []
    script.log(4, accuracy=0.8)
    assert look(pickup) == [(4, {"loss": 8.0, "f1": 0.7, "accuracy": 0.8})]


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [
        ([0, 1, 2], [1, 2, 3]),
        ([1, 2, 3], [1, 2, 3]),
        ([0, 100, 200], [1, 100, 200]),
        ([0, 0, 0], [1, 2, 3]),  # what is logged without a step
        ([5, 5, 6], [5, 6]),  # the same step again
        ([3, 1, 2], [3, 4, 5]),
    ],
)
def test_epochs_are_whole_numbers_that_rise_from_1(database, request, steps, epochs):
    script = Script(database, request.node.name)
    for step in steps:
        script.log(step, accuracy=0.5)
    pickup = MlflowPickup(open_source(database, request.node.name, "accuracy"), "accuracy")
    assert [epoch for epoch, _ in look(pickup)] == epochs


def test_an_attempt_that_goes_on_adds_only_what_is_new(database, request):
    script = Script(database, request.node.name)
    for step in (3, 4, 5, 6):  # counted from 0: the attempt before reported epoch 5, at step 4
        script.log(step, accuracy=step / 10)
    source = open_source(database, request.node.name, "accuracy")
    assert look(MlflowPickup(source, "accuracy", epoch=5, step=4)) == [(6, {"accuracy": 0.5}), (7, {"accuracy": 0.6})]


def test_a_quality_that_is_no_number_is_told_as_it_is(script, pickup):
    for step, value in enumerate((math.nan, math.inf, -math.inf)):
        script.log(step, accuracy=value)
    found = [metrics["accuracy"] for _, metrics in look(pickup)]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]


def test_only_the_runs_of_this_command_are_read_whatever_experiment_they_are_in(script, pickup, database):
    other = Script(database, "of another command")
    other.log(1, accuracy=0.1)
    assert look(pickup) == []
    client = MlflowClient(database)
    own = client.create_experiment(f"made late {time.time()}")
    run = client.create_run(own, tags={TAG: client.get_run(script.run).data.tags[TAG]}).info.run_id
    client.log_metric(run, "accuracy", 0.3, step=1)
    assert look(pickup) == [(1, {"accuracy": 0.3})]


def test_a_checkpoint_waits_for_what_is_logged_right_after_it(script, pickup):
    script.log(1, accuracy=0.5)
    assert pickup.look() == []
    assert pickup.look() == [], "it is too early for another look"
    script.log(1, milliseconds_later=5, f1=0.4)
    end = time.monotonic() + 5.0
    while not (found := pickup.look()) and time.monotonic() < end:
        time.sleep(0.02)
    assert [each.metrics for each in found] == [{"accuracy": 0.5, "f1": 0.4}]
    assert pickup.look(last=True) == []


@contextmanager
def told_by_the_environment(monkeypatch, database, tag):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the script")
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps({"tracker.attempt": "digits #0 1", TAG: tag}))
    yield
    while mlflow.active_run():
        mlflow.end_run()


def test_runs_that_mlflow_starts_by_itself_carry_the_tag_nested_ones_too(monkeypatch, database, request):
    tag = request.node.name
    with told_by_the_environment(monkeypatch, database, tag):
        mlflow.log_metric("accuracy", 0.5, step=0)  # starts a run
        with mlflow.start_run(nested=True):
            mlflow.log_metric("accuracy", 0.6, step=1)
    source = open_source(database, tag, "accuracy")
    assert look(MlflowPickup(source, "accuracy")) == [(1, {"accuracy": 0.5}), (2, {"accuracy": 0.6})]


def test_a_run_that_a_client_makes_is_read_where_it_is_given_the_context_as_its_tags(monkeypatch, database, request):
    tag = request.node.name
    with told_by_the_environment(monkeypatch, database, tag):
        client = MlflowClient()
        run = client.create_run("1", tags=json.loads(os.environ["MLFLOW_RUN_CONTEXT"]))
        client.log_metric(run.info.run_id, "accuracy", 0.5, step=1)
    assert look(MlflowPickup(open_source(database, tag, "accuracy"), "accuracy")) == [(1, {"accuracy": 0.5})]


class Away:
    """A store that cannot be reached until it can."""

    seconds_between_looks = 0.0

    def __init__(self):
        self.problem = "away"

    def values(self):
        if self.problem:
            raise StoreError(self.problem)
        return [Logged("run", 1, 1, 0.5)]

    def others(self, at):
        return {}


def test_a_store_that_is_away_is_no_failure_and_nothing_of_it_is_lost():
    source = Away()
    pickup = MlflowPickup(source, "accuracy")
    assert pickup.look() == []
    assert pickup.problem == "away"
    source.problem = ""
    assert pickup.look() == [], "it is left alone for a while"
    assert look(pickup) == [(1, {"accuracy": 0.5})]
    assert pickup.problem == ""


@pytest.mark.parametrize(
    ("uri", "said"),
    [("http://127.0.0.1:9", "MLflow server .* cannot be read"), ("sqlite:///{folder}/broken.db", "cannot be read")],
)
def test_a_store_that_cannot_be_read_is_told(uri, said, tmp_path):
    (tmp_path / "broken.db").write_text("this is not a database, whatever its name says")
    with pytest.raises(StoreError, match=said):
        open_source(uri.format(folder=tmp_path), "tag", "accuracy").values()


@pytest.mark.parametrize("uri", ["", "databricks", "file:///tmp/mlruns", "./mlruns"])
def test_other_kinds_of_stores_are_not_read(uri):
    assert open_source(uri, "tag", "accuracy") is None


def test_a_server_is_asked_in_the_users_name(monkeypatch, server):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    sent = []
    request = mlflow_sources.requests.Session.request
    monkeypatch.setattr(
        mlflow_sources.requests.Session,
        "request",
        lambda self, *positional, **named: sent.append(self.auth) or request(self, *positional, **named),
    )
    open_source(server, "tag", "accuracy").values()
    assert set(sent) == {("ada", "secret")}
