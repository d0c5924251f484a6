"""Paths in a study file's [data] lead to what lies beside the file, wherever the command runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.study.document import StudyDocument

STUDY = """
name = "tuning"
workload = "experiments.workloads.fine_tuner:FineTuner"

[data]
source = "texts/answers.jsonl"
base_models = ["models/small", "org/name", "library-1", "/elsewhere/model"]
template = "{source}/"
split_column = "models"

[smoke]
trials = 2
data = { source = "./few.jsonl" }
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "study"
    (folder / "models").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (folder / "models" / "small").symlink_to(tmp_path / "store")
    (folder / "texts").mkdir()
    for name in ("texts/answers.jsonl", "few.jsonl"):
        (folder / name).touch()
    (folder / "study.toml").write_text(STUDY)
    return folder


def test_what_lies_beside_the_file_is_found_from_anywhere_and_the_rest_stays_as_it_is(folder, monkeypatch):
    monkeypatch.chdir(folder.parent / "store")
    document = StudyDocument.read(folder / "study.toml")
    assert document.content["data"] == {
        "source": str(folder / "texts" / "answers.jsonl"),
        "base_models": [str(folder / "models" / "small"), "org/name", "library-1", "/elsewhere/model"],
        "template": "{source}/",
        "split_column": "models",
    }
    assert document.smoke().content["data"]["source"] == str(folder / "few.jsonl")
    assert document.anchored(folder.parent).content == document.content


def test_a_path_of_a_relative_study_file_is_whole_too(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    found = StudyDocument.read(Path("study/study.toml")).content["data"]["source"]
    assert found == str(folder / "texts" / "answers.jsonl")


def test_the_data_of_a_command_are_left_as_they_are(folder):
    text = STUDY.replace('workload = "experiments.workloads.fine_tuner:FineTuner"', 'command = "true {lr}"')
    (folder / "study.toml").write_text(text)
    assert StudyDocument.read(folder / "study.toml").content["data"]["source"] == "texts/answers.jsonl"


@pytest.mark.parametrize(
    "data", [{"a": "x/\0y"}, {"a": "x/" * 5000}, {"a": 3, "b": [1, None, {"c": "d/e"}]}, "no table"]
)
def test_values_of_any_kind_are_left_to_the_check(tmp_path, data):
    assert StudyDocument("study", {"data": data}).anchored(tmp_path).content == {"data": data}
