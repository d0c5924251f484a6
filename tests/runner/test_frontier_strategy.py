"""The search by dollars, with real workers: trials are paused and resumed, and every decision can be asked for."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from tests.support.coordinators import Coordinator
from tests.support.digits import Digits
from tests.support.looks import Looks
from tests.support.mlflow_database import put_mlflow_database
from tests.support.pausable import PAUSABLE
from tests.support.studies import digits
from tracker import confirm_study, import_mlflow, open_study, resume_study, run_study
from tracker.errors import RequestError

SPACE = {"width": [4, 16, 64], "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
BUDGET_USD = 2.2e-4
"""About eight seconds of two workers with one of the machine's four cores each.

How long a worker takes to start depends on what else the machine does, so that is not billed: an epoch lasts as long
as the training sleeps.
"""


def by_dollars(**tables):
    """A study of small trainings that can be paused, of which the budget does not last for many to their end."""
    settings = {**PAUSABLE["settings"], "epochs": 16, "epoch_seconds": 0.1}
    named = {"name": "dollars", "workload": "tests.support.quick:quick", "strategy": "frontier"}
    study = {**PAUSABLE, **named, "space": SPACE, "settings": settings}
    return {**study, "budget": {"usd": BUDGET_USD}, "costs": {"startup_billed": False}, **tables}


@pytest.fixture(scope="module")
def home(new_home):
    return new_home()


@pytest.fixture(scope="module")
def looks():
    return Looks()


@pytest.fixture(scope="module")
def study(home, looks):
    """Run until a trial was resumed."""
    found = run_study(by_dollars(), home=home, observer=looks)
    looks.late = looks.late_stops(home, BUDGET_USD)
    return resumed_until(found, lambda found: trials_of(found)["attempts"].max() > 1)


def resumed_until(found, happened, observer=None):
    """The study, resumed with ever more dollars until something has happened, as long as that can be expected.

    On a busy machine looks come late, and a trial gets further, and dearer, before its pause.
    """
    budget_usd, most_usd = found.spend_usd, found.spend_usd + 8 * BUDGET_USD
    while not happened(found) and budget_usd < most_usd:
        budget_usd = max(budget_usd, found.spend_usd) + 0.6 * BUDGET_USD
        found = resume_study("dollars", home=found.home.path, budget_usd=budget_usd, observer=observer)
    return found


def trials_of(study):
    return study.runs().query("role == 'trial'")


def events_of(home, kind):
    logs = sorted(Path(home).glob("studies/*/trials/*/*.jsonl"))
    events = [(log, json.loads(line)) for log in logs for line in log.read_text().splitlines()]
    return [(log, event) for log, event in events if event["event"] == kind]


def test_trials_are_paused_and_resumed(study):
    trials = trials_of(study)
    assert len(trials) > 8, "more start than could be trained to their end"
    assert "paused" in set(trials["state"])
    assert trials["attempts"].max() > 1
    assert trials.groupby("label")["price_usd"].max().max() < study.spend_usd / 2


def test_the_budget_is_a_hard_limit(study, looks):
    assert looks.late == []
    assert study.spend_usd > 0.8 * BUDGET_USD


def test_what_is_resumed_goes_on_after_the_epoch_that_was_saved(home, study):
    restored = events_of(home, "restored")
    assert restored
    for log, event in restored:
        first = next((each for path, each in events_of(home, "checkpoint") if path == log), None)
        assert first is None or first["epoch"] == event["epoch"] + 1


def test_optuna_shows_true_states_and_values(home, study):
    shown = optuna.load_study(study_name="dollars", storage=f"sqlite:///{home / 'optuna.db'}")
    states = {trial.number: trial.state.name for trial in shown.trials}
    rows = {int(row["trial"]): row for row in trials_of(study).to_dict("records")}
    expected = {"paused": "RUNNING", "completed": "COMPLETE", "stopped": "PRUNED"}
    assert {number: states[number] for number in rows} == {n: expected[row["state"]] for n, row in rows.items()}
    for trial in shown.trials:
        if trial.state.name == "COMPLETE":
            assert trial.values == pytest.approx([rows[trial.number]["quality"], rows[trial.number]["price_usd"]])
        if trial.state.name == "RUNNING":
            assert trial.user_attrs["tracker.state"] == "paused"


def test_every_decision_can_be_asked_for(study):
    resumed = next(int(row["trial"]) for row in trials_of(study).to_dict("records") if row["attempts"] > 1)
    actions = [decision["action"] for decision in study.why(resumed)]
    assert actions[0] == "begin"
    assert {"pause", "resume"} <= set(actions)
    numbers = next(decision["numbers"] for decision in study.why(resumed) if decision["action"] == "resume")
    assert numbers["expected_usd"] > 0
    assert numbers["left_usd"] >= numbers["expected_usd"]
    assert 0 <= numbers["likely_from"] <= numbers["expected_accuracy"] <= numbers["likely_to"] <= 1
    with pytest.raises(RequestError, match="trial 999 does not exist"):
        study.why(999)


def test_the_reference_point_is_frozen_and_recorded(home, study):
    memory = json.loads((home / "studies/dollars/search.json").read_text())
    assert memory["reference"]["price_usd"] == BUDGET_USD
    first_checkpoints = {}
    for log, event in events_of(home, "checkpoint"):
        first_checkpoints.setdefault(log.parent.name, event["metrics"].get("accuracy"))
    assert memory["reference"]["accuracy"] in [pytest.approx(value) for value in first_checkpoints.values()]


def test_a_larger_budget_resumes_what_was_paused(home, study):
    before = trials_of(study).set_index("label")

    def longer(found):
        after = trials_of(found).set_index("label")
        return [label for label in before.index if after.loc[label, "attempts"] > before.loc[label, "attempts"]]

    resumed = resumed_until(study, longer)
    after = trials_of(resumed).set_index("label")
    reference = json.loads((home / "studies/dollars/search.json").read_text())["reference"]
    assert reference["price_usd"] == BUDGET_USD, "frozen at the start"
    assert longer(resumed)
    assert (after.loc[before.index, "price_usd"] >= before["price_usd"] - 1e-12).all()


def remembered(home):
    """What the search of the study has saved."""
    try:
        return json.loads((home / "studies/dollars/search.json").read_text())
    except FileNotFoundError:
        return {}


def test_a_killed_study_resumes_the_same_knowledge(tmp_path):
    coordinator = Coordinator(
        "from tests.support.interrupts import *\nfrom tests.runner.test_frontier_strategy import *\n"
        f"run_study(by_dollars(budget={{'usd': 8 * BUDGET_USD}}), home={str(tmp_path)!r})\n"
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (events_of(tmp_path, "restored") and "reference" in remembered(tmp_path)):
        time.sleep(0.05)
    coordinator.send_signal(signal.SIGKILL)
    coordinator.wait()
    for _, event in events_of(tmp_path, "started"):  # the workers notice, and keep their states
        while psutil.pid_exists(event["pid"]) and time.monotonic() < deadline:
            time.sleep(0.05)
    used = [event["usage"] for _, event in events_of(tmp_path, "ended")]
    used_usd = sum(usage["wall_seconds"] - usage["startup_seconds"] for usage in used) * 0.2016 / 4 / 3600
    budget_usd = max(BUDGET_USD, 1.3 * used_usd)
    known = {(log.parent.name, event["epoch"]) for log, event in events_of(tmp_path, "checkpoint")}
    saved = {log: event["epoch"] for log, event in events_of(tmp_path, "saved")}
    unsaved = {
        (log.parent.name, event["epoch"])
        for log, event in events_of(tmp_path, "checkpoint")
        if event["epoch"] > saved.get(log, 0)
    }
    memory = remembered(tmp_path)
    spent_usd = open_study("dollars", home=tmp_path).spend_usd
    looks = Looks()
    finished = resume_study("dollars", home=tmp_path, budget_usd=budget_usd, observer=looks)
    assert remembered(tmp_path)["reference"] == memory["reference"]
    assert finished.spend_usd >= spent_usd
    assert looks.late_stops(tmp_path, budget_usd) == [], "what was spent before counts"
    reached = Counter((log.parent.name, event["epoch"]) for log, event in events_of(tmp_path, "checkpoint"))
    again = {each for each, times in reached.items() if times > 1}
    assert again <= unsaved, "only what was not saved yet: that is as often as the disk lets"
    assert known <= reached.keys()


def test_a_workload_that_saves_nothing_runs_to_its_end_and_that_is_said_once(tmp_path):
    reported = Looks()
    study = digits(strategy="frontier", budget={"trials": 3}, settings={"epochs": 4})
    found = run_study(study, home=tmp_path, observer=reported)
    assert set(trials_of(found)["state"]) == {"completed"}
    assert set(trials_of(found)["attempts"]) == {1}
    assert len([line for line in reported.messages if "saves no state" in line]) == 1
    assert not hasattr(Digits, "save")


def test_states_that_take_too_much_disk_are_dropped_the_least_promising_first(tmp_path):
    found = run_study(by_dollars(search={"disk_limit_gb": 1e-5}), home=tmp_path)  # ten kilobytes: about one state
    trials = trials_of(found)
    dropped = trials.query("state == 'stopped' and reason == 'dropped'")
    assert len(dropped)
    for label in dropped["label"]:
        number = int(label.removeprefix("#"))
        assert not (tmp_path / f"studies/dollars/trials/{number}/state.pt").exists()
        assert found.why(number)[-1]["action"] == "stop"
    repeated = trials_of(confirm_study("dollars", home=tmp_path, seeds=1))
    assert set(repeated.query("state == 'stopped'")["label"]) >= set(dropped["label"]), "they stay stopped"


def test_wall_time_is_a_budget_too(tmp_path):
    reported = Looks()
    found = run_study(by_dollars(budget={"usd": 1.0, "wall_seconds": 4.0}), home=tmp_path, observer=reported)
    assert found.spend_usd < 0.5
    assert any("the budget of 4 seconds is used up" in line for line in reported.messages)


def test_an_earlier_study_of_the_same_space_is_evidence(home, study):
    reported = Looks()
    new = by_dollars(name="warm", budget={"trials": 6})
    run_study(new, home=home, warm_start=["dollars"], observer=reported)
    assert any("learns from" in line and "'dollars'" in line for line in reported.messages)
    assert any("what the earlier studies forecast for this study's" in line for line in reported.messages)
    other = by_dollars(name="other", space={**SPACE, "width": [4, 8]})
    with pytest.raises(RequestError, match="'optuna' cannot learn from other studies"):
        run_study(by_dollars(name="other", strategy="optuna"), home=home, warm_start=["dollars"])
    with pytest.raises(RequestError, match=r"space.width \(\[4, 16, 64\] there, \[4, 8\] here\)"):
        run_study(other, home=home, warm_start=["dollars"])
    assert not (home / "studies/other").exists()


def test_an_objective_that_nobody_measures_here_is_named(tmp_path):
    study = by_dollars(search={"objectives": ["accuracy", "price_usd", "energy_joules"]})
    with pytest.raises(RequestError, match="no run reports 'energy_joules' here"):
        run_study(study, home=tmp_path)
    failed = open_study("dollars", home=tmp_path)
    ends = dict(events_of(tmp_path, "ended"))
    logs = [log for log, _ in events_of(tmp_path, "asked")]
    assert len(ends) == len(logs) > 1, "no worker is left without an end"
    used = sum(event["usage"]["wall_seconds"] for event in ends.values())
    assert failed.runs()["wall_seconds"].sum() == pytest.approx(used)
    assert "running" not in set(failed.runs()["state"])


def test_three_objectives_at_once(tmp_path):
    objectives = ["accuracy", "wall_seconds", "validation_loss"]
    reported, search = Looks(), {"objectives": objectives, "reference": {"accuracy": 1}}

    def heard(_):
        return any("no checkpoint beats search.reference.accuracy = 1 yet" in line for line in reported.messages)

    found = run_study(by_dollars(search=search, budget={"usd": BUDGET_USD / 2}), home=tmp_path, observer=reported)
    assert heard(resumed_until(found, heard, reported))
    shown = optuna.load_study(study_name="dollars", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert [direction.name for direction in shown.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert len(trials_of(found)) > 4


def test_the_price_of_predictions_is_an_objective(tmp_path):
    search = {"objectives": ["accuracy", "prediction_usd"], "predictions": 1000}
    study = digits(strategy="frontier", search=search, budget={"trials": 2}, settings={"epochs": 2})
    run_study(study, home=tmp_path)
    run_study({**study, "name": "warm"}, home=tmp_path, warm_start=["digits"])
    shown = optuna.load_study(study_name="warm", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert len(shown.trials) == 2
    shown = optuna.load_study(study_name="digits", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert shown.metric_names == ["accuracy", "prediction_usd"]
    for trial in shown.trials:
        seconds = trial.values[1] / 1000 / (0.2016 / 4 / 3600)
        assert 1e-7 < seconds < 1e-2, "what one of 397 digits takes to evaluate, on one core in four"


def test_an_imported_study_is_evidence_where_its_runs_are_in_the_space(home, tmp_path):
    source = put_mlflow_database(tmp_path / "source")
    client = MlflowClient(f"sqlite:///{source}")
    experiment = client.create_experiment("past", artifact_location="file:///nowhere")
    inside = [(width, learning_rate) for width in (4, 16, 64) for learning_rate in (0.001, 0.01, 0.05)]
    for width, learning_rate in (*inside, (5, 0.01), (4, 0.9)):
        run = client.create_run(experiment, start_time=1_790_000_000_000).info.run_id
        accuracies = [Metric("accuracy", 0.1 * epoch, 1_790_000_000_000 + 60_000 * epoch, epoch) for epoch in (1, 2, 3)]
        params = [Param("width", str(width)), Param("learning_rate", str(learning_rate))]
        client.log_batch(run, accuracies, params, [])
        client.set_terminated(run, end_time=1_790_000_200_000)
    for name, quality in (("past", "accuracy"), ("upside down", "accuracy")):
        direction = "maximize" if name == "past" else "minimize"
        import_mlflow(
            str(source), "past", quality=quality, direction=direction, sku="aws/m5.large", name=name, home=home
        )
    reported = Looks()
    new = by_dollars(name="after the past", budget={"trials": 6})
    run_study(new, home=home, warm_start=["past"], observer=reported)
    assert any("learns from 9 trials of the study 'past'" in line for line in reported.messages), "two are outside"
    assert any("what the earlier studies forecast for this study's" in line for line in reported.messages)
    with pytest.raises(RequestError, match=r"none of its runs is in this study's space \(11 of its runs: another wid"):
        narrow = {**SPACE, "width": [128, 256]}
        run_study(by_dollars(name="narrow", space=narrow), home=home, warm_start=["past"])
    with pytest.raises(RequestError, match=r"its quality is accuracy \(minimize\), not accuracy \(maximize\)"):
        run_study(by_dollars(name="other way"), home=home, warm_start=["upside down"])
