"""A study file is checked whole: every problem at once, each with its place and what is allowed."""

from __future__ import annotations

import re

import pytest

from tests.support.digits import Digits
from tests.support.studies import digits
from tracker.errors import RequestError, StudyFileError
from tracker.records import Direction
from tracker.study.check import check_study
from tracker.study.document import StudyDocument, parse_assignments, short_name
from tracker.study.domains import Choices, Range
from tracker.study.spec import WorkloadDescription
from tracker.study.tags import parse_tags

DESCRIPTION = WorkloadDescription(Digits.knobs, Digits.metrics, Digits.data_options, tuple(Digits.baselines))


def problems_of(content, text=""):
    with pytest.raises(StudyFileError) as caught:
        check_study(StudyDocument("study.toml", content, text), DESCRIPTION)
    return list(caught.value.problems)


def test_a_good_study_is_read_with_its_domains_and_defaults():
    spec = check_study(StudyDocument("s", digits()), DESCRIPTION)
    assert spec.quality.direction is Direction.MAXIMIZE
    assert spec.space["width"] == Choices((4, 16, 64))
    assert spec.space["learning_rate"] == Range(1e-3, 1e-1, log=True)
    assert spec.fixed_settings["epochs"] == 3
    assert spec.fixed_settings["accident"] == "none"
    assert "width" not in spec.fixed_settings


def test_all_problems_are_reported_at_once_each_with_line_place_and_nearest_name(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        """nmae = "x"
workload = "tests.support.digits:Digits"

[quality]
metric = "acuracy"

[budget]
usd = 0

[settings]
epochs = 0
precision = "bf17"

[space]
widht = [4, 16]
learning_rate = { low = 0.1, high = 0.01, log = true }
"""
    )
    document = StudyDocument.read(path)
    shown = problems_of(document.content, document.text)
    text = "\n".join(shown)
    assert "line 1, nmae: unknown key; did you mean 'name'?" in text
    assert "name: missing" in text
    assert "line 5, quality.metric: the workload reports no 'acuracy'; did you mean 'accuracy'?" in text
    assert "line 8, budget.usd: 0 is not" in text
    assert "line 11, settings.epochs: 0 is not a whole number from 1 to 10000" in text
    assert "line 12, settings.precision: 'bf17' is not one of its values; did you mean 'bf16'?" in text
    assert "line 15, space.widht: unknown key; did you mean 'width'?" in text
    assert "line 16, space.learning_rate: low 0.1 is not below high 0.01" in text
    assert len(shown) == 8


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ([], "an empty list"),
        ([4, 4], "names a value twice"),
        ([4, "a"], "'a' is not a whole number"),
        ([4, 100_000], "100000 is not a whole number from 1 to 512"),
        (7, "neither a list of choices nor a table"),
        ({"low": 1}, "a range needs 'high'"),
        ({"low": 1, "high": 9, "lgo": True}, "unknown key 'lgo'"),
        ({"low": 1, "high": 9, "step": 0}, "step: 0 is not a number above 0"),
        ({"low": 1, "high": 9, "step": 0.5}, "step: 0.5 is not a whole number"),
        ({"low": 1, "high": 9, "step": 1, "log": True}, "log and step exclude each other"),
        ({"low": float("nan"), "high": 9}, "low: nan is not"),
    ],
)
def test_impossible_domains_are_named(domain, said):
    assert said in "\n".join(problems_of(digits(space={"width": domain})))


def test_a_logarithmic_range_needs_a_positive_low():
    shown = problems_of(digits(space={"learning_rate": {"low": 0.0, "high": 1.0, "log": True}}))
    assert "not above 0" in shown[0]


@pytest.mark.parametrize(
    ("settings", "space", "said"),
    [
        ({"nodes": 0}, {}, "settings.nodes: 0 is not a whole number of at least 1"),
        ({"nodes": 1.5}, {}, "settings.nodes: 1.5 is not a whole number of at least 1"),
        ({"nodes": 2}, {}, "settings.nodes: 2 nodes and 1 processes: each node has as many of the trial's processes"),
        ({"nodes": 3, "processes": 4}, {}, "3 nodes and 4 processes: .* so processes is 3 or a multiple of it"),
        ({"processes": 4}, {"nodes": [1, 2, 3]}, "space.nodes: 3 nodes and 4 processes"),
        ({"nodes": 2}, {"processes": {"low": 2, "high": 2**40}}, "settings.nodes: 2 nodes and 3 processes"),
    ],
)
def test_nodes_divide_the_processes_of_a_trial_whatever_the_search_combines(settings, space, said):
    content = digits(engine={"name": "ray"})
    content["settings"] |= settings
    content["space"] |= space
    (problem,) = problems_of(content)
    assert re.search(said, problem)


def test_a_range_of_processes_by_the_nodes_is_read():
    content = digits(engine={"name": "ray"})
    content["settings"] |= {"nodes": 2}
    content["space"] |= {"processes": {"low": 2, "high": 8, "step": 2}}
    assert check_study(StudyDocument("s", content), DESCRIPTION).settings["nodes"] == 2


def test_a_command_has_one_node():
    content = digits(engine={"name": "ray"}, command="python train.py")
    del content["workload"]
    content["settings"] |= {"nodes": 2, "processes": 2}
    assert any("settings.nodes: a command trains on one machine; 2 nodes" in each for each in problems_of(content))


@pytest.mark.parametrize("name", ["", "  ", 7, None, "x" * 81, "a\nb"])
def test_a_name_must_be_a_printable_text_of_modest_length(name):
    content = digits()
    content["name"] = name
    assert problems_of(content)[0].startswith("name: ")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"accuracy": {"min": 0.9, "max": 0.8}}, "limits.accuracy: min 0.9 is above max 0.8"),
        ({"wall_seconds": {"max": 0.5}}, "limits.wall_seconds: no run reports 'wall_seconds' as a metric"),
    ],
)
def test_a_limit_that_nothing_can_keep_is_refused(limits, said):
    assert said in problems_of({**digits(), "limits": limits})[0]


def test_the_memory_that_a_run_took_can_be_limited():
    memory = StudyDocument("s", {**digits(), "limits": {"peak_memory_bytes": {"max": 1e9}}})
    (limit,) = check_study(memory, DESCRIPTION).limits
    assert (limit.metric, limit.high) == ("peak_memory_bytes", 1e9)


@pytest.mark.parametrize("usd", [-1, 0, float("nan"), float("inf"), "ten", True])
def test_a_budget_that_is_no_sum_of_money_is_refused(usd):
    assert "budget.usd" in problems_of(digits(budget={"usd": usd}))[0]


@pytest.mark.parametrize("value", [["accuracy"], {}, 7, None])
def test_values_of_the_wrong_kind_are_problems_and_never_faults(value):
    content = dict.fromkeys(("workload", "quality", "budget", "pricing", "settings", "space", "data"), value)
    assert problems_of({"name": "x", **content})
    inner = {"quality": {"metric": value, "direction": value}, "pricing": {"market": value, "sku_cpu": value}}
    inner |= {"settings": {"width": value, "threads": value}, "space": {"learning_rate": value}}
    assert problems_of({"name": "x", "workload": "w", "budget": {"usd": value, "trials": value}, **inner})


def test_a_study_needs_an_end_and_something_to_search():
    content = digits(space={})
    content["budget"] = {}
    shown = "\n".join(problems_of(content))
    assert "a study needs an end" in shown
    assert "nothing to search" in shown


def test_one_trial_of_fixed_settings_needs_nothing_to_search():
    assert check_study(StudyDocument("here", digits(space={}, budget={"trials": 1})), DESCRIPTION).space == {}
    assert "budget.trials = 1" in "".join(problems_of(digits(space={}, budget={"trials": 2})))


def test_a_knob_is_either_fixed_or_searched():
    assert "either fixed or searched" in problems_of(digits(settings={"width": 4}))[0]


def test_an_unknown_workload_is_one_problem_among_the_others():
    with pytest.raises(StudyFileError) as caught:
        check_study(StudyDocument("s", digits(budget={"usd": -1})), "workload 'x' was not found")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["workload", "budget.usd"]


def test_settings_given_on_the_command_line_take_a_knob_out_of_the_space():
    settings = parse_assignments(["width=32", "accident=segfault"])
    document = StudyDocument("s", digits()).override(settings, budget_usd=0.5, name="other", seed=3)
    spec = check_study(document, DESCRIPTION)
    assert spec.settings["width"] == 32
    assert spec.settings["accident"] == "segfault"
    assert set(spec.space) == {"learning_rate"}
    assert (spec.budget.usd, spec.budget.trials, spec.name, spec.seed) == (0.5, 4, "other", 3)


@pytest.mark.parametrize("assignment", ["width", "=3", " =3"])
def test_an_assignment_without_a_knob_or_a_value_is_refused(assignment):
    with pytest.raises(RequestError, match="not of the form knob=value"):
        parse_assignments([assignment])


def test_a_file_that_is_missing_or_not_toml_is_refused_in_a_line(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: No such file"):
        StudyDocument.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(StudyFileError, match="not valid TOML"):
        StudyDocument.read(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        ("$ python train.py --lr {lr} --data /data/x.csv  # in /home/me/a folder", "train.py"),
        ("$ {python} 'my code/train it.py' --lr {lr}  # in /x", "train it.py"),
        ("$ cd sub && CUDA_VISIBLE_DEVICES=0 ./run.sh {lr}; echo done  # in /x", "run.sh"),
        ("$ torchrun --nproc-per-node 2 train.py --lr {lr}  # in /x", "train.py"),
        ("$ python -m torch.distributed.run --nproc-per-node 2 src/train.py  # in /x", "train.py"),
        ("$ uv run python -m mine.train --config=base.py  # in /x", "mine.train"),
        ("$ LR={lr} /opt/bin/fit  # in /x", "fit"),
        ("$ LR={lr}  # in /x", "the command"),
        ("$   # in /x", "the command"),
        ("/home/me/a folder/mine.py:train", "mine.py:train"),
        ("package.module:name", "package.module:name"),
    ],
)
def test_a_sentence_calls_a_workload_by_a_short_name(workload, name):
    assert short_name(workload) == name


def last_step_of(last_step, **tables):
    return {**digits(**tables), "quality": {"metric": "accuracy", "last_step": last_step}}


@pytest.mark.parametrize("last_step", [600, "epochs", "width"])
def test_the_last_step_is_a_number_or_the_knob_that_has_it(last_step):
    assert check_study(StudyDocument("s", last_step_of(last_step)), DESCRIPTION).last_step == last_step
    assert check_study(StudyDocument("s", digits()), DESCRIPTION).last_step is None


@pytest.mark.parametrize(
    ("last_step", "said"),
    [
        (0, "0 is neither a whole number of at least 1 nor the name of a knob that has one"),
        (2.5, "2.5 is neither"),
        (True, "True is neither"),
        ([60], "[60] is neither"),
        (float("inf"), "inf is neither"),
        ("epoch", "there is no knob 'epoch'; did you mean 'epochs'?"),
        ("", "there is no knob ''"),
        ("accident", "the knob 'accident' has 'none'; the last step is a whole number of at least 1"),
        ("seed", "the knob 'seed' has no value; the last step is a whole number of at least 1"),
        ("learning_rate", "the knob 'learning_rate' has 0.001 to 0.1; the last step is"),
    ],
)
def test_a_last_step_that_is_none_is_refused(last_step, said):
    (shown,) = problems_of(last_step_of(last_step))
    assert f"quality.last_step: {said}" in shown


def test_choices_of_which_one_is_no_last_step_are_refused():
    (shown,) = problems_of(last_step_of("epoch_seconds", space={"epoch_seconds": [1, 2.5], "width": [4]}))
    assert "quality.last_step: the knob 'epoch_seconds' has 1, 2.5; the last step is" in shown


def test_a_grid_goes_through_ranges_that_have_an_end():
    steps = {"width": {"low": 4, "high": 8}, "learning_rate": {"low": 0.1, "high": 0.3, "step": 0.1}}
    check_study(StudyDocument("s", {**digits(space=steps), "strategy": "grid"}), DESCRIPTION)
    (shown,) = problems_of({**digits(), "strategy": "grid"})
    assert "space.learning_rate: strategy 'grid' tries every value; give a list, or a range of whole numbers" in shown


def test_tags_of_ones_own_are_texts_under_names_that_nothing_else_has(tmp_path):
    path = tmp_path / "tagged.toml"
    path.write_text(
        """name = "x"

[tags]
team = "search"
cost_center = 4711
User = "me"
"naïve?" = "x"
empty = " "
"""
    )
    document = StudyDocument.read(path)
    shown = [problem for problem in problems_of(document.content, document.text) if "tags" in problem]
    assert shown == [
        """line 5, tags.cost_center: 4711 is not a text; write it in quotes, as "4711\"""",
        "line 6, tags.User: every charge has this tag already; choose another name than study, user, trial",
        "line 7, tags.naïve?: not a tag's name; allowed: 1 to 50 letters without accents, digits, _ and -, "
        "a letter or digit first",
        "line 8, tags.empty: ' ' is not a printable text of 1 to 200 characters",
    ]
    many = {f"tag{number}": "x" * 200 for number in range(30)}
    assert "characters in all; allowed: at most 4,000" in problems_of(digits(tags=many))[0]
    own = check_study(StudyDocument("s", digits(tags={"team": "search"})).override(tags={"site": "here"}), DESCRIPTION)
    assert own.tags == {"team": "search", "site": "here"}


def test_tags_of_the_command_line_are_texts():
    assert parse_tags(["team=search", " cost_center = 4711", "note=a=b"]) == {
        "team": "search",
        "cost_center": "4711",
        "note": "a=b",
    }
    with pytest.raises(RequestError, match="--tag 'team' is not of the form key=value"):
        parse_tags(["team"])
