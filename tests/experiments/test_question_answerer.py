"""The question answerer: what it learns, whose questions it takes, and what it says of questions that are none."""

from __future__ import annotations

import json
import random

import pytest
import torch

from experiments.answer_scores import answer_scores
from experiments.data.questions import prepare_questions
from experiments.data.span_arrays import load_windows, load_written
from experiments.workloads.question_answerer import (
    QuestionAnswerer,
    Reader,
    Shape,
    best_spans,
    cross_entropy,
)
from tests.support.runs import check_servable, checkpoints, gallery_run, kept_folder
from tracker.errors import DataError
from tracker.training.run import Paused
from tracker.training.workload import WEIGHTS

PLACES = ["Rome", "Oslo", "Lima", "Accra", "Quito", "Hanoi", "Sofia", "Turin"]
SMALL = {
    "size": 1, "context_length": 48, "question_length": 12, "vocabulary_size": 200, "batch_size": 16, "epochs": 5,
    "learning_rate": 1e-2, "dropout": 0.0, "answer_length": 8,
}  # fmt: skip


def article(title, draw, unanswered=False):
    """A text of where people live, asked about one of them, in SQuAD's form."""
    names = draw.sample(["Ann", "Bob", "Cem", "Dora", "Eli"], 3)
    places = draw.sample(PLACES, 3)
    text = " ".join(f"{name} lives in {place}." for name, place in zip(names, places, strict=True))
    asked, place = draw.choice(list(zip(names, places, strict=True)))
    row = {"id": title, "question": f"Where does {asked} live?"}
    if unanswered and draw.random() < 0.4:
        row |= {"question": "Where does Zoe live?", "answers": [], "is_impossible": True}
    else:
        row |= {"answers": [{"text": place, "answer_start": text.index(place)}]}
    return {"title": title, "paragraphs": [{"context": text, "qas": [row]}]}


def write_squad(path, count=300, unanswered=False):
    draw = random.Random(5)
    articles = [article(f"article {number}", draw, unanswered) for number in range(count)]
    path.write_text(json.dumps({"version": "1.1", "data": articles}))
    return {"source": str(path)}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    return write_squad(tmp_path_factory.mktemp("squad") / "places.json")


@pytest.fixture(scope="module")
def question_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(asked, question_cache, tmp_path):
    """Makes a run of the question answerer, with the list that its events go to."""

    def make(data=None, **given):
        folders = question_cache, tmp_path / "artifacts"
        return gallery_run(QuestionAnswerer(), data or asked, *folders, quality="f1", **SMALL | given)

    return make


def test_it_is_a_workload_whose_models_can_be_served():
    check_servable("experiments.workloads.question_answerer:QuestionAnswerer")


def test_it_learns_from_a_file_better_than_the_baseline_and_keeps_a_model_that_answers(make_run, tmp_path):
    run, events = make_run(epochs=16)
    QuestionAnswerer().train(run)
    baseline, its_events = make_run()
    for train in QuestionAnswerer.baselines.values():
        train(baseline)
    (checkpoint,) = checkpoints(its_events)
    assert max(each["exact_match"] for each in checkpoints(events)) > 80 > checkpoint["exact_match"]
    assert 20 < checkpoint["f1"] < 60, "the sentence of the right person, of which the place is one word in four"
    assert run.summary["parameters"] > 0 and run.summary["flops"] > 0 and baseline.summary["test_f1"] > 20
    predict = QuestionAnswerer().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    text = "Bob lives in Oslo. Ann lives in Lima. Cem lives in Turin."
    assert predict([{"question": f"Where does {name} live?", "context": text} for name in ("Ann", "Cem")]) == [
        "Lima",
        "Turin",
    ]


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    found = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed, epochs=2)
        QuestionAnswerer().train(run)
        found.append(checkpoints(events))
    assert found[0] == found[1] != found[2]


def test_a_paused_and_resumed_training_is_the_uninterrupted_one(make_run, tmp_path):
    whole, events = make_run(epochs=3, dropout=0.2)
    QuestionAnswerer().train(whole)
    state = tmp_path / "state.pt"
    paused, first = make_run(epochs=3, dropout=0.2, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        QuestionAnswerer().train(paused)
    resumed, second = make_run(epochs=3, dropout=0.2, state_path=state)
    QuestionAnswerer().train(resumed)
    assert checkpoints(first) + checkpoints(second) == checkpoints(events)


def test_questions_without_an_answer_are_learnt_and_answered_by_nothing(make_run, tmp_path):
    run, events = make_run(data=write_squad(tmp_path / "v2.json", unanswered=True), epochs=16)
    assert "without an answer" in run.data_card.description
    QuestionAnswerer().train(run)
    assert max(each["exact_match"] for each in checkpoints(events)) > 70
    predict = QuestionAnswerer().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    text = "Bob lives in Oslo. Ann lives in Lima. Cem lives in Turin."
    assert predict([{"question": "Where does Zoe live?", "context": text}]) == [""]


def test_a_text_longer_than_the_context_is_looked_at_in_windows(asked, question_cache):
    settings = {**SMALL, "context_length": 8}
    folder = prepare_questions(asked, settings, question_cache, lambda _: None)
    windows, written = load_windows(folder, "train", torch.device("cpu"), settings), load_written(folder, "train")
    assert len(windows) > 2 * len(windows.questions)
    covered = windows.question[(windows.spans > 0).all(dim=1)].unique()
    assert len(covered) == len(windows.questions), "half of a window overlaps with the next"
    for row in range(40):
        question, text, span = windows.batch(torch.tensor([row]))
        assert question.shape[1] <= 12 and text.shape[1] <= 8
        first, last = (int(windows.begin[row]) + span[0] - 1).tolist()
        if span[0, 0]:
            assert written.span(int(windows.question[row]), first, last) in written.answers[windows.question[row]]


def test_padding_changes_no_logit_and_no_position_of_it_is_chosen():
    torch.manual_seed(0)
    model = Reader(Shape(50, 12, 20, 32, 2, 0.0)).eval()
    question, text = torch.randint(2, 50, (1, 5)), torch.randint(2, 50, (1, 9))
    alone = model(question, text)
    padded = model(torch.cat([question, question * 0], 1), torch.cat([text, text * 0], 1))
    assert torch.allclose(alone, padded[:, :10], atol=1e-5)
    assert padded[:, 10:].isneginf().all()
    first, last = best_spans(padded, 3)[0, 2:].tolist()
    assert 0 <= first <= last < min(9, first + 3)


def test_smoothing_spreads_over_the_positions_that_are_there():
    logits = torch.tensor([[[1.0, 0.0], [2.0, 0.5], [-torch.inf, -torch.inf]]])
    spans = torch.tensor([[1, 0]])
    plain, smooth = (cross_entropy(logits, spans, share) for share in (0.0, 0.2))
    likelihood = logits[:, :2].log_softmax(1)
    assert smooth == pytest.approx(float(0.8 * plain - 0.2 * likelihood.mean()))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_kept_model_predicts_in_every_number_format(make_run, tmp_path, asked, question_cache, weights):
    run, _ = make_run(epochs=1)
    QuestionAnswerer().train(run)
    workload = QuestionAnswerer()
    predict = workload.predictor(kept_folder(tmp_path), weights, torch.device("cpu"))
    inputs = workload.prediction_inputs(asked, run.settings, question_cache, 6)
    answers = predict(inputs)
    assert len(answers) == len(inputs) == 6
    assert all(answer and answer in given["context"] for answer, given in zip(answers, inputs, strict=True))
    assert predict([]) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("who?", "input 1: its question is 'None'"),
        ({"question": "who?"}, "input 1: its context is 'None'"),
        ({"question": 3, "context": "a"}, "input 1: its question is '3'"),
    ],
)
def test_what_is_no_question_is_refused_by_its_number(make_run, tmp_path, given, message):
    run, _ = make_run(epochs=1)
    QuestionAnswerer().train(run)
    predict = QuestionAnswerer().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    with pytest.raises(DataError, match=message):
        predict([given])


def test_the_scores_are_those_of_torchmetrics():
    text = pytest.importorskip("torchmetrics.text")
    draw = random.Random(3)
    words = ["the", "a", "Cat,", "cat", "sat", "on", "Mat.", "x-1", "", "—"]
    found = [" ".join(draw.choices(words, k=draw.randrange(5))) for _ in range(200)]
    right = [[" ".join(draw.choices(words, k=draw.randrange(5))) for _ in range(draw.randint(1, 3))] for _ in found]
    library = text.SQuAD()(
        [{"prediction_text": answer, "id": str(number)} for number, answer in enumerate(found)],
        [
            {"answers": {"text": answers, "answer_start": [0] * len(answers)}, "id": str(number)}
            for number, answers in enumerate(right)
        ],
    )
    assert answer_scores(found, right) == pytest.approx({name: float(score) for name, score in library.items()})
    assert answer_scores([""], [[]]) == {"exact_match": 100, "f1": 100}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, precision):
    run, events = make_run(device="cuda", precision=precision, epochs=16)
    QuestionAnswerer().train(run)
    assert checkpoints(events)[-1]["exact_match"] > 60
