"""Questions from a file in SQuAD's form (Rajpurkar et al. 2016, arXiv:1606.05250; version 2: 2018, arXiv:1806.03822).

    {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [
        {"id": …, "question": …, "answers": [{"text": …, "answer_start": …}], "is_impossible": false}]}]}]}

A question that its text does not answer has ``"is_impossible": true`` and no answers, as in version 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.data.text_encoding import UNDECODABLE, encoding_of, open_text
from tracker.errors import DataError

SHOWN = 40
PLACES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Question:
    """A question about ``text``; ``answers`` are pieces of it and where each starts, none where it has no answer."""

    text: str
    question: str
    answers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row of a file that cannot be used, and why: a sentence that names the file and the row."""

    reason: str


def read_squad(path: Path) -> Iterator[tuple[str, Question | Unusable]]:
    """Each question of the file, in its order, after the title of its article.

    Raises DataError where the file is not of SQuAD's form; what is wrong with a question alone is Unusable.
    """
    number = 0
    for title, text, asked in _paragraphs(path):
        for row in asked:
            number += 1
            identity = row.get("id") if isinstance(row, dict) else None
            place = f"{path}: row {number}" + (f" (id {_shown(identity)})" if identity is not None else "")
            try:
                yield title or text, _question(text, row)
            except ValueError as error:
                yield title or text, Unusable(f"{place}: {error}")


def _paragraphs(path: Path) -> Iterator[tuple[str, str, list[Any]]]:
    """Title, text and questions of each paragraph. Raises DataError."""
    try:
        with open_text(path, encoding_of(path, "")) as file:
            whole = json.load(file)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as json: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    for number, article in enumerate(_list_of(whole, "data", str(path)), start=1):
        place = f"{path}: data {number}"
        paragraphs = _list_of(article, "paragraphs", place)
        title = article.get("title")
        for position, paragraph in enumerate(paragraphs, start=1):
            here = f"{place}, paragraph {position}"
            asked = _list_of(paragraph, "qas", here)
            text = paragraph.get("context")
            if not isinstance(text, str):
                raise DataError(f"{here}: its 'context' is {_shown(text)}; allowed: a text")
            yield title if isinstance(title, str) else "", text, asked


def _list_of(value: Any, name: str, place: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{place}: no list '{name}'; allowed: SQuAD's json, data → paragraphs → context and qas")
    return found


def _question(text: str, row: Any) -> Question:
    """The question of a row. Raises ValueError that says what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError(f"it is {_shown(row)}; allowed: an object with question and answers")
    question, answers, impossible = row.get("question"), row.get("answers", []), row.get("is_impossible", False)
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"its question is {_shown(question)}; allowed: a text")
    if not isinstance(impossible, bool):
        raise ValueError(f"is_impossible is {_shown(impossible)}; allowed: true or false")
    if not isinstance(answers, list):
        raise ValueError(f"its answers are {_shown(answers)}; allowed: a list")
    if impossible and answers:
        raise ValueError("is_impossible is true and it has an answer; one of the two is wrong")
    if not impossible and not answers:
        raise ValueError("it has no answer; a question without one says is_impossible = true")
    if UNDECODABLE.search(question) or UNDECODABLE.search(text):
        raise ValueError("its question or its text holds a byte that is not UTF-8, or half a surrogate pair")
    return Question(text, question, tuple(_answer(text, answer) for answer in answers))


def _answer(text: str, answer: Any) -> tuple[str, int]:
    given: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    found, start = given.get("text"), given.get("answer_start")
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f"an answer's text is {_shown(found)}; allowed: a piece of the text")
    if isinstance(start, bool) or not isinstance(start, int):
        raise ValueError(f"answer_start is {_shown(start)}; allowed: the place of the answer's first character")
    if start < 0 or not text.startswith(found, start):
        if found not in text:
            raise ValueError(f"the answer {_shown(found)} is not in its text")
        raise ValueError(f"the answer {_shown(found)} is at {_places(text, found)}, not at answer_start = {start}")
    return found, start


def _places(text: str, found: str) -> str:
    places, place = list[str](), text.find(found)
    while place >= 0 and len(places) < PLACES_SHOWN:
        places.append(str(place))
        place = text.find(found, place + 1)
    return " and ".join(places) + (" and more" if place >= 0 else "")


def _shown(value: Any) -> str:
    whole = repr(value).encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= SHOWN else f"{whole[: SHOWN - 1]}…"
