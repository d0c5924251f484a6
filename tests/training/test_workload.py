"""Training code is found by "module:name" or "file.py:name", and what is wrong with it is said in a line."""

from __future__ import annotations

import pytest

from tests.support.digits import Digits
from tracker.errors import WorkloadError
from tracker.training.workload import load_workload


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
        ("tests.support.digits:data", "lacks"),
    ],
)
def test_what_cannot_be_loaded_is_said(reference, said):
    with pytest.raises(WorkloadError, match=said):
        load_workload(reference)


def test_a_module_that_fails_on_import_is_said(tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(WorkloadError, match="cannot be imported: ZeroDivisionError"):
        load_workload(f"{tmp_path / 'broken.py'}:Anything")
