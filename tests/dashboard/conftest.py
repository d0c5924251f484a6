"""A home with two studies in a real MLflow store, written as the coordinator writes them."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from tests.support.dashboard import served_dashboard
from tests.support.mlflow_database import put_mlflow_database
from tracker.records import TrialState
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import read_study_table

BEGAN = 1.79e9
BASELINE = "tf-idf + logistic regression"
RATE = {
    "tracker.sku": "aws/m5.large",
    "tracker.market": "on_demand",
    "tracker.usd_per_hour": "0.096",
    "tracker.price_source": "aws/karpenter-provider-aws@1d92708",
    "tracker.price_date": "2026-07-20",
    "tracker.cores": "2",
}


def study_tags(state, budget="0.01"):
    return {
        "tracker.state": state,
        "tracker.quality": "accuracy",
        "tracker.direction": "maximize",
        "tracker.budget_usd": budget,
        "tracker.price_book": "3f9a1c",
    }


def write_run(log, label, role, qualities, epoch_seconds, settings, state=TrialState.COMPLETED, began=BEGAN):
    number = {"trial": "tracker.trial", "repeat": "tracker.repeats"}
    trial = {number[role]: label.removeprefix("#").split()[0]} if role in number else {}
    tags = {**RATE, **trial, "tracker.role": role, "tracker.state": str(state), "tracker.attempts": "1"}
    run = log.run(label, settings, tags, began)
    seconds = [1 + epoch_seconds * epoch for epoch in range(1, len(qualities) + 1)] or [3.0]
    for epoch, quality in enumerate(qualities, 1):
        second = seconds[epoch - 1]
        values = {"accuracy": quality, "wall_seconds": second, "price_usd": second * 0.096 / 3600}
        run.add(values, step=epoch, timestamp=began + second)
    final = {"wall_seconds": seconds[-1], "price_usd": seconds[-1] * 0.096 / 3600, "parameters": 50_000.0}
    run.add(final, step=len(qualities) + 1, timestamp=began + seconds[-1])
    run.end(state, began + seconds[-1])
    run.outbox.flush()
    return began + seconds[-1]


def write_study(store, name, state, artifacts, trials, began=BEGAN):
    log = store.create_study(name, study_tags(state), began, artifacts)
    if not trials:
        return
    write_run(log, BASELINE, "baseline", [0.62], 7.0, {}, began=began)
    for number in range(trials):
        size = 1.6**number
        settings = {
            "size": size,
            "precision": ("fp32", "bf16")[number % 2],
            "device": "cpu",
            "threads": 1 + number // 2 % 2,
            "dropout": 0.1,
        }
        top = 0.8 - 0.4 / size**0.6
        failed = number == 3
        qualities = [] if failed else [top * (1 - math.exp(-0.8 * epoch)) for epoch in range(1, 6)]
        state = TrialState.FAILED if failed else TrialState.COMPLETED
        began = write_run(log, f"#{number}", "trial", qualities, 1.5 * size**0.7, settings, state, began)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """Two studies: one completed, and a newer one that is running and has no run yet."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.make()
    put_mlflow_database(home.path)
    store = MlflowStore(f"sqlite:///{home.mlflow_database}")
    write_study(store, "docstrings", "completed", home.artifacts("docstrings"), trials=10)
    write_study(store, "just <started> $1 🦊", "running", home.artifacts("started"), trials=0, began=BEGAN + 9e5)
    return home.path


@pytest.fixture(scope="session")
def two_studies_home(tmp_path_factory) -> Path:
    """Two studies of one quality: one of six trials, one of four."""
    home = Home(tmp_path_factory.mktemp("two"))
    home.make()
    put_mlflow_database(home.path)
    store = MlflowStore(f"sqlite:///{home.mlflow_database}")
    for name, trials in (("six", 6), ("four $1", 4)):
        write_study(store, name, "completed", home.artifacts(name), trials)
    return home.path


@pytest.fixture(scope="session")
def confirmed_home(tmp_path_factory) -> Path:
    """A study whose only trial was trained again twice."""
    home = Home(tmp_path_factory.mktemp("confirmed"))
    home.make()
    put_mlflow_database(home.path)
    store = MlflowStore(f"sqlite:///{home.mlflow_database}")
    log = store.create_study("confirmed", study_tags("completed"), BEGAN, home.artifacts("confirmed"))
    for label, role, lift in (("#0", "trial", 0.02), ("#0 repeat 1", "repeat", 0.0), ("#0 repeat 2", "repeat", -0.01)):
        write_run(log, label, role, [0.5 + lift, 0.7 + lift], 2.0, {"precision": "fp32"})
    return home.path


@pytest.fixture
def open_page(home, monkeypatch):
    """Opens a page by its title, as a link to it does; ``at`` is a home, what is given by name is in the link."""

    def open_at(title, at=home, **link):
        monkeypatch.setenv("TRACKER_HOME", str(at))
        module = title.lower()
        app = AppTest.from_string(
            f"from dashboard.frame import Entry, serve\n"
            f"from dashboard.pages import {module}\n"
            f"serve((Entry({title!r}, ':material/circle:', {module}.show),))",
            default_timeout=300,
        )
        for name, value in link.items():
            app.query_params[name] = value
        return app.run()

    return open_at


@pytest.fixture
def run_ids(home):
    """The MLflow run ids of the study "docstrings", by the runs' names."""
    runs = read_study_table(Home(home).tracking_uri, "docstrings").runs
    return dict(zip(runs["label"], runs["run_id"], strict=True))


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No test reads the studies of the person who runs it; pages are served to this machine only.

    A page that AppTest runs takes the place of ``__main__``: processes started after it would run that page.
    """
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    streamlit.config.set_option("server.address", "127.0.0.1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("TRACKER_HOME", raising=False)


@pytest.fixture(scope="session")
def served(home):
    """The address of the app, served by the command with the home of these tests."""
    with served_dashboard(home) as address:
        yield address
