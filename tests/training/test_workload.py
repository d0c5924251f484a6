"""Training code is found by "module:name" or "file.py:name", and what is wrong with it is said in a line."""

from __future__ import annotations

import pytest

from tests.support.digits import Digits
from tracker.errors import WorkloadError
from tracker.training.loading import load_workload


def test_a_class_is_found_by_module_and_by_file(monkeypatch, pytestconfig):
    assert isinstance(load_workload("tests.support.digits:Digits"), Digits)
    by_file = load_workload(str(pytestconfig.rootpath / "tests/support/digits.py:Digits"))
    assert by_file.knobs.keys() == Digits.knobs.keys()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("digits", "not of the form"),
        ("no.such.module:Digits", "module 'no.such.module' was not found"),
        ("tests.support.digits:Digts", "did you mean 'Digits'"),
        ("none.py:Digits", "file 'none.py' was not found"),
        ("tests.support.digits:data", r"function data\(\) takes no run"),
    ],
)
def test_what_cannot_be_loaded_is_said(reference, said):
    with pytest.raises(WorkloadError, match=said):
        load_workload(reference)


def test_a_module_that_fails_on_import_is_said(tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(WorkloadError, match="cannot be imported: ZeroDivisionError"):
        load_workload(f"{tmp_path / 'broken.py'}:Anything")


WRONG = {
    "no_train": ("class It: pass", "It has no train"),
    "arguments": ("class It:\n    def __init__(self, size): pass\n    def train(self, run): pass", "without arguments"),
    "signature": ("class It:\n    def train(self): pass", r"train cannot be called as train\(run\)"),
    "knobs": ("class It:\n    knobs = {'size': 3}\n    def train(self, run): pass", r"knobs\['size'\] is 3"),
    "metrics": ("class It:\n    metrics = {'a': 'up'}\n    def train(self, run): pass", r"metrics\['a'\] is 'up'"),
    "untyped": ("def It(run, size): pass", "neither a type nor a default"),
    "stars": ("def It(run, **rest): pass", "no name of its own"),
    "number": ("It = 3", "int has no train"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_training_code_is_said_before_anything_is_paid(code, said, tmp_path):
    (tmp_path / "theirs.py").write_text(code)
    with pytest.raises(WorkloadError, match=said):
        load_workload(f"{tmp_path / 'theirs.py'}:It")


FUNCTION = """
from __future__ import annotations
import beside
from tracker import knob, workload

@workload(metrics={"accuracy": "maximize"}, data_options={"path": "a file"})
def train(run, rate: float, width: int = knob(64, "hidden units", low=1), deep=True, precision="fp32"):
    run.append((rate, width, deep, precision))
"""


def test_a_functions_parameters_are_its_knobs_and_it_stays_a_function(tmp_path):
    (tmp_path / "theirs.py").write_text(FUNCTION)
    (tmp_path / "beside.py").write_text("")
    loaded = load_workload(f"{tmp_path / 'theirs.py'}:train")
    assert list(loaded.knobs) == ["rate", "width", "deep"], "precision is a knob of every workload"
    assert [knob.kind for knob in loaded.knobs.values()] == ["float", "int", "bool"]
    assert loaded.knobs["rate"].default is None
    assert loaded.knobs["width"].problem(0)
    assert loaded.metrics == {"accuracy": "maximize"}
    called = []
    loaded(called, 0.5)
    assert called == [(0.5, 64, True, "fp32")]


def test_a_class_needs_nothing_but_train(tmp_path):
    (tmp_path / "theirs.py").write_text("class It:\n    def train(self, run): pass")
    loaded = load_workload(f"{tmp_path / 'theirs.py'}:It")
    assert not loaded.knobs and not loaded.metrics and not loaded.baselines
    assert loaded.prepare({}, {}, tmp_path, print).rows == {}


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "their_module_here.py").write_text("def train(run, size: int = 1): pass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    assert load_workload("their_module_here:train").knobs["size"].default == 1
