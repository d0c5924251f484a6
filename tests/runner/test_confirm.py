"""The frontier's trials are trained again with other seeds: what that costs, what it says, what it leaves alone."""

from __future__ import annotations

import optuna
import pytest
from mlflow import MlflowClient

from tests.support.interrupts import once, training_started
from tests.support.looks import Looks
from tests.support.lucky import study
from tests.support.mlflow_database import put_mlflow_database
from tracker import confirm_study, open_study, resume_study, run_study
from tracker.errors import RequestError, StudyNotFoundError
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home


class Heard(Looks):
    """What a study said and had spent, and how its runs ended."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def ended(self, attempt):
        self.ends.append((attempt.label, str(attempt.state)))

    def show(self, progress):
        super().show(progress)
        assert progress.counted == "repeats"


def repeats_of(found):
    return found.runs().query("role == 'repeat'").sort_values("label")


def confirmed(home, **given):
    heard = Heard()
    return confirm_study("lucky", home=home, observer=heard, **given), heard


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    put_mlflow_database(folder)
    return folder


@pytest.fixture(scope="module")
def before(home):
    found = run_study(study(), home=home)
    return {"frontier": found.frontier(), "spend_usd": found.spend_usd, "document": found.frontier_document()}


@pytest.fixture(scope="module")
def after(home, before):
    return confirmed(home, seeds=2)


def test_each_trial_on_the_frontier_is_trained_again_to_its_deepest_epoch_there(home, before, after):
    found, _ = after
    deepest = before["frontier"].groupby("trial")["epoch"].max().to_dict()
    assert deepest == {0: 2, 1: 3}
    runs, steps = repeats_of(found), found.checkpoints().query("role == 'repeat'")
    assert list(runs["label"]) == [f"#{trial} repeat {number}" for trial in deepest for number in (1, 2)]
    assert steps.groupby("label")["epoch"].apply(list).to_dict() == {
        row["label"]: list(range(1, deepest[row["trial"]] + 1)) for row in runs.to_dict("records")
    }
    assert set(runs["state"]) == {"completed"}
    asked = [events[0]["label"] for _, events in StudyFolder(Home(home).study("lucky")).attempts()]
    ordered = [f"#{trial} repeat {number}" for number in (1, 2) for trial in deepest]
    assert [label for label in asked if "repeat" in label] == ordered, "every trial's first before any's second"


def test_its_settings_are_those_of_its_trial_and_its_seed_is_new(home, after):
    found, _ = after
    settings = found.runs().query("role == 'trial'").set_index("trial")["settings"]
    assert all(row["settings"] == settings[row["trial"]] for row in repeats_of(found).to_dict("records"))
    seeds = [events[0]["seed"] for _, events in StudyFolder(Home(home).study("lucky")).attempts()]
    trained = [seed for seed in seeds if seed >= 1_000_000]
    assert len(set(trained)) == len(trained) == 4


def test_its_cost_is_reported_before_and_is_part_of_the_studys_spend(home, before, after):
    found, heard = after
    assert any("4 repeats of 2 trials on the frontier: expected to cost $" in said for said in heard.messages)
    paid = repeats_of(found)["price_usd"]
    assert (paid > 0).all()
    assert found.spend_usd == pytest.approx(before["spend_usd"] + paid.sum())
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("lucky").experiment_id])
    (parent,) = [run for run in runs if run.data.tags["tracker.role"] == "study"]
    assert parent.data.metrics["price_usd"] == pytest.approx(found.spend_usd)
    nested = [run.data.tags for run in runs if run.data.tags["tracker.role"] == "repeat"]
    assert {tags["tracker.repeats"] for tags in nested} == {"0", "1"}
    assert {tags["mlflow.parentRunId"] for tags in nested} == {parent.info.run_id}


def test_it_is_no_trial_and_replaces_no_point(home, before, after):
    found, _ = after
    columns = list(before["frontier"].columns)
    assert found.frontier()[columns].drop(columns="settings").equals(before["frontier"].drop(columns="settings"))
    assert found.table().state == "completed"
    searched = optuna.load_study(study_name="lucky", storage=f"sqlite:///{home / 'optuna.db'}")
    assert [trial.state.name for trial in searched.trials] == ["COMPLETE", "COMPLETE"]
    left = [path.name for path in Home(home).study("lucky").glob("trials/*-repeat-*/*")]
    assert set(left) == {"1.jsonl", "1.log"}, "neither a state nor a model"


def test_the_frontier_then_has_intervals_probabilities_and_ties(before, after):
    found, _ = after
    assert "quality_mean" not in before["frontier"]
    assert "confirmation" not in before["document"]
    frontier = found.frontier()
    assert (frontier["repeats"] == 2).all()
    assert ((frontier["quality_low"] < frontier["quality_mean"]) & (frontier["probability_on_frontier"] <= 1)).all()
    by_hand = found.checkpoints().query("role == 'repeat' and trial == 1 and epoch == 3")["quality"].mean()
    point = frontier[(frontier["trial"] == 1) & (frontier["epoch"] == 3)]
    assert point["quality_mean"].item() == pytest.approx(by_hand)
    assert point["probability_on_frontier"].item() > 0.99, "nothing is as good"
    confirmation = found.frontier_document()["confirmation"]
    assert (confirmation["repeats"], confirmation["completed"]) == (4, 4)
    assert confirmation["spend_usd"] == pytest.approx(repeats_of(found)["price_usd"].sum())


def test_what_is_done_is_not_trained_again_and_a_study_goes_on_afterwards(home, after):
    _, heard = confirmed(home, seeds=2)
    assert heard.ends == []
    assert any("has its repeats" in said for said in heard.messages)
    _, heard = confirmed(home, seeds=3)
    assert sorted(heard.ends) == [("#0 repeat 3", "completed"), ("#1 repeat 3", "completed")]
    spent = open_study("lucky", home=home).spend_usd
    resumed = resume_study("lucky", home=home)
    assert resumed.spend_usd == pytest.approx(spent), "nothing is left to try, and nothing was lost"
    assert len(repeats_of(resumed)) == 6


def test_repeats_that_fail_are_paid_and_no_evidence(tmp_path):
    before = run_study(study(repeats_fail=True), home=tmp_path).spend_usd
    found, heard = confirmed(tmp_path, seeds=2)
    runs = repeats_of(found)
    assert set(runs["state"]) == {"failed"}
    assert found.spend_usd == pytest.approx(before + runs["price_usd"].sum())
    failed = f"{len(runs)} failed or died: they were paid for, and are no evidence"
    assert len(runs) == 2 * found.frontier()["trial"].nunique()
    assert any(failed in said for said in heard.messages)
    assert "quality_mean" not in found.frontier()
    assert found.frontier_document()["confirmation"]["completed"] == 0
    _, heard = confirmed(tmp_path, seeds=2)
    assert heard.ends == [], "they would fail again"


def test_the_budget_starts_nothing_that_does_not_fit_and_stops_what_runs_over(tmp_path):
    # How long a worker takes to start depends on what else the machine does.
    run_study({**study(repeat_seconds=2.0), "costs": {"startup_billed": False}}, home=tmp_path)
    expected = open_study("lucky", home=tmp_path).frontier()["price_usd"].max()
    found, heard = confirmed(tmp_path, budget_usd=expected / 1e6)
    assert heard.ends == []
    assert any("6 not started for the $" in said for said in heard.messages)
    limit = expected + 1.5 * 0.2016 / 4 / 3600  # of a quarter of the machine: less than one epoch of a repeat more
    found, heard = confirmed(tmp_path, budget_usd=limit)
    stopped = repeats_of(found)
    assert set(stopped["state"]) == {"stopped"}
    assert stopped["price_usd"].sum() > 0
    assert heard.late_stops(tmp_path, limit) == []
    assert any(f"{len(stopped)} stopped and {6 - len(stopped)} not started" in said for said in heard.messages)
    spent = stopped["price_usd"].sum()
    found, heard = confirmed(tmp_path, budget_usd=spent)
    assert heard.ends == [], "what earlier calls spent counts"
    assert "quality_mean" not in found.frontier(), "stopped ones are no evidence"


def test_an_interrupted_confirmation_resumes_what_is_missing(tmp_path):
    run_study(study(repeat_seconds=0.5), home=tmp_path)
    with once(lambda: training_started(tmp_path, "*-repeat-*")):
        found, heard = confirmed(tmp_path, seeds=1, workers=1)
    assert len(heard.ends) == 1
    assert any(said.startswith("stopped: ") and "stopped by SIGINT" in said for said in heard.messages)
    (stopped,) = repeats_of(found).to_dict("records")
    assert (stopped["state"], stopped["reason"]) == ("stopped", "interrupted")
    found, heard = confirmed(tmp_path, seeds=1, budget_usd=1.0)
    ends = repeats_of(found).set_index("label")
    assert sorted(ends["state"]) == ["completed", "completed", "stopped"]
    assert ends.loc[stopped["label"], "price_usd"] == pytest.approx(stopped["price_usd"]), "it stays paid"
    assert (found.frontier()["repeats"] == 1).all()


def test_a_wrong_request_is_refused_before_anything_is_trained(home, before, tmp_path):
    with pytest.raises(StudyNotFoundError):
        confirm_study("nobody", home=home)
    with pytest.raises(RequestError, match="seeds: 0 is not a whole number of at least 1"):
        confirm_study("lucky", home=home, seeds=0)
    with pytest.raises(RequestError, match=r"budget_usd: -1\.0 is not a number of dollars above 0"):
        confirm_study("lucky", home=home, budget_usd=-1.0)
    with StudyFolder(Home(home).study("lucky")).locked(), pytest.raises(RequestError, match="is running already"):
        confirm_study("lucky", home=home)
    limited = {**study(), "limits": {"accuracy": {"min": 2.0}}}
    run_study(limited, home=tmp_path)
    with pytest.raises(RequestError, match="'lucky' has no checkpoint on its frontier"):
        confirm_study("lucky", home=tmp_path)
