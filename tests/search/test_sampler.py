"""The search is an Optuna study that anyone can open."""

from __future__ import annotations

import optuna
import pytest

from tracker.errors import RequestError, StoreError, StudyExistsError, StudyNotFoundError
from tracker.records import Direction, TrialState
from tracker.search.sampler import Sampling, Trials
from tracker.study.domains import Choices, Range
from tracker.study.space import SearchSpace

OBJECTIVES = {"accuracy": Direction.MAXIMIZE, "price_usd": Direction.MINIMIZE}
CPU = {"width": Choices((4, 16)), "rate": Range(1e-3, 1e-1, log=True), "depth": Range(1, 4, integer=True)}
SPACE = SearchSpace({"epochs": 3}, {"cpu": CPU})


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def test_suggestions_lie_in_the_space_and_carry_the_fixed_settings(storage):
    trials = Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    for number in range(5):
        suggestion = trials.ask()
        assert suggestion.trial == number
        assert suggestion.settings["epochs"] == 3
        assert suggestion.settings["device"] == "cpu"
        assert suggestion.settings["width"] in (4, 16)
        assert 1e-3 <= suggestion.settings["rate"] <= 1e-1
        assert suggestion.settings["depth"] in (1, 2, 3, 4)


def test_the_same_seed_and_results_give_the_same_suggestions(storage):
    def suggestions(name, seed):
        trials = Trials.create(storage, name, OBJECTIVES, SPACE, seed)
        asked = []
        for _ in range(12):
            suggestion = trials.ask()
            asked.append(suggestion.settings)
            quality = suggestion.settings["rate"]
            trials.tell(suggestion.trial, TrialState.COMPLETED, [quality, float(suggestion.settings["width"])])
        return asked

    assert suggestions("a", 1) == suggestions("b", 1) != suggestions("c", 2)


def test_optuna_shows_true_states_values_and_names(storage):
    trials = Trials.create(storage, "it's <b>s</b>", OBJECTIVES, SPACE, seed=0)
    for state in (TrialState.COMPLETED, TrialState.FAILED, TrialState.STOPPED, TrialState.KILLED):
        trials.tell(trials.ask().trial, state, [0.9, 0.25])
    trials.ask()
    trials.flush()
    study = optuna.load_study(study_name="it's <b>s</b>", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "PRUNED", "FAIL", "RUNNING"]
    assert study.trials[0].values == [0.9, 0.25]
    assert study.metric_names == ["accuracy", "price_usd"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert trials.unfinished() == (4,)


def test_each_device_has_the_choices_that_it_can_do(storage):
    devices = {"cpu": {"precision": Choices(("fp32",))}, "cuda": {"precision": Choices(("fp32", "tf32"))}}
    trials = Trials.create(storage, "s", OBJECTIVES, SearchSpace({}, devices), seed=0)
    asked = [trials.ask().settings for _ in range(3)]
    pairs = [(settings["device"], settings["precision"]) for settings in asked]
    assert sorted(pairs) == [("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "tf32")]
    with pytest.raises(RequestError, match="every combination was tried"):
        trials.ask()


def test_a_resumed_search_resumes_new_draws(storage):
    first = Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    before = [first.ask().settings["rate"] for _ in range(3)]
    first.flush()
    again = Trials.load(storage, "s", OBJECTIVES, SPACE, seed=0)
    suggestion = again.ask()
    assert suggestion.trial == 3
    assert suggestion.settings["rate"] not in before


def test_a_taken_name_a_missing_study_and_a_useless_database_are_distinguished(storage, tmp_path):
    Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    with pytest.raises(StudyExistsError, match="'s' already"):
        Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    with pytest.raises(StudyNotFoundError, match="no study 'other'"):
        Trials.load(storage, "other", OBJECTIVES, SPACE, seed=0)
    with pytest.raises(StoreError, match="cannot be used"):
        Trials.create(f"sqlite:///{tmp_path}/none/optuna.db", "s", OBJECTIVES, SPACE, seed=0)
    with pytest.raises(StoreError, match="cannot be used"):
        Trials.create("nonsense", "s", OBJECTIVES, SPACE, seed=0)


def test_a_trial_can_be_opened_with_settings_and_carries_notes(storage):
    trials = Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    wanted = {"device": "cpu", "width": 16, "rate": 0.01, "depth": 3, "epochs": 3}
    suggestion = trials.open(wanted)
    assert suggestion.settings == wanted
    trials.note(suggestion.trial, {"tracker.state": "paused", "price_usd": 0.5})
    trials.flush()
    (shown,) = optuna.load_study(study_name="s", storage=storage).trials
    assert shown.state.name == "RUNNING"
    assert shown.user_attrs == {"tracker.state": "paused", "price_usd": 0.5}


@pytest.mark.parametrize("name", ["RandomSampler", "NSGAIISampler", "QMCSampler", "TPESampler"])
def test_any_sampler_of_optuna_suggests_and_learns(name):
    trials = Trials.create(None, "s", {"closeness": Direction.MAXIMIZE}, SPACE, 0, Sampling(name))
    fixed = {"device": "cpu", "width": 16, "rate": 0.01}
    trials.add_trials([({**fixed, "depth": depth}, [0.1 * depth]) for depth in (1, 2, 3)])
    assert set(trials.suggest()) == {"device", "width", "rate", "depth", "epochs"}


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling("TPSampler"), "Optuna has no sampler 'TPSampler'; did you mean 'TPESampler'"),
        (Sampling("TPESampler", {"n_startup": 3}), "TPESampler cannot be created with .*n_startup"),
    ],
)
def test_a_sampler_that_there_is_not_is_named(sampling, said):
    with pytest.raises(RequestError, match=said):
        sampling.make(0)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling("CmaEsSampler"), "CmaEsSampler cannot suggest .*multi-objective"),
        (Sampling("BruteForceSampler"), "BruteForceSampler cannot suggest .*step must be given"),
        (Sampling("TPESampler", {"n_startup_trials": "x"}), "TPESampler cannot suggest"),
    ],
)
def test_a_sampler_that_cannot_do_a_study_is_reported_before_it_is_made(sampling, said):
    objectives = {"accuracy": Direction.MAXIMIZE, "price_usd": Direction.MINIMIZE}
    with pytest.raises(RequestError, match=said):
        Trials.check(objectives, SPACE, sampling)
    Trials.check(objectives, SPACE, Sampling())


def test_trials_that_the_database_lost_come_back_under_their_numbers(storage):
    wanted = {"device": "cpu", "width": 16, "rate": 0.01, "depth": 3, "epochs": 3}
    elsewhere = {**wanted, "device": "cuda"}
    trials = Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    assert trials.restore({0: wanted, 2: {**wanted, "depth": 4}, 3: elsewhere}) == 4
    assert trials.restore({0: wanted, 2: {**wanted, "depth": 4}, 3: elsewhere}) == 0
    trials.tell(2, TrialState.COMPLETED, [0.9, 0.25])
    assert trials.ask().trial == 4
    trials.flush()
    shown = optuna.load_study(study_name="s", storage=storage).trials
    assert [trial.state.name for trial in shown] == ["RUNNING", "PRUNED", "COMPLETE", "RUNNING", "RUNNING"]
    assert shown[0].params == {"width": 16, "rate": 0.01, "depth": 3}
    assert shown[2].values == [0.9, 0.25]
    assert trials.unfinished() == (0, 3, 4)


SMALL = SearchSpace({}, {"cpu": {"rate": Choices((0.01, 0.1)), "depth": Range(1, 3, integer=True)}})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("TPESampler", {}),
        ("RandomSampler", {}),
        ("NSGAIISampler", {}),
        ("QMCSampler", {}),
        ("GPSampler", {}),
        ("BruteForceSampler", {}),
        ("GridSampler", {"search_space": {"rate": [0.01, 0.1], "depth": [1, 2, 3]}}),
    ],
)
def test_no_sampler_suggests_settings_twice_and_a_small_space_is_tried_whole(name, options, storage):
    first = Trials.create(storage, "s", OBJECTIVES, SMALL, 0, Sampling(name, options))
    asked = []
    for _ in range(3):
        asked.append(first.ask())
        first.tell(asked[-1].trial, TrialState.COMPLETED, [0.5, 1.0])
    first.flush()
    again = Trials.load(storage, "s", OBJECTIVES, SMALL, 0, Sampling(name, options))
    for suggestion in asked:
        again.tried.take(suggestion.settings)
    while not again.tried.all:
        asked.append(again.ask())
        again.tell(asked[-1].trial, TrialState.COMPLETED, [0.5, 1.0])
    assert len(asked) == len({(each.settings["rate"], each.settings["depth"]) for each in asked}) == 6
    with pytest.raises(RequestError, match="no trial can start: every combination was tried"):
        again.ask()


def test_what_may_lack_memory_is_tried_last():
    trials = Trials.create(None, "s", OBJECTIVES, SMALL, 0, Sampling("RandomSampler"))
    trials.avoid({"device": "cpu", "rate": 0.1, "depth": 1})
    assert [trials.ask().settings["rate"] for _ in range(6)] == [0.01] * 3 + [0.1] * 3


def test_what_a_killed_coordinator_enqueued_is_nobodys(storage):
    wanted = {"device": "cpu", "width": 16, "rate": 0.01, "depth": 3, "epochs": 3}
    Trials.create(storage, "s", OBJECTIVES, SPACE, seed=0)
    optuna.load_study(study_name="s", storage=storage).enqueue_trial({"width": 4, "rate": 0.1, "depth": 1})
    trials = Trials.load(storage, "s", OBJECTIVES, SPACE, seed=0)
    opened = trials.open(wanted)
    assert (opened.trial, opened.settings) == (1, wanted)
    trials.flush()
    states = [trial.state.name for trial in optuna.load_study(study_name="s", storage=storage).trials]
    assert states == ["PRUNED", "RUNNING"]
