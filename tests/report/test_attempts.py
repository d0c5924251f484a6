"""Attempts are distinguished by what a run had cost when each of them ended; together they are the run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.support.mlflow_database import put_mlflow_database
from tracker.pricing.price_book import load_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.records import TrialState
from tracker.report.attempts import attempts_table
from tracker.report.repricing import reprice
from tracker.store import run_table
from tracker.store.attempts import COUNTED, PARTS_USD, SeveralAttempts
from tracker.store.mlflow_store import MlflowStore
from tracker.store.run_table import read_study_table

TAGS = {"tracker.quality": "accuracy", "tracker.direction": "maximize", "tracker.state": "running"}
BEGAN = 1_700_000_000.0


def ends(run, at, *, step, attempt, state, seconds, compute, storage=0.0, billed=None):
    """An attempt's end as runner.bookkeeper logs it: everything so far, one step after the last checkpoint."""
    finals = {
        "wall_seconds": seconds,
        "price_usd": compute + storage,
        "data_usd": 0.0,
        "compute_usd": compute,
        "storage_usd": storage,
        "maintenance_usd": 0.0,
        "billed_seconds": seconds if billed is None else billed,
    }
    run.add(finals, step=step, timestamp=at)
    run.tag({"tracker.state": state, "tracker.attempts": str(attempt)})
    run.end(state, at)


def reaches(run, epoch, at, *, seconds, price):
    run.add({"accuracy": epoch / 10, "price_usd": price, "wall_seconds": seconds}, step=epoch, timestamp=at)


@pytest.fixture
def study(tmp_path):
    """#0 had three attempts, the second without a checkpoint; #1 is at its second, #2 at its first; #3 failed."""
    uri = f"sqlite:///{put_mlflow_database(tmp_path)}"
    log = MlflowStore(uri).create_study("s", TAGS, BEGAN, tmp_path / "artifacts")
    runs = []
    for number in range(4):
        tags = {"tracker.role": "trial", "tracker.trial": str(number), "tracker.state": "running"}
        runs.append(log.run(f"#{number}", {}, tags, BEGAN + number))
    for _ in range(2):  # the coordinator starts again and logs what it finds in its folder again
        reaches(runs[0], 1, BEGAN + 9, seconds=9, price=0.9)
        ends(runs[0], BEGAN + 10, step=2, attempt=1, state=TrialState.PAUSED, seconds=10, compute=1.0, storage=0.5)
        ends(runs[0], BEGAN + 25, step=2, attempt=2, state=TrialState.KILLED, seconds=15, compute=1.75, storage=0.5)
        reaches(runs[0], 2, BEGAN + 105, seconds=20, price=2.5)
        ends(runs[0], BEGAN + 110, step=3, attempt=3, state=TrialState.COMPLETED, seconds=25, compute=3.75, storage=1.0)
    reaches(runs[1], 1, BEGAN + 21, seconds=20, price=2.0)
    ends(runs[1], BEGAN + 22, step=2, attempt=1, state=TrialState.PAUSED, seconds=21, compute=2.0, storage=0.25)
    reaches(runs[1], 2, BEGAN + 60, seconds=31, price=4.0)
    runs[1].tag({"tracker.state": TrialState.RUNNING})
    runs[1].resume()
    reaches(runs[2], 1, BEGAN + 12, seconds=10, price=1.0)
    ends(runs[3], BEGAN + 43, step=0, attempt=1, state=TrialState.FAILED, seconds=40, compute=4.0)
    for run in runs:
        run.outbox.flush()
    return uri


@pytest.fixture(params=["database", "server"])
def table(study, request, monkeypatch):
    """The study as it is read from a database, and as it is read through MLflow's client."""
    if request.param == "server":
        monkeypatch.setattr(run_table, "_store", MlflowStore)
    return read_study_table(study, "s")


def test_each_attempt_has_what_it_alone_used_and_cost(table):
    attempts = attempts_table(table)
    assert attempts["label"].tolist() == ["#0", "#0", "#0", "#1", "#1", "#2", "#3"]
    assert attempts["attempt"].tolist() == [1, 2, 3, 1, 2, 1, 1]
    assert attempts["state"].tolist() == ["", "", "completed", "", "running", "running", "failed"]
    assert attempts["compute_usd"].tolist() == [1.0, 0.75, 2.0, 2.0, 1.75, 1.0, 4.0]
    assert attempts["storage_usd"].tolist() == [0.5, 0.0, 0.5, 0.25, 0.0, 0.0, 0.0]
    assert attempts["price_usd"].tolist() == [1.5, 0.75, 2.5, 2.25, 1.75, 1.0, 4.0]
    assert attempts["wall_seconds"].tolist() == [10, 5, 10, 21, 10, 10, 40]


def test_attempts_start_their_own_time_before_their_end_and_end_when_they_did(table):
    attempts = attempts_table(table)
    assert (attempts["started_at"] - BEGAN).tolist() == [0, 20, 100, 1, 50, 2, 3]
    ended = (attempts["ended_at"] - BEGAN).tolist()
    assert ended == pytest.approx([10, 25, 110, 22, np.nan, np.nan, 43], nan_ok=True)


def test_attempts_add_up_to_the_runs_part_by_part(table):
    attempts = attempts_table(table)
    for name in ("price_usd", *PARTS_USD):
        assert attempts.groupby("run")[name].sum().tolist() == table.runs[name].tolist(), name
    assert table.runs[list(PARTS_USD)].sum(axis=1).tolist() == table.runs["price_usd"].tolist()


def test_studies_by_hand_have_one_attempt_a_run(realistic, small, empty):
    for table in (realistic, small):
        attempts = attempts_table(table)
        assert attempts["run"].tolist() == list(range(len(table.runs)))
        assert attempts["state"].tolist() == table.runs["state"].tolist()
        assert attempts["compute_usd"].tolist() == table.runs["compute_usd"].tolist()
    assert attempts_table(empty).empty
    assert attempts_table(empty).columns.tolist() == attempts_table(small).columns.tolist()


def test_other_prices_are_shared_out_as_each_part_was_billed(by_hand):
    table = by_hand.build([by_hand.trial(0, [0.5, 0.6], [100.0, 400.0], attempts=2)])
    compute = table.runs["price_usd"].iloc[0]
    each = pd.DataFrame({"run": [0, 0], "started_at": [0.0, 9.0], "ended_at": [1.0, 10.0]})
    own = {name: [0.0, 0.0] for name in COUNTED} | {
        "wall_seconds": [100.0, 300.0],
        "billed_seconds": [100.0, 300.0],
        "compute_usd": [compute / 4, compute * 3 / 4],
    }
    table = by_hand.replaced(table, attempts=SeveralAttempts(lambda: each.assign(**own)))
    half = reprice(table, Scenario(changes=(RateChange(factor=0.5),)), load_price_book())
    attempts = attempts_table(half)
    assert attempts["compute_usd"].sum() == pytest.approx(compute / 2)
    assert attempts["compute_usd"].sum() == pytest.approx(half.runs["price_usd"].iloc[0], rel=1e-12)
    assert attempts["compute_usd"].iloc[1] == pytest.approx(3 * attempts["compute_usd"].iloc[0])
    assert attempts["billed_seconds"].sum() == pytest.approx(half.runs["billed_seconds"].iloc[0])
    upkept = by_hand.replaced(half, runs=half.runs.assign(maintenance_usd=8.0))
    assert attempts_table(upkept)["maintenance_usd"].tolist() == [2.0, 6.0], "nothing was billed of it: by billed time"
