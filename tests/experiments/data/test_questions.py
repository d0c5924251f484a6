"""Questions that templates make, and those of files in SQuAD's form, good and bad."""

from __future__ import annotations

import json
import textwrap

import pytest

from experiments.data.question_templates import QUESTIONS_A_FUNCTION, load_templates, questions_of
from experiments.data.questions import prepare_questions
from tracker.errors import DataError

TEXT = "Paris is in France. Oslo is in Norway, and Paris is larger."
GOOD = {"id": "a", "question": "Where is Oslo?", "answers": [{"text": "Norway", "answer_start": 31}]}
SETTINGS = {"vocabulary_size": 300}


def asked(source):
    return {question: (answer, text) for text, question, answer, _ in questions_of(textwrap.dedent(source).encode())}


def test_templates_ask_about_the_parts_of_a_signature_and_of_a_docstring(monkeypatch):
    monkeypatch.setattr("experiments.data.question_templates.QUESTIONS_A_FUNCTION", 20)
    found = asked(
        '''
        def scale(self, values: list[int], /, by: float=2.0, *rest, exact: bool=False) -> "Scaled":
            """Multiply all of the values. Then return them.

            Args:
                by (float): the number to multiply with
            :param exact: whether to round at all
            """
        '''
    )
    assert {question: answer for question, (answer, _) in found.items()} == {
        "What type is values?": "list[int]",
        "What type is by?": "float",
        "What type is exact?": "bool",
        "What is the default of by?": "2.0",
        "What is the default of exact?": "False",
        "Which argument comes after values?": "by",
        "Which argument comes after by?": "rest",
        "Which argument comes after rest?": "exact",
        "What type does scale return?": "'Scaled'",
        "What does scale do?": "Multiply all of the values.",
        "What is by for?": "the number to multiply with",
        "What is exact for?": "whether to round at all",
    }
    (text,) = {text for _, text in found.values()}
    assert text.startswith(
        "scale(self, values: list[int], /, by: float=2.0, *rest, exact: bool=False) -> 'Scaled'\nMultiply all"
    )


def test_a_real_extraction_asks_a_few_questions_a_function_in_every_split(tmp_path):
    rows, _ = load_templates(tmp_path, print, "rich", 20)
    assert {split for *_, split in rows} == {"train", "validation", "test"}
    assert all(text[start : start + len(answer)] == answer for text, _, answer, start, _ in rows)
    assert len(rows) <= QUESTIONS_A_FUNCTION * len({text for text, *_ in rows}) * 4, "copies of a function are few"


def squad(rows, text=TEXT, title="cities"):
    return {"data": [{"title": title, "paragraphs": [{"context": text, "qas": rows}]}]}


def folder_of(tmp_path, *bad):
    """Three files in SQuAD's form; that of the training has the bad rows after a good one."""
    for split in ("train", "validation", "test"):
        rows = [GOOD, *(bad if split == "train" else ())]
        (tmp_path / f"{split}.json").write_text(json.dumps(squad(rows)))
    return {"source": str(tmp_path)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": [{"text": "Rome", "answer_start": 0}]}, "the answer 'Rome' is not in its text"),
        (
            {"answers": [{"text": "Paris", "answer_start": 3}]},
            "the answer 'Paris' is at 0 and 43, not at answer_start = 3",
        ),
        ({"answers": [{"text": "Paris", "answer_start": -59}]}, "is at 0 and 43, not at answer_start = -59"),
        ({"answers": [{"text": "Paris", "answer_start": "0"}]}, "answer_start is '0'; allowed"),
        ({"answers": [{"text": "Paris", "answer_start": True}]}, "answer_start is True; allowed"),
        ({"answers": [{"text": "", "answer_start": 0}]}, "an answer's text is ''; allowed"),
        ({"answers": ["Paris"]}, "an answer's text is None; allowed"),
        ({"answers": "Paris"}, "its answers are 'Paris'; allowed: a list"),
        ({"answers": []}, "it has no answer; a question without one says is_impossible = true"),
        ({"is_impossible": True}, "is_impossible is true and it has an answer"),
        ({"is_impossible": "yes"}, "is_impossible is 'yes'; allowed: true or false"),
        ({"question": None}, "its question is None; allowed: a text"),
        ({"question": "\ud800?"}, "half a surrogate pair"),
    ],
)
def test_a_question_that_cannot_be_used_is_named_by_file_and_row_or_skipped_and_counted(tmp_path, change, message):
    data, notes = folder_of(tmp_path, {**GOOD, "id": "b", **change}), []
    with pytest.raises(DataError) as refused:
        prepare_questions(data, SETTINGS, tmp_path / "cache", notes.append)
    assert "train.json: row 2 (id 'b'): " in str(refused.value) and message in str(refused.value)
    assert "corrupt = 'skip' leaves such questions out" in str(refused.value)
    folder = prepare_questions({**data, "corrupt": "skip"}, SETTINGS, tmp_path / "cache", notes.append)
    card = json.loads((folder / "pairs.json").read_text())
    assert card["rows"] == {"train": 1, "validation": 1, "test": 1}
    assert "; 1 that cannot be used left out" in card["description"]
    assert any(note.startswith("left out: ") and "row 2" in note for note in notes)


def test_a_row_that_is_no_object_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train.json: row 2: it is 3; allowed: an object"):
        prepare_questions(folder_of(tmp_path, 3), SETTINGS, tmp_path / "cache", print)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as json"),
        ("[" * 100_000, "cannot be read as json"),
        ("[]", "no list 'data'"),
        ('{"data": [{"paragraphs": 3}]}', "data 1: no list 'paragraphs'"),
        ('{"data": [{"paragraphs": [{"context": "a"}]}]}', "data 1, paragraph 1: no list 'qas'"),
        ('{"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}', "data 1, paragraph 1: its 'context' is 3"),
        ('{"data": []}', "the train split has no question with an answer"),
    ],
)
def test_a_file_of_another_form_is_refused_whatever_is_skipped(tmp_path, content, message):
    path = tmp_path / "squad.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        prepare_questions({"source": str(path), "corrupt": "skip"}, SETTINGS, tmp_path / "cache", print)


def test_a_single_file_is_split_by_article(tmp_path):
    path = tmp_path / "squad.json"
    articles = [squad([GOOD, {**GOOD, "id": "b"}], title=f"article {number}")["data"][0] for number in range(60)]
    path.write_text(json.dumps({"data": articles}))
    folder = prepare_questions({"source": str(path)}, SETTINGS, tmp_path / "cache", print)
    rows = json.loads((folder / "pairs.json").read_text())["rows"]
    assert sum(rows.values()) == 120 and all(count and count % 2 == 0 for count in rows.values())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "nowhere.json"}, "neither 'templates' nor a file or folder"),
        ({"source": ""}, "lacks train.json"),
        ({"source": "templates", "corrupt": "skip"}, "not for source = 'templates'"),
        ({"source": "templates", "files_per_package": -1}, "data option 'files_per_package'"),
        ({"source": "templates", "distribution": "no such one"}, "is not installed"),
    ],
)
def test_a_source_that_cannot_be_is_refused(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        prepare_questions(data, SETTINGS, tmp_path, print)
