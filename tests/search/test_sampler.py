"""The search is an Optuna study that anyone can open."""

from __future__ import annotations

import optuna
import pytest

from tracker.errors import StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import Direction, QualityMetric, TrialState
from tracker.search.sampler import Search
from tracker.study.domains import Choices, Range
from tracker.study.space import SearchSpace

ACCURACY = QualityMetric("accuracy", Direction.MAXIMIZE)
CPU = {"width": Choices((4, 16)), "rate": Range(1e-3, 1e-1, log=True), "depth": Range(1, 4, integer=True)}
SPACE = SearchSpace({"epochs": 3}, {"cpu": CPU})


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def test_suggestions_lie_in_the_space_and_carry_the_fixed_settings(storage):
    search = Search.create(storage, "s", ACCURACY, SPACE, seed=0)
    for number in range(5):
        suggestion = search.ask()
        assert suggestion.trial == number
        assert suggestion.settings["epochs"] == 3
        assert suggestion.settings["device"] == "cpu"
        assert suggestion.settings["width"] in (4, 16)
        assert 1e-3 <= suggestion.settings["rate"] <= 1e-1
        assert suggestion.settings["depth"] in (1, 2, 3, 4)


def test_the_same_seed_and_results_give_the_same_suggestions(storage):
    def suggestions(name, seed):
        search = Search.create(storage, name, ACCURACY, SPACE, seed)
        asked = []
        for _ in range(12):
            suggestion = search.ask()
            asked.append(suggestion.settings)
            quality = suggestion.settings["rate"]
            search.tell(suggestion.trial, TrialState.COMPLETED, quality, float(suggestion.settings["width"]))
        return asked

    assert suggestions("a", 1) == suggestions("b", 1) != suggestions("c", 2)


def test_optuna_shows_true_states_values_and_names(storage):
    search = Search.create(storage, "it's <b>s</b>", ACCURACY, SPACE, seed=0)
    for state in (TrialState.COMPLETED, TrialState.FAILED, TrialState.STOPPED, TrialState.KILLED):
        search.tell(search.ask().trial, state, 0.9, 0.25)
    search.ask()
    study = optuna.load_study(study_name="it's <b>s</b>", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "PRUNED", "FAIL", "RUNNING"]
    assert study.trials[0].values == [0.9, 0.25]
    assert study.metric_names == ["accuracy", "price_usd"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert search.unfinished() == (4,)


def test_each_device_has_the_choices_that_it_can_do(storage):
    devices = {"cpu": {"precision": Choices(("fp32",))}, "cuda": {"precision": Choices(("fp32", "tf32"))}}
    search = Search.create(storage, "s", ACCURACY, SearchSpace({}, devices), seed=0)
    asked = [search.ask().settings for _ in range(30)]
    assert {settings["device"] for settings in asked} == {"cpu", "cuda"}
    assert {settings["precision"] for settings in asked if settings["device"] == "cpu"} == {"fp32"}
    assert {settings["precision"] for settings in asked if settings["device"] == "cuda"} == {"fp32", "tf32"}


def test_a_resumed_search_goes_on_with_new_draws(storage):
    first = Search.create(storage, "s", ACCURACY, SPACE, seed=0)
    before = [first.ask().settings["rate"] for _ in range(3)]
    again = Search.load(storage, "s", SPACE, seed=0)
    suggestion = again.ask()
    assert suggestion.trial == 3
    assert suggestion.settings["rate"] not in before


def test_a_taken_name_a_missing_study_and_a_useless_database_are_told_apart(storage, tmp_path):
    Search.create(storage, "s", ACCURACY, SPACE, seed=0)
    with pytest.raises(StudyExistsError, match="'s' already"):
        Search.create(storage, "s", ACCURACY, SPACE, seed=0)
    with pytest.raises(StudyNotFoundError, match="no study 'other'"):
        Search.load(storage, "other", SPACE, seed=0)
    with pytest.raises(StoreError, match="cannot be used"):
        Search.create(f"sqlite:///{tmp_path}/none/optuna.db", "s", ACCURACY, SPACE, seed=0)
    with pytest.raises(StoreError, match="cannot be used"):
        Search.create("nonsense", "s", ACCURACY, SPACE, seed=0)
