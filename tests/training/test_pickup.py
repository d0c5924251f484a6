"""What a script logs to MLflow by itself becomes checkpoints: from a real database, and over MLflow's real REST API."""

from __future__ import annotations

import json
import math
import time

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.support.mlflow_server import served_mlflow
from tracker.errors import StoreError
from tracker.store.mlflow_store import empty_database
from tracker.training import mlflow_sources, pickup
from tracker.training.mlflow_sources import TAG, MlflowDatabase, MlflowServer, lay_out_store
from tracker.training.pickup import Logged, Pickup

NAN = pytest.approx(math.nan, nan_ok=True)


def until(look, wanted, seconds=0.6):
    """What looks, which come at their own time, give first; where nothing is wanted, whether that is so for a while."""
    end = time.monotonic() + (seconds if not wanted else 20.0)
    while not (found := look(last=False)) and time.monotonic() < end:
        time.sleep(0.02)
    return found == wanted if wanted else found


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
    with served_mlflow(database, tmp_path_factory.mktemp("served")) as address:
        yield address


class Store:
    """What a script logs to, and how a pick-up reads it: values have the times that they would have been logged at."""

    def __init__(self, uri, tag, opened):
        self.client = MlflowClient(uri)
        self.tag = tag
        self.open = opened
        self.now_ms = 1_700_000_000_000

    def start(self, parent=None):
        nested = {} if parent is None else {"mlflow.parentRunId": parent}
        return self.client.create_run("1", tags={TAG: self.tag, **nested}).info.run_id

    def log(self, run, step, milliseconds_later=1000, **metrics):
        self.now_ms += milliseconds_later
        self.client.log_batch(run, [Metric(name, value, self.now_ms, step) for name, value in metrics.items()])


@pytest.fixture(params=["database", "server"])
def store(request, tmp_path, database):
    """A database of the trial's own, or a server that many share."""
    tag = request.node.name
    if request.param == "server":
        address = request.getfixturevalue("server")
        return Store(database, tag, lambda: MlflowServer(address, tag, "accuracy"))
    path = tmp_path / "mlflow.db"
    lay_out_store(path, empty_database(tmp_path), "of the script", tmp_path / "artifacts")
    return Store(f"sqlite:///{path}", tag, lambda: MlflowDatabase(path))


class Looks:
    """A pick-up with the sentences that it noted."""

    def __init__(self, source, **known):
        self.notes = []
        self.pickup = Pickup(source, "accuracy", self.notes.append, **known)

    def __call__(self, last=True, **how):
        return [(found.epoch, found.metrics) for found in self.pickup.look(last=last, **how)]


@pytest.fixture
def look(store):
    return Looks(store.open())


def test_every_step_of_the_quality_metric_is_a_checkpoint_with_what_was_logged_at_it(store, look):
    run = store.start()
    store.log(run, 1, loss=9.0)
    store.log(run, 1, accuracy=0.5)
    store.log(run, 1, f1=0.4)
    store.log(run, 7, accuracy=0.6, wrong=math.nan)
    assert look() == [(1, {"loss": 9.0, "f1": 0.4, "accuracy": 0.5}), (7, {"wrong": NAN, "accuracy": 0.6})]
    assert look() == []
    store.log(run, 8, accuracy=0.8)
    assert look() == [(8, {"accuracy": 0.8})]
    assert not look.notes


def test_what_is_logged_later_at_a_step_belongs_to_it_and_a_step_is_complete_when_the_next_one_comes(store, look):
    run = store.start()
    store.log(run, 1, accuracy=0.5)
    store.log(run, 1, milliseconds_later=500, f1=0.4)
    assert until(look, []) == []
    store.log(run, 2, accuracy=0.6)
    assert until(look, [(1, {"f1": 0.4, "accuracy": 0.5})])
    store.log(run, 2, milliseconds_later=500, f1=0.5)
    assert look() == [(2, {"f1": 0.5, "accuracy": 0.6})]


def test_the_last_value_of_a_step_counts(store, look):
    run = store.start()
    for step in (1, 2):
        for share in range(10):  # a running mean
            store.log(run, step, milliseconds_later=10, accuracy=step * share / 20)
    assert look() == [(1, {"accuracy": 0.45}), (2, {"accuracy": 0.9})]


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([0, 0, 1, 1], [0, 1]),  # running means from step 0 on
        ([1, 2, 3], [1, 2, 3]),
        ([0, 250, 500], [0, 250, 500]),
        ([0, 0, 0], [1, 2, 3]),  # what is logged without a step
        ([0], [1]),
        ([5, 5, 6], [5, 6]),
    ],
)
def test_steps_are_what_they_are_and_counted_where_there_are_none(store, look, steps, epochs):
    run = store.start()
    for step in steps:
        store.log(run, step, accuracy=0.5)
    assert [epoch for epoch, _ in look()] == epochs


def test_without_steps_each_checkpoint_has_its_own_metrics(store, look):
    run = store.start()
    for number in range(3):
        store.log(run, 0, accuracy=number / 10)
        store.log(run, 0, milliseconds_later=500, f1=number)
    assert look() == [(number + 1, {"f1": number, "accuracy": number / 10}) for number in range(3)]


def test_a_value_without_a_step_after_steps_is_no_checkpoint_and_that_is_said(store, look):
    run = store.start()
    for step in (1, 2, 3):
        store.log(run, step, accuracy=step / 10)
    store.log(run, 0, accuracy=0.55)  # a test score
    assert [epoch for epoch, _ in look()] == [1, 2, 3]
    assert "no checkpoint" in "".join(look.notes)


def test_of_nested_runs_the_outermost_that_logs_the_quality_is_followed(store, look):
    parent = store.start()
    for fold, best in enumerate((0.9, 0.92, 0.7)):
        run = store.start(parent)
        for step in (1, 2, 3):
            store.log(run, step, accuracy=best * step / 3)
        assert until(look, []) == [], f"fold {fold} is not the quality"
    store.log(parent, 0, accuracy=0.84)
    assert look() == [(1, {"accuracy": 0.84})]
    assert "several MLflow runs" in "".join(look.notes)


def test_where_only_inner_runs_log_the_quality_the_first_is_followed_alone(store, look):
    parent = store.start()
    for best in (0.5, 0.9):
        store.log(store.start(parent), 1, accuracy=best)
    assert look() == [(1, {"accuracy": 0.5})]
    assert "several MLflow runs" in "".join(look.notes)


def test_a_resumed_attempt_adds_only_what_is_new(store):
    run = store.start()
    look = Looks(store.open(), epoch=4, step=4)
    for step in (3, 4, 5, 6):
        store.log(run, step, accuracy=step / 10)
    assert look() == [(5, {"accuracy": 0.5}), (6, {"accuracy": 0.6})]
    assert not look.notes


def test_a_trials_own_database_is_read_from_where_an_earlier_attempt_ended(tmp_path):
    path = tmp_path / "mlflow.db"
    lay_out_store(path, empty_database(tmp_path), "of the script", tmp_path)
    store = Store(f"sqlite:///{path}", "tag", lambda: MlflowDatabase(path))
    run = store.start()
    store.log(run, 1, accuracy=0.1)
    look = Looks(store.open(), epoch=1, step=-1)
    store.log(run, 2, accuracy=0.2)
    assert look() == [(2, {"accuracy": 0.2})]


def test_a_quality_that_is_no_number_stays_what_it_is(store, look):
    run = store.start()
    for step, value in enumerate((math.nan, math.inf, -math.inf)):
        store.log(run, step, accuracy=value)
    assert look() == [(0, {"accuracy": NAN}), (1, {"accuracy": math.inf}), (2, {"accuracy": -math.inf})]


def test_a_step_that_has_settled_is_complete_where_the_trial_is_to_pause(store, look, monkeypatch):
    run = store.start()
    store.log(run, 1, accuracy=0.5)
    assert until(look, []) == []
    monkeypatch.setattr(pickup, "SETTLE_SECONDS", 0.0)
    assert until(lambda last: look(last=last, pausing=True), [(1, {"accuracy": 0.5})])
    assert look() == []


def test_twenty_thousand_values_are_read_quickly_and_once(store, look):
    run = store.start()
    for first in range(0, 20_000, 1000):
        steps = range(first + 1, first + 1001)
        store.client.log_batch(run, [Metric("accuracy", 0.5, store.now_ms + step, step) for step in steps])
        look(last=False)
    found = look()
    for _ in range(20):
        if not look.pickup.problem:
            break
        found = look()  # the server of a busy machine may not answer in time
    assert len(found) <= 20_000
    assert found[-1] == (20_000, {"accuracy": 0.5})


def test_only_the_runs_of_this_command_are_read_from_a_server(server, database):
    Store(database, "of another command", None).log(
        Store(database, "of another command", None).start(), 1, accuracy=0.1
    )
    look = Looks(MlflowServer(server, "of this command", "accuracy"))
    assert look() == []
    client = MlflowClient(database)
    run = client.create_run(client.create_experiment("made late"), tags={TAG: "of this command"}).info.run_id
    client.log_metric(run, "accuracy", 0.3, step=1)
    assert look() == [(1, {"accuracy": 0.3})]


def test_runs_that_mlflow_starts_by_itself_carry_the_tag(monkeypatch, server, database):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the script")
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps({"tracker.attempt": "digits #0 1", TAG: "started by itself"}))
    mlflow.log_metric("accuracy", 0.5, step=1)  # starts a run
    with mlflow.start_run(nested=True):
        mlflow.log_metric("accuracy", 0.6, step=2)
    mlflow.end_run()
    assert Looks(MlflowServer(server, "started by itself", "accuracy"))() == [(1, {"accuracy": 0.5})]


class Away:
    """A store that cannot be reached until it can."""

    seconds_between_looks = 0.0
    runs_are = "runs"

    def __init__(self):
        self.problem = "away"

    def new(self, *, last=False):
        if self.problem:
            raise StoreError(self.problem)
        return [Logged("run", "accuracy", 1, 1, 0.5)]

    def parents(self):
        return {}


def test_a_store_that_is_away_is_no_failure_and_nothing_of_it_is_lost():
    source = Away()
    look = Looks(source)
    assert look(last=False) == []
    assert look.pickup.problem == "away"
    source.problem = ""
    assert look(last=False) == [], "it is left alone for a while"
    assert look() == [(1, {"accuracy": 0.5})]
    assert look.pickup.problem == ""


def test_a_store_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "broken.db").write_text("this is not a database, whatever its name says")
    with pytest.raises(StoreError, match="cannot be read"):
        MlflowDatabase(tmp_path / "broken.db").new()
    with pytest.raises(StoreError, match=r"MLflow server .* cannot be read"):
        MlflowServer("http://127.0.0.1:9", "tag", "accuracy").new()
    assert MlflowDatabase(tmp_path / "not made yet.db").new() == []


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
    MlflowServer(server, "tag", "accuracy").new()
    assert set(sent) == {("ada", "secret")}
