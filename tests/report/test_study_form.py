"""A study file as a form: fields show what the file says, and what is given in them is in the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.support.digits import Digits
from tests.support.studies import digits
from tracker.errors import RequestError, StudyFileError
from tracker.report.study_form import (
    MOST_BYTES,
    budget_fields,
    free_name,
    head_fields,
    knob_fields,
    moved,
    other_knobs,
    read_study_text,
    relative_paths,
    study_files,
    with_field,
)
from tracker.store.home import Home
from tracker.study.knobs import COMMON_KNOBS, Knob
from tracker.study.toml_text import to_toml

KNOBS = {**Digits.knobs, **COMMON_KNOBS}
TEXT = to_toml(
    digits(budget={"usd": 0.5}, space={"width": [4, 16], "learning_rate": {"low": 0.001, "high": 0.1, "log": True}})
)


def fields(text, table):
    return {field.label: field for field in knob_fields(tomllib.loads(text), KNOBS, table)}


def test_fields_show_what_the_file_says():
    content = tomllib.loads(TEXT)
    assert {field.label: field.text for field in head_fields(content)} == {"name": "digits", "seed": ""}
    assert [field.text for field in budget_fields(content)] == ["0.5", "4", "", ""]
    assert {name: field.text for name, field in fields(TEXT, "space").items()} == {
        "width": "4, 16",
        "learning_rate": "0.001 to 0.1, log",
    }
    assert fields(TEXT, "space")["width"].help == "Hidden units: a whole number from 1 to 512; 16 if empty"


@pytest.mark.parametrize(
    ("label", "given", "expected"),
    [
        ("width", "8", [8]),
        ("width", "8,16 , 32", [8, 16, 32]),
        ("width", "1 to 9, step 2", {"low": 1, "high": 9, "step": 2}),
        ("learning_rate", "1e-4 to .5, log", {"low": 1e-4, "high": 0.5, "log": True}),
        ("learning_rate", "{ low = 1, high = 2 }", {"low": 1, "high": 2}),
        ("width", "small, large", ["small", "large"]),  # the checks tell what is wrong with it
    ],
)
def test_what_is_searched_is_values_or_a_range(label, given, expected):
    changed = with_field(TEXT, fields(TEXT, "space")[label], given)
    assert tomllib.loads(changed)["space"][label] == expected
    assert tomllib.loads(
        with_field(changed, fields(changed, "space")[label], fields(changed, "space")[label].text)
    ) == (tomllib.loads(changed))


def test_texts_that_look_like_several_stay_one():
    text = '[space]\nword = ["a, b", "from 1 to 2"]\n'
    field = knob_fields(tomllib.loads(text), {"word": Knob("str", None, "a word")}, "space")[0]
    assert tomllib.loads(with_field(text, field, field.text)) == tomllib.loads(text)


@pytest.mark.parametrize("given", ["1 to 9, steps 2", "1 to 2, 5", "[1, 2", "{"])
def test_what_no_search_can_be_made_of_is_refused(given):
    with pytest.raises(RequestError, match="width: "):
        with_field(TEXT, fields(TEXT, "space")["width"], given)


def test_an_empty_field_takes_the_value_out_and_a_number_stays_one():
    usd = budget_fields(tomllib.loads(TEXT))[0]
    assert "usd" not in tomllib.loads(with_field(TEXT, usd, " "))["budget"]
    assert tomllib.loads(with_field(TEXT, usd, "2"))["budget"]["usd"] == 2
    assert tomllib.loads(with_field(TEXT, usd, "much"))["budget"]["usd"] == "much"
    name = head_fields(tomllib.loads(TEXT))[0]
    assert tomllib.loads(with_field(TEXT, name, "12"))["name"] == "12"


def test_a_knob_moves_between_fixed_and_searched():
    searched = tomllib.loads(moved(TEXT, "epochs", KNOBS["epochs"], "space"))
    assert searched["space"]["epochs"] == [3]
    assert "epochs" not in searched["settings"]
    fixed = tomllib.loads(moved(TEXT, "width", KNOBS["width"], "settings"))
    assert fixed["settings"]["width"] == 4
    assert "width" not in fixed["space"]
    assert tomllib.loads(moved(TEXT, "compile", KNOBS["compile"], "space"))["space"]["compile"] == [False, True]
    assert "compile" in other_knobs(searched, KNOBS, "space")
    assert "epochs" not in other_knobs(searched, KNOBS, "space")


def test_uploads_that_are_no_study_are_reported_in_a_sentence():
    with pytest.raises(RequestError, match=r"'big\.toml' has 10,000,000 bytes; a study file has at most 1,000,000"):
        read_study_text("big.toml", b"x" * 10 * MOST_BYTES)
    with pytest.raises(RequestError, match="is not UTF-8 text"):
        read_study_text("picture.png", b"\x89PNG\xff")
    with pytest.raises(StudyFileError, match="not valid TOML"):
        read_study_text("words.toml", b"not toml at all")
    assert read_study_text("a.toml", b'name = "a"\r\n') == 'name = "a"\n'


def test_paths_without_a_folder_are_named():
    content = {"workload": "own/train.py:train", "pricing": {"prices": "mine.toml"}}
    assert relative_paths(content) == ["own/train.py", "mine.toml"]
    assert relative_paths({"command": "./fit"}) == ["."]
    assert relative_paths({"workload": "a.b:C", "pricing": {"prices": "/etc/mine.toml"}}) == []


def test_files_and_names(tmp_path):
    (tmp_path / "b.toml").write_text("")
    (tmp_path / "a.txt").write_text("")
    assert study_files(tmp_path) == [tmp_path / "b.toml"]
    with pytest.raises(RequestError, match="cannot be read"):
        study_files(tmp_path / "nowhere")
    home = Home(tmp_path)
    assert free_name(home, "digits") == "digits"
    Path(home.study("digits")).mkdir(parents=True)
    assert free_name(home, "digits") == "digits-2"
