"""The cheap reference for questions: the sentence of the text that is nearest to the question by TF-IDF.

Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import math
import re
import time

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.answer_scores import answer_scores
from experiments.data.pair_arrays import load_pair_card
from experiments.data.questions import prepared_questions
from experiments.data.span_arrays import Written, load_written
from tracker.training.run import Run

SENTENCE = re.compile(r"[^\n]+?(?:[.!?](?=\s)|$)", re.MULTILINE)
"""Up to a full stop, an exclamation or a question mark before white space, or to the end of a line."""


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data, and ``threads``.

    A sentence that is looked up has no probability. The losses are those of the simplest model that has one: every
    character of a text alike.
    """
    settings, folder = run.settings, prepared_questions(run)
    card = load_pair_card(folder)
    splits = {split: load_written(folder, split) for split in card.rows}
    used = max(1, round(float(settings["train_share"]) * card.rows["train"]))
    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(settings["threads"])):
        weights = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)[^\W_]+")
        read = dict.fromkeys(splits["train"].text_of_question[:used])
        weights.fit([*(splits["train"].texts[place] for place in read), *splits["train"].questions[:used]])
        seconds = time.perf_counter() - begin
        with run.evaluating():
            losses = {
                "training_loss": uniform_loss(splits["train"], used),
                "validation_loss": uniform_loss(splits["validation"], _first(run, "validation", splits)),
            }
            found = nearest_sentences(weights, splits["validation"], _first(run, "validation", splits))
            scores = answer_scores(found, splits["validation"].answers[: len(found)])
        run.report(1, **losses, **scores)
        with run.evaluating():
            begin = time.perf_counter()
            found = nearest_sentences(weights, splits["test"], _first(run, "test", splits))
            test_seconds = time.perf_counter() - begin
            scores = answer_scores(found, splits["test"].answers[: len(found)])
    run.conclude(
        test_f1=scores["f1"],
        test_exact_match=scores["exact_match"],
        parameters=len(weights.vocabulary_),
        samples_per_second=used / seconds,
        predictions_per_second=len(found) / test_seconds,
    )


def nearest_sentences(weights: TfidfVectorizer, written: Written, first: int) -> list[str]:
    """Of each of the first ``first`` questions, the sentence nearest to it in its text, of equal ones the first."""
    asked, answers = weights.transform(written.questions[:first]), list[str]()
    sentences = [sentences_of(written.texts[place]) for place in written.text_of_question[:first]]
    vectors = weights.transform(sentence for of_text in sentences for sentence in of_text)
    ends = np.cumsum([len(of_text) for of_text in sentences])
    for row, (of_text, end) in enumerate(zip(sentences, ends, strict=True)):
        nearness = (vectors[end - len(of_text) : end] @ asked[row].T).toarray()
        answers.append(of_text[int(nearness.argmax())])
    return answers


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; the text itself where it has none."""
    return [found for each in SENTENCE.findall(text) if (found := each.strip())] or [text]


def uniform_loss(written: Written, first: int) -> float:
    """Mean cross-entropy of where answers start and end, every character alike."""
    return float(np.mean([math.log(max(1, len(written.texts[each]))) for each in written.text_of_question[:first]]))


def _first(run: Run, split: str, splits: dict[str, Written]) -> int:
    """How many questions of a split are asked."""
    return int(run.settings[f"{split}_questions"]) or len(splits[split].answers)
