"""The text workload tells the texts that a language model would read in its place, and how fast it is itself."""

from __future__ import annotations

import csv
import importlib.util
import time
from pathlib import Path

import pytest

from experiments.workloads.text_classifier import TextClassifier
from tracker.training.tokens import measure_tokens, token_counter
from tracker.training.workload import TellsTexts

REFERENCE = "experiments.workloads.text_classifier:TextClassifier"


def rows(path):
    with Path(path).open(newline="") as file:
        return {row["text"]: row["label"] for row in csv.DictReader(file)}


def test_the_texts_are_those_of_the_test_split_uncleaned_with_their_classes(topics, make_run, cache):
    run, _ = make_run()
    workload = TextClassifier()
    assert isinstance(workload, TellsTexts)
    shown = workload.prediction_texts(topics, run.settings, cache, 10_000)
    in_file = rows(topics["source"])
    assert [in_file[text] for text in shown.inputs] == list(shown.outputs), "stop words and digits are still there"
    assert len(shown.inputs) == run.data_card.rows["test"]
    assert (shown.split, shown.fingerprint) == ("test", run.data_card.fingerprint)


def test_fewer_texts_are_the_first_of_them(topics, make_run, cache):
    run, _ = make_run()
    every, few = (TextClassifier().prediction_texts(topics, run.settings, cache, limit) for limit in (10_000, 5))
    assert few.inputs == every.inputs[:5]
    assert few.outputs == every.outputs[:5]


@pytest.mark.skipif(importlib.util.find_spec("rs_bpe") is None, reason="the extra llm (rs-bpe) is not installed")
def test_their_tokens_are_counted_text_by_text(topics, make_run, cache):
    run, _ = make_run()
    measured = measure_tokens(REFERENCE, topics, {"size": 1}, cache, run.data_card.fingerprint)
    shown, count = TextClassifier().prediction_texts(topics, run.settings, cache, 10_000), token_counter()
    assert measured.texts == len(shown.inputs)
    assert measured.input_tokens == pytest.approx(sum(map(count, shown.inputs)) / len(shown.inputs))
    assert measured.output_tokens == pytest.approx(sum(map(count, shown.outputs)) / len(shown.outputs))


@pytest.mark.parametrize("train", [TextClassifier().train, *TextClassifier.baselines.values()])
def test_a_run_concludes_how_many_predictions_it_made_in_a_second(train, make_run):
    run, _ = make_run(epochs=1)
    begin = time.perf_counter()
    train(run)
    # Its test split was predicted within the time that the whole run took.
    assert run.summary["predictions_per_second"] > run.data_card.rows["test"] / (time.perf_counter() - begin)
