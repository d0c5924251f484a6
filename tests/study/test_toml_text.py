"""Study files as text: what is written is read back the same, and an edit leaves the rest as it was."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.study.toml_text import edited, to_toml, toml_value

STUDIES = sorted((Path(__file__).parents[2] / "experiments" / "studies").glob("*.toml"))
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab. \"'é#", min_size=1), inner, max_size=3),
)


@given(VALUES)
def test_a_value_is_read_back_as_it_was(value):
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


def test_a_date_is_written_as_one():
    assert tomllib.loads(f"day = {toml_value(date(2026, 7, 20))}") == {"day": date(2026, 7, 20)}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_whole_file_is_read_back_as_it_was(path):
    content = tomllib.loads(path.read_text())
    assert tomllib.loads(to_toml(content)) == content


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_an_edit_changes_one_line_alone(path):
    text = path.read_text()
    changed = edited(text, ("name",), 'another "name" # 1')
    before, after = text.splitlines(), changed.splitlines()
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    assert tomllib.loads(changed) == {**tomllib.loads(text), "name": 'another "name" # 1'}


def test_values_are_put_into_tables_that_are_there_or_not_and_taken_out():
    text = "# a study\n[budget]\ntrials = 4  # few\n\n[space]\nwidth = [\n  1,\n  2, # two\n]\n"
    assert edited(text, ("budget", "usd"), 0.5).splitlines()[1:4] == ["[budget]", "trials = 4  # few", "usd = 0.5"]
    assert edited(text, ("budget", "trials"), 8).splitlines()[2] == "trials = 8  # few"
    assert tomllib.loads(edited(text, ("space", "width"), None)) == {"budget": {"trials": 4}, "space": {}}
    assert edited(text, ("settings", "size"), 2).endswith("\n[settings]\nsize = 2\n")
    assert edited("", ("space", "a"), [1]) == "[space]\na = [1]\n"
    assert edited(text, ("name",), "x").splitlines()[:3] == ["# a study", 'name = "x"', "[budget]"]


def test_a_text_that_writes_it_in_another_way_is_written_anew():
    for text in ('space = { width = [1] }\nname = "x"', 'space.width = [1]\nname = "x"'):
        assert tomllib.loads(edited(text, ("space", "width"), [2, 3])) == {"space": {"width": [2, 3]}, "name": "x"}


def test_what_is_not_toml_is_not_edited():
    with pytest.raises(tomllib.TOMLDecodeError):
        edited("[", ("name",), "x")
