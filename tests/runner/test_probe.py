"""A probe: two short trials of a study that are trained before it, as a study of their own."""

from __future__ import annotations

import pytest

from tests.support.mlflow_database import put_mlflow_database
from tests.support.pausable import PAUSABLE
from tests.support.studies import digits
from tracker import audit_study, open_study
from tracker.engine.forkserver import Forkserver
from tracker.errors import WorkFailedError
from tracker.pricing.scenario import AS_BILLED
from tracker.records import Role
from tracker.report.estimate.billing import Billing
from tracker.report.estimate.fixed_work import fixed_work
from tracker.report.estimate.past import past_of
from tracker.runner.outline import outline
from tracker.runner.probe import probe_settings, run_probe
from tracker.runner.progress import Silent
from tracker.runner.session import Places
from tracker.store.home import Home
from tracker.study.document import StudyDocument


def probe(study, path):
    put_mlflow_database(path)
    document = StudyDocument("study", study)
    Forkserver(document.workload).warm_up()
    return run_probe(document, Places(Home(path)), workers=None, observer=Silent())


def trials(name, path):
    runs = open_study(name, home=path).runs()
    return runs[runs["role"] == "trial"]


def test_short_trials_are_trained_whole_and_their_cost_is_a_studys_own(tmp_path):
    study = digits(space={"width": [4, 8, 16, 32, 64], "epochs": [2, 30]}, budget={"trials": 50})
    study["settings"].pop("epochs")
    assert probe(study, tmp_path) == "digits-probe"
    trained = trials("digits-probe", tmp_path)
    assert list(trained["state"]) == ["completed", "completed"]
    assert [(each["width"], each["epochs"]) for each in trained["settings"]] == [(8, 2), (32, 2)]
    assert open_study("digits-probe", home=tmp_path).spend_usd >= trained["price_usd"].sum() > 0
    assert not audit_study("digits-probe", home=tmp_path).findings
    assert probe(study, tmp_path) == "digits-probe-2"  # the first one stays what it is


def test_a_long_training_is_paused_once_it_has_two_checkpoints(tmp_path):
    settings = {**PAUSABLE["settings"], "epochs": 400, "epoch_seconds": 0.3}
    name = probe({**PAUSABLE, "settings": settings, "space": {"width": [8, 64]}}, tmp_path)
    trained = trials(name, tmp_path)
    assert list(trained["state"]) == ["paused", "paused"]
    checkpoints = open_study(name, home=tmp_path).checkpoints()
    reached = checkpoints[checkpoints["role"] == "trial"].groupby("trial")["epoch"].max()
    assert ((reached >= 2) & (reached < 40)).all()


def test_a_probe_pays_for_no_data_and_keeps_to_a_tenth_of_the_budget(tmp_path):
    study = digits(budget={"usd": 3.0}, settings={"epochs": 1}, costs={"labelling_usd_per_sample": 0.01})
    name = probe(study, tmp_path)
    table = open_study(name, home=tmp_path).table()
    assert table.runs["data_usd"].sum() == 0.0
    assert table.budget_usd == pytest.approx(0.3)


def test_a_probe_whose_trials_fail_says_so(tmp_path):
    with pytest.raises(WorkFailedError, match=r"the probe 'digits-probe' says nothing \(its trials failed\)"):
        probe(digits(settings={"accident": "raise"}), tmp_path)


def test_the_two_trials_are_opposite_each_other_in_the_space(tmp_path):
    space = {"width": [4, 16, 64], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}, "fused": [False, True]}
    plan = outline(StudyDocument("study", {**digits(), "space": space}), Home(tmp_path))
    first, second = probe_settings(plan.space, None)
    assert (first["width"], second["width"]) == (4, 64)
    assert (first["fused"], second["fused"]) == (False, True)
    assert first["learning_rate"] * second["learning_rate"] == pytest.approx(1e-4)
    alone = outline(StudyDocument("study", {**digits(), "space": {"width": [4]}}), Home(tmp_path))
    assert len(probe_settings(alone.space, None)) == 1


def test_a_probe_measures_what_finding_the_data_prepared_costs(tmp_path):
    name = probe(digits(space={"width": [4, 64]}, settings={"epochs": 1}), tmp_path)
    table = open_study(name, home=tmp_path).table()
    preparations = table.runs[table.runs["role"] == "preparation"]
    assert list(preparations["label"]) == ["preparation", "preparation again"]
    plan = outline(StudyDocument("study", {**digits(), "name": "later"}), Home(tmp_path))
    past = past_of(StudyDocument("study", {**digits(), "name": "later"}), Home(tmp_path)).runs
    fixed, _ = fixed_work(plan, [run for run in past if run.role is Role.PREPARATION], Billing.of(plan, AS_BILLED))
    assert fixed.seconds == pytest.approx(preparations["wall_seconds"].iloc[1])
