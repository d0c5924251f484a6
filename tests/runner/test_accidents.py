"""Real studies around which something goes wrong: the study continues, or ends with a sentence that says what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from tests.support.coordinators import Coordinator
from tests.support.interrupts import once
from tests.support.moved_clock import MovedClock
from tests.support.unavailable import UnavailableError
from tracker import open_study, run_study
from tracker.engine.forkserver import Forkserver
from tracker.runner.study_folder import StudyFolder
from tracker.training.events import read_attempt

ACCIDENTAL = {
    "name": "accidental",
    "workload": "tests.support.accidents:accidental",
    "quality": {"metric": "accuracy"},
    "strategy": "grid",
    "budget": {"trials": 2},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "settings": {"threads": 1, "precision": "fp32", "epochs": 8, "epoch_seconds": 0.05},
}


def events_of(home, trial):
    """The events of each attempt at a trial."""
    logs = sorted(Path(home).glob(f"studies/*/trials/{trial}/*.jsonl"))
    return [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]


def record_of(home, trial, attempt):
    return read_attempt(next(Path(home).glob(f"studies/*/trials/{trial}/{attempt}.jsonl")), attempt)


def wait_until(happened, within_seconds=300.0):
    deadline = time.monotonic() + within_seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_killed_workers_and_a_killed_forkserver_cost_what_they_spent_and_a_stop_at_once_ends_cleanly(tmp_path):
    space = {"accident": ["killed", "none"]}

    def kill_forkserver():
        os.kill(Forkserver().pid, signal.SIGKILL)

    last_trial = tmp_path / "studies/accidental/trials/1/1.jsonl"
    with once(lambda: last_trial.exists() and '"saved"' in last_trial.read_text(), kill_forkserver):
        content = {**ACCIDENTAL, "space": space}
        content["settings"] = {**content["settings"], "epoch_seconds": 0.3}
        study = run_study(content, home=tmp_path, workers=1)
    trials = study.runs().query("role == 'trial'").set_index("trial")
    for number, row in trials.iterrows():
        attempts = events_of(tmp_path, number)
        ends = [events[-1] for events in attempts]
        if row["settings"]["accident"] == "killed":
            assert (row["state"], len(attempts)) == ("killed", 3), "it was resumed twice, and not again"
            epochs = [event["epoch"] for events in attempts for event in events if event["event"] == "checkpoint"]
            assert epochs == [1, 2, 3], "each attempt continued where the one before was killed"
        else:
            assert row["state"] == "completed"
        assert row["attempts"] == len(attempts)
        assert row["wall_seconds"] == pytest.approx(sum(end["usage"]["wall_seconds"] for end in ends))
    reasons = [record_of(tmp_path, 1, attempt).reason for attempt in (1, 2)]
    assert reasons == ["forkserver_died", ""], "it was paused, and a new forkserver started its next attempt"
    database = optuna.load_study(study_name="accidental", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert [trial.state.name for trial in database.trials] == ["FAIL", "COMPLETE"]

    words = ["resume", "accidental", "--trials", "3", f"--home={tmp_path}"]
    resumed = Coordinator("from tracker.cli.main import main; main()", *words)
    folder = StudyFolder(tmp_path / "studies/accidental")
    wait_until(lambda: folder.coordinator() == resumed.pid or resumed.poll() is not None)
    assert folder.stop()
    _, said = resumed.communicate(timeout=300)
    assert "stopped by SIGTERM" in said
    assert open_study("accidental", home=tmp_path).table().state == "stopped"


@pytest.mark.parametrize(
    ("accident", "said"),
    [
        ("silent", "epoch 1 reports no accuracy; it reports loss; correct what the training reports, or the names in"),
        ("crash", "the process was killed by SIGABRT"),
    ],
)
def test_what_fails_in_every_trial_alike_ends_the_study_after_three(accident, said, tmp_path):
    messages = []

    class Hears:
        def notify(self, message):
            messages.append(message)

        def show(self, progress):
            pass

        def ended(self, attempt):
            pass

    content = {**ACCIDENTAL, "space": {"width": [1, 2, 3, 4, 5, 6], "accident": [accident]}, "budget": {"trials": 6}}
    study = run_study(content, home=tmp_path, workers=1, observer=Hears())
    trials = study.runs().query("role == 'trial'")
    assert len(trials) == 3
    assert (trials["price_usd"] > 0).all()
    assert study.table().state == "failed"
    (verdict,) = [message for message in messages if message.startswith("failed: ")]
    assert said in verdict


MOVED = """
import sys
from tests.runner.test_accidents import ACCIDENTAL
from tracker import run_study
run_study({**ACCIDENTAL, "space": {"width": [4]}, "settings": {**ACCIDENTAL["settings"], "epochs": 12,
    "epoch_seconds": 0.3}}, home=sys.argv[1])
"""


def test_a_clock_that_is_set_two_hours_forth_and_three_back_bills_what_was_used(tmp_path):
    try:
        clock = MovedClock(tmp_path / "clock")
    except UnavailableError as error:
        pytest.skip(str(error))
    environment = {**os.environ, **clock.environment, "TZ": "Pacific/Auckland"}
    home, begin = tmp_path / "home", time.monotonic()
    study = subprocess.Popen([sys.executable, "-c", MOVED, str(home)], env=environment)
    log = home / "studies/accidental/trials/0/1.jsonl"

    def checkpoints():
        return log.read_text().count('"checkpoint"') if log.exists() else 0

    wait_until(lambda: checkpoints() >= 2 or study.poll() is not None)
    clock.set(7200)
    wait_until(lambda: checkpoints() >= 5 or study.poll() is not None)
    clock.set(-3600)
    assert study.wait(timeout=300) == 0
    took = time.monotonic() - begin
    (events,) = events_of(home, 0)
    clocks = [event["time"] for event in events]
    assert max(clocks) - min(clocks) > 7200, "the clock was moved"
    seconds = [event["usage"]["wall_seconds"] for event in events if "usage" in event]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] < took
    found = open_study("accidental", home=home)
    (trial,) = found.runs().query("role == 'trial'").to_dict("records")
    assert trial["wall_seconds"] == seconds[-1]
    assert found.runs()["wall_seconds"].sum() < took
    assert (found.runs()["price_usd"] >= 0).all()
