"""The command's checks for who must not load training code: in a child, all that is wrong, or what it costs at most."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.studies import digits
from tracker.runner.checked import check
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.toml_text import to_toml


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    found = check(StudyDocument("x", digits()), str(tmp_path_factory.mktemp("home")))
    assert found.problems == ()
    return found.machine


@pytest.fixture
def checked(machine, tmp_path):
    return lambda **tables: check(
        StudyDocument.parse("x.toml", to_toml(digits(**tables))), str(tmp_path / "home"), machine
    )


def test_every_problem_is_reported_with_its_place_and_the_knobs_are_known(checked):
    found = checked(budget={"usd": -1}, space={"widht": [1]}, quality={"metric": "accuracy", "last_step": 0})
    places = [problem.partition(": ")[0].partition(", ")[2] for problem in found.problems]
    assert sorted(places) == ["budget.usd", "quality.last_step", "space.widht"]
    assert all(problem.startswith("line ") for problem in found.problems)
    assert {"width", "learning_rate", "threads", "compile"} <= found.knobs.keys()


def test_a_workload_that_is_not_there_is_a_problem_and_has_no_knobs(checked):
    found = checked(workload="tests.support.nowhere:Nothing")
    assert "tests.support.nowhere" in found.problems[0]
    assert found.knobs == {}


def test_what_the_sampler_and_the_names_of_other_studies_rule_out_is_reported(checked, tmp_path):
    assert "Optuna has no sampler 'NoSuchSampler'" in checked(search={"sampler": "NoSuchSampler"}).problems[0]
    folder = StudyFolder(Home(tmp_path / "home").study("digits"))
    folder.path.mkdir(parents=True)
    folder.save(StudyDocument("x", digits()))
    (problem,) = checked().problems
    assert problem.startswith("line 1, name: a study of this name already exists")


def test_what_bounds_the_cost_is_said_and_what_does_not(checked):
    assert [bound.usd for bound in checked().bounds] == [None]
    assert "nothing bounds their cost" in checked().bounds[0].sentence
    found = checked(budget={"usd": 0.5, "trials": 4})
    assert found.most_usd == 0.5
    (rate,) = found.rates
    assert (rate.device, rate.sku) == ("cpu", "aws/m7i.xlarge")
    timed = checked(budget={"wall_seconds": 3600.0, "trials": 2, "trial_seconds": 36.0})
    cores = timed.machine.hardware.cores
    whole, each = (bound.usd for bound in timed.bounds)
    assert whole == pytest.approx(rate.usd_per_hour * cores / 4)  # of the SKU's 4 vCPU
    assert each == pytest.approx(3 * 36 / 3600 * rate.usd_per_hour * cores / 4)  # the baseline takes every core
    assert timed.most_usd == min(whole, each)


def test_the_checks_change_nothing(checked, tmp_path):
    assert checked().problems == ()
    assert not (tmp_path / "home").exists()


def test_who_checks_loads_nothing_heavy():
    code = "import tracker.runner.checked, tracker.runner.detached, json, sys; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"torch", "optuna", "mlflow"}.isdisjoint(json.loads(output.splitlines()[-1]))
