"""A study from Python: real workers, a real MLflow store, a real Optuna study."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import mlflow
import optuna
import pytest

from tests.support.coordinators import Coordinator
from tests.support.looks import Looks
from tests.support.studies import digits
from tracker import RateChange, Scenario, open_study, resume_study, run_study
from tracker.errors import (
    DataError,
    HardwareError,
    RequestError,
    StudyExistsError,
    StudyFileError,
    StudyNotFoundError,
)


@pytest.fixture(scope="module")
def home(new_home):
    return new_home()


@pytest.fixture(scope="module")
def study(home):
    return run_study(digits(), home=home)


def test_every_trial_the_baseline_and_the_preparation_are_runs_with_a_price(study):
    runs = study.runs()
    assert list(runs["role"].value_counts().loc[["trial", "baseline", "preparation"]]) == [4, 1, 1]
    assert (runs["price_usd"] > 0).all()
    assert (runs["state"] == "completed").all()
    assert study.spend_usd == pytest.approx(runs["price_usd"].sum())


def test_a_price_leads_back_to_its_usage_its_rate_and_its_source(study):
    for run in study.runs().to_dict("records"):
        share = 0.25 if run["role"] == "trial" else len(os.sched_getaffinity(0)) / 4  # of aws/m7i.xlarge's 4 vCPU
        assert run["sku"] == "aws/m7i.xlarge"
        assert run["price_usd"] == pytest.approx(run["wall_seconds"] / 3600 * run["usd_per_hour"] * share)
        assert run["price_source"]
        assert run["price_date"]


def test_every_checkpoint_is_a_price_point(study):
    checkpoints = study.checkpoints()
    trials = checkpoints[checkpoints["role"] == "trial"]
    assert len(trials) == 4 * 3
    for _, points in trials.groupby("trial"):
        assert list(points["epoch"]) == [1, 2, 3]
        assert points["price_usd"].is_monotonic_increasing


def test_mlflow_holds_what_the_design_lists(study, home):
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    trial = next(run for run in runs if run.data.tags.get("tracker.trial") == "0")
    parent = next(run for run in runs if run.data.tags["tracker.role"] == "study")
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert trial.info.status == parent.info.status == "FINISHED"
    assert trial.data.params.keys() >= {"width", "learning_rate", "device", "threads", "precision", "compile"}
    finals = {"accuracy", "validation_loss", "wall_seconds", "price_usd", "train_seconds", "evaluation_seconds"}
    assert trial.data.metrics.keys() >= finals | {"startup_seconds", "peak_memory_bytes", "parameters", "test_accuracy"}
    tags = {"study", "trial", "state", "price_book", "sku", "hardware", "energy_source", "data", "commit"}
    assert trial.data.tags.keys() >= {f"tracker.{tag}" for tag in tags}
    assert trial.inputs.dataset_inputs[0].dataset.name == "digits"
    assert len(client.get_metric_history(trial.info.run_id, "accuracy")) == 3


def test_only_the_frontiers_runs_keep_their_files(study, home):
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    on_frontier = set(study.frontier()["trial"])
    for run in study.runs().query("role == 'trial'").to_dict("records"):
        kept = [file.path for file in client.list_artifacts(run["run_id"], "model")]
        assert kept == (["model/model.txt"] if run["trial"] in on_frontier else [])
        assert not (home / "studies/digits/trials" / str(run["trial"]) / "artifacts").exists()


def test_optuna_holds_the_true_values(study, home):
    optuna_study = optuna.load_study(study_name="digits", storage=f"sqlite:///{home / 'optuna.db'}")
    runs = study.runs().set_index("trial")
    for trial in optuna_study.trials:
        assert trial.values == pytest.approx([runs.loc[trial.number, "quality"], runs.loc[trial.number, "price_usd"]])


def test_the_frontier_is_not_dominated_and_the_baseline_is_a_reference(study):
    document = study.frontier_document()
    points = document["points"]
    assert [point["price_usd"] for point in points] == sorted(point["price_usd"] for point in points)
    assert [point["quality"] for point in points] == sorted(point["quality"] for point in points)
    assert document["references"][0]["name"] == "logistic regression"
    assert document["spend_usd"] == pytest.approx(study.spend_usd)


def test_a_study_that_is_there_says_how_to_resume(study, home):
    with pytest.raises(StudyExistsError, match="tracker resume"):
        run_study(digits(), home=home)


def test_a_resumed_study_goes_on_from_what_was_spent(study, home):
    before = study.spend_usd
    resumed = resume_study("digits", home=home, trials=5)
    runs = resumed.runs()
    assert list(runs.query("role == 'trial'")["trial"]) == [0, 1, 2, 3, 4]
    assert resumed.spend_usd == pytest.approx(before + runs.set_index("trial").loc[4, "price_usd"])
    assert len(runs) == len(study.runs())


LAB = """
[[rate]]
sku = "lab/box"
architecture = "x86_64"
vcpu = 4
usd_per_hour = {}
effective_from = 2026-01-01
source = "us"
"""


def test_a_rate_that_changes_meanwhile_changes_nothing_that_was_billed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prices = tmp_path / "ours.toml"
    prices.write_text(LAB.format(0.1))
    before = run_study(digits(pricing={"sku_cpu": "lab/box", "prices": "ours.toml"}), home="h", trials=2).runs()
    prices.write_text(LAB.format(0.2))
    monkeypatch.chdir(tmp_path.parent)  # the study knows where its prices are
    after = resume_study("digits", home=tmp_path / "h", trials=3).runs()
    assert list(after["usd_per_hour"]) == [0.1] * len(before) + [0.2]
    assert after["price_usd"].iloc[: len(before)].to_numpy() == pytest.approx(before["price_usd"].to_numpy())
    connection = sqlite3.connect(tmp_path / "h/mlflow.db")
    (twice,) = connection.execute(
        "select count(*) from (select 1 from metrics group by run_uuid, key, step, timestamp having count(*) > 1)"
    ).fetchone()
    assert twice == 0


def test_a_run_keeps_the_price_book_that_it_was_billed_by(tmp_path):
    before = set(run_versions(run_study(digits(), home=tmp_path, trials=1)))
    (tmp_path / "prices.toml").write_text(LAB.format(0.1))
    after = run_versions(resume_study("digits", home=tmp_path, trials=2))
    assert len(before) == 1
    assert [version in before for version in after] == [True, True, True, False]


def run_versions(study):
    """The price book's version on every run, in the order of their start."""
    connection = sqlite3.connect(study.home.mlflow_database)
    query = """select tags.value from runs join tags using (run_uuid) where tags.key = 'tracker.price_book'
        and run_uuid in (select run_uuid from tags where key = 'tracker.role' and value != 'study')
        order by runs.start_time"""
    return [version for (version,) in connection.execute(query)]


@pytest.mark.parametrize("accident", ["exit", "raise"])
def test_what_failed_or_died_is_priced_anew_as_it_was_billed(accident, tmp_path):
    costs = {"startup_billed": False, "minimum_seconds": 0.05, "keep_months": 1.0}
    study = run_study(digits(settings={"accident": accident}, costs=costs), home=tmp_path, trials=2)
    billed, again = study.table(), study.table(Scenario(changes=(RateChange(factor=1.0),)))
    assert set(billed.runs.query("role == 'trial'")["state"]) <= {"failed", "killed"}
    assert again.runs["price_usd"].to_numpy() == pytest.approx(billed.runs["price_usd"].to_numpy())
    query = """select latest_metrics.value from latest_metrics join tags using (run_uuid)
        where latest_metrics.key = 'price_usd' and tags.key = 'tracker.role' and tags.value = 'study'"""
    (logged,) = sqlite3.connect(tmp_path / "mlflow.db").execute(query).fetchone()
    assert logged == pytest.approx(billed.spend_usd)


def test_an_attempt_that_was_logged_without_its_rate_is_billed_at_what_its_sku_costs(tmp_path):
    study = run_study(digits(), home=tmp_path, trials=1)
    before = study.spend_usd
    for log in tmp_path.glob("studies/digits/trials/*/1.jsonl"):
        asked, *rest = log.read_text().splitlines(keepends=True)
        event = json.loads(asked)
        event["sku"] = event.pop("price_point")["sku"]
        log.write_text(json.dumps(event) + "\n" + "".join(rest))
    resumed = resume_study("digits", home=tmp_path, trials=2)
    assert resumed.runs()["price_usd"].iloc[:3].sum() == pytest.approx(before)


def test_data_costs_are_counted_against_the_budget(tmp_path):
    costs = {"labelling_usd_per_sample": 0.01}
    with pytest.raises(RequestError, match=r"the data cost \$17.97 for 1,797 samples.* nothing is left of its budget"):
        run_study(digits(costs=costs, budget={"usd": 1.0}), home=tmp_path)
    assert list((tmp_path / "studies").iterdir()) == []
    study = run_study(digits(costs=costs, budget={"usd": 100.0, "trials": 1}), home=tmp_path)
    assert study.spend_usd == pytest.approx(17.97, abs=0.01)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"data": {"broken": True}}, DataError, "the digits are broken"),
        ({"settings": {"threads": 10_000}}, HardwareError, "threads = 10000 is impossible here"),
        ({"pricing": {"sku_cpu": "aws/m7i.larg"}}, StudyFileError, "did you mean 'aws/m7i.large'"),
        ({"costs": {"keep_month": 3}}, StudyFileError, "costs.keep_month: unknown key; did you mean 'keep_months'?"),
        ({"costs": {"maintenance_share": -1}}, StudyFileError, "costs.maintenance_share: -1 is not a number from 0 to"),
        ({"pricing": {"prices": "none.toml"}}, RequestError, "price file '.*none.toml' cannot be read"),
        ({"pricing": {"country": "Germny"}}, StudyFileError, "did you mean 'Germany'"),
        ({"workload": "tests.support.digits:Digts"}, StudyFileError, "did you mean 'Digits'"),
        ({"space": {"widht": [1]}}, StudyFileError, "did you mean 'width'"),
        ({"name": "../../etc"}, None, ""),
    ],
)
def test_a_wrong_request_leaves_nothing_behind(change, error, said, tmp_path):
    home = tmp_path / "home"
    content = digits(**{"name": "wrong", "budget": {"trials": 1}, **change})
    if error is None:
        run_study(content, home=home)
        assert [folder.parent for folder in (home / "studies").iterdir()] == [home / "studies"]
        return
    with pytest.raises(error, match=said):
        run_study(content, home=home)
    assert not home.exists() or not list((home / "studies").iterdir())
    with pytest.raises(StudyNotFoundError):
        open_study("wrong", home=home)
    if (home / "optuna.db").exists():
        assert optuna.get_all_study_names(f"sqlite:///{home / 'optuna.db'}") == []


@pytest.mark.parametrize(
    ("accident", "state", "reason"),
    [("not_a_number", "failed", "not_finite"), ("raise", "failed", "error"), ("segfault", "killed", "crashed")],
)
def test_an_accident_stays_counted_and_the_study_goes_on(accident, state, reason, tmp_path):
    space = {"accident": ["none", accident], "width": [4, 8, 16]}
    study = run_study(digits(space=space, budget={"trials": 6}, seed=1), home=tmp_path)
    trials = study.runs().query("role == 'trial'")
    assert len(trials) == 6
    bad = trials[trials["settings"].map(lambda settings: settings["accident"] == accident)]
    good = trials.drop(bad.index)
    assert len(bad) and len(good)
    assert set(bad["state"]) == {state}
    assert set(bad["reason"]) == {reason}
    assert (bad["price_usd"] > 0).all()
    assert set(good["state"]) == {"completed"}
    assert study.spend_usd == pytest.approx(study.runs()["price_usd"].sum())
    assert set(study.checkpoints().query("role == 'trial'")["trial"]) == set(trials["trial"])


def test_the_study_ends_when_its_dollars_are_spent(tmp_path):
    content = digits(strategy="grid", space={"epochs": [1, 10_000]}, settings={"epoch_seconds": 0.2})
    content["settings"].pop("epochs")
    first = run_study({**content, "budget": {"trials": 1}}, home=tmp_path)
    trial_usd = first.runs().query("role == 'trial'")["price_usd"].item()
    budget_usd = first.spend_usd + 2 * trial_usd  # whatever a trial, the baseline and the preparation cost here
    looks = Looks()
    study = resume_study("digits", home=tmp_path, budget_usd=budget_usd, trials=2, workers=1, observer=looks)
    assert study.spend_usd >= budget_usd
    assert looks.late_stops(tmp_path, budget_usd) == []
    assert study.table().state == "completed"
    ends = study.runs().query("role == 'trial'").set_index("trial")
    assert (ends.loc[0, "state"], ends.loc[1, "state"], ends.loc[1, "reason"]) == ("completed", "stopped", "budget")


COORDINATOR = """
import sys
from tests.support.looks import Looks
from tests.support.studies import digits
from tracker import run_study
run_study(digits(settings={"epochs": 10_000, "epoch_seconds": 0.2}, budget={"trials": 2}), home=sys.argv[1])
"""


def start_coordinator(home):
    process = Coordinator(COORDINATOR, home)
    trial = home / "studies/digits/trials/0/1.jsonl"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (trial.exists() and '"checkpoint"' in trial.read_text()):
        time.sleep(0.1)
    return process, trial


def test_a_killed_coordinator_loses_no_dollar_and_its_workers_end(tmp_path):
    process, trial = start_coordinator(tmp_path)
    with pytest.raises(RequestError, match=f"running already, in process {process.pid}"):
        resume_study("digits", home=tmp_path)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300
    while '"ended"' not in trial.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    ended = json.loads(trial.read_text().splitlines()[-1])
    assert (ended["state"], ended["reason"]) == ("stopped", "coordinator_gone")
    study = resume_study("digits", home=tmp_path, trials=1)
    run = study.runs().set_index("trial").loc[0]
    assert run["state"] == "stopped"
    assert run["wall_seconds"] == ended["usage"]["wall_seconds"]
    assert study.table().state == "completed"
    trials = optuna.load_study(study_name="digits", storage=f"sqlite:///{tmp_path / 'optuna.db'}").trials
    assert all(trial.state.is_finished() for trial in trials)


def test_a_whole_machine_going_down_is_billed_until_the_last_sign_of_life(tmp_path):
    process, trial = start_coordinator(tmp_path)
    worker = next(json.loads(line)["pid"] for line in trial.read_text().splitlines() if '"started"' in line)
    for pid in (process.pid, worker):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    events = [json.loads(line) for line in trial.read_text().splitlines()]
    study = resume_study("digits", home=tmp_path, trials=1)
    run = study.runs().set_index("trial").loc[0]
    assert run["state"] == "killed"
    assert run["wall_seconds"] == pytest.approx(events[-1]["time"] - events[0]["time"], abs=0.01)


def test_a_script_without_a_main_guard_runs_its_study_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom tests.support.studies import digits\nfrom tracker import run_study\n"
        f"study = run_study(digits(budget={{'trials': 1}}), home={str(tmp_path)!r})\n"
        "print(len(study.runs().query(\"role == 'trial'\")), {'torch', 'ray'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "1 set()\n"), (
        done.stderr
    )  # on one machine, a coordinator has no use for either


def test_the_workers_import_neither_mlflow_nor_optuna_and_look_up_their_cpu_once_for_all():
    code = (
        "import sys, tracker.training.worker; print({'mlflow', 'optuna', 'pandas', 'ray'} & set(sys.modules))\n"
        "from tracker.pricing.energy import cpu_chip; print(cpu_chip.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "set()\n1\n", done.stderr
