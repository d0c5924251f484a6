"""Files in SQuAD's form that are garbled or say what makes no sense: questions, or what is wrong with them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from experiments.data.squad_file import Question, read_squad
from tests.fuzz.inputs import FUZZ, tried
from tests.fuzz.mutations import ODD_VALUES, as_json, changed_text, changed_value
from tracker.errors import TrackerError

CONTENT = {
    "version": "v2.0",
    "data": [
        {
            "title": "Norway",
            "paragraphs": [
                {
                    "context": "Oslo is in Norway — Bergen is too.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Where is Oslo?",
                            "answers": [{"text": "Norway", "answer_start": 11}],
                            "is_impossible": False,
                        },
                        {"id": "2", "question": "Where is Lima?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("squad") / "squad.json"


def read_whole(path):
    try:
        for title, row in read_squad(path):
            assert isinstance(title, str)
            if isinstance(row, Question):
                assert all(row.text[start:].startswith(answer) for answer, start in row.answers)
            else:
                assert "row" in row.reason and row.reason.isprintable()
    except TrackerError as error:
        assert str(path) in str(error)


@FUZZ
@given(changed_value(CONTENT) | ODD_VALUES)
def test_question_files_with_wrong_values(path, content):
    tried["question files with wrong values"] += 1
    path.write_text(as_json(content), encoding="utf-8", errors="surrogatepass")
    read_whole(path)


@FUZZ
@given(changed_text([json.dumps(CONTENT, ensure_ascii=False)]))
def test_question_files_with_garbled_text(path, text):
    tried["question files with garbled text"] += 1
    path.write_bytes(text.encode(errors="surrogatepass"))
    read_whole(path)
