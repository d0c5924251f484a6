from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.data.pair_arrays import END, load_pairs, prepared_pairs
from experiments.data.text_pairs import load_corpus
from experiments.data.token_arrays import PADDING
from experiments.training_loop import LOOP_KNOBS
from experiments.translation_scores import text_scores
from experiments.workloads.translator import (
    Shape,
    TextTranslator,
    Translator,
    cross_entropy,
    measure,
    token_loss,
    training_flops,
)
from tests.support.runs import gallery_run
from tracker.errors import WorkloadError
from tracker.training.run import Paused
from tracker.training.workload import Predicts, TellsTexts, Workload

SHAPE = Shape(vocabulary_size=40, source_length=12, target_length=9, width=32, heads=2, depth=2, dropout=0.1)
SMALL = {
    "size": 1, "source_length": 8, "target_length": 8, "vocabulary_size": 64, "batch_size": 16, "epochs": 14,
    "learning_rate": 4e-3, "label_smoothing": 0.0, "dropout": 0.0, "beam_width": 2, "validation_pairs": 60,
}  # fmt: skip
SETTINGS = {name: knob.default for name, knob in TextTranslator.knobs.items() if knob.default is not None} | SMALL


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def reversals(tmp_path_factory):
    """A study's [data] table: letters, and the same letters the other way round."""
    path, chance = tmp_path_factory.mktemp("reversals") / "reversals.csv", random.Random(5)
    words = sorted({tuple(chance.choices("ABCDEF", k=chance.randint(2, 4))) for _ in range(1100)})
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([("source", "target"), *((" ".join(word), " ".join(reversed(word))) for word in words)])
    return {"source": str(path)}


class Attempt:
    """A run of the translator, with the events that it reported."""

    def __init__(self, data: dict[str, Any], cache: Path, artifacts: Path, seed: int = 2, **given: Any) -> None:
        given = {"seed": seed, **SMALL, **given}
        self.run, self.events = gallery_run(TextTranslator(), data, cache, artifacts, quality="chrf", **given)

    @property
    def reported(self) -> list[dict[str, float]]:
        return [payload["metrics"] for event, payload in self.events if event == "checkpoint"]


@pytest.fixture
def attempt(reversals, cache, tmp_path):
    def make(data=None, **given):
        return Attempt(data or reversals, cache, tmp_path / "artifacts", **given)

    return make


@pytest.fixture(scope="module")
def trained(reversals, cache, tmp_path_factory):
    """A finished training, and the folder of what it kept at its best epoch."""
    folder = tmp_path_factory.mktemp("trained")
    made = Attempt(reversals, cache, folder)
    TextTranslator().train(made.run)
    return made, max(folder.iterdir(), key=lambda path: int(path.name.partition("-")[2]))


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Translator(SHAPE).eval()


def some_tokens(rows, length):
    return torch.randint(END + 1, SHAPE.vocabulary_size, (rows, length))


def test_padding_of_the_source_changes_nothing_so_attention_ignores_it(model):
    source, target = some_tokens(3, 7), some_tokens(3, 5)
    padded = torch.cat([source, torch.full((3, 5), PADDING)], dim=1)
    torch.testing.assert_close(model(padded, target), model(source, target), rtol=1e-5, atol=1e-6)
    source_of_others = torch.cat([source[:1], some_tokens(1, 7)])
    torch.testing.assert_close(model(source_of_others, target[:2])[0], model(source, target)[0], rtol=1e-5, atol=1e-6)


def test_padding_of_the_target_changes_no_logit_before_it_and_no_loss(model):
    source, target = some_tokens(3, 7), some_tokens(3, 5)
    padded = torch.cat([target, torch.full((3, 4), PADDING)], dim=1)
    torch.testing.assert_close(model(source, padded)[:, :5], model(source, target), rtol=1e-5, atol=1e-6)
    losses = (cross_entropy(model, (source, each), label_smoothing=0.1) for each in (padded, target))
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-4)


def test_the_decoder_is_causal_and_every_earlier_token_matters(model):
    source, target = some_tokens(1, 7), some_tokens(1, 6)
    before = model(source, target)
    for changed in range(6):
        other = target.clone()
        other[0, changed] = END + 1 + (target[0, changed] - END) % (SHAPE.vocabulary_size - END - 1)
        differs = ((model(source, other) - before)[0].abs().amax(dim=1) > 1e-6).tolist()
        assert differs == [False] * changed + [True] * (6 - changed)


def test_every_source_token_matters_to_every_target_token(model):
    source, target = some_tokens(1, 7), some_tokens(1, 4)
    before = model(source, target)
    for changed in range(7):
        other = source.clone()
        other[0, changed] = END + 1 + (source[0, changed] - END) % (SHAPE.vocabulary_size - END - 1)
        assert ((model(other, target) - before)[0].abs().amax(dim=1) > 1e-7).all()


def test_decoding_one_token_at_a_time_gives_the_logits_of_all_at_once(model):
    source, target = some_tokens(3, 7), some_tokens(3, 9)
    source[1, 4:] = PADDING
    at_once, memory, past, stepwise = model(source, target), model.encode(source), None, []
    for position in range(9):
        logits, past = model.decode(target[:, position : position + 1], memory, source != PADDING, past)
        stepwise.append(logits)
    torch.testing.assert_close(torch.cat(stepwise, dim=1), at_once, rtol=1e-4, atol=1e-5)


def test_recomputing_activations_changes_no_gradient():
    gradients = []
    for recomputed in (False, True):
        torch.manual_seed(0)
        shape = Shape(40, 12, 9, width=32, heads=2, depth=2, dropout=0.0, activation_checkpointing=recomputed)
        learner = Translator(shape).train()
        cross_entropy(learner, (some_tokens(3, 7), some_tokens(3, 5))).backward()
        gradients.append([weight.grad for weight in learner.parameters()])
    torch.testing.assert_close(*gradients)


def test_the_dial_derives_width_heads_and_depth_and_each_can_be_set_alone():
    settings = {**SETTINGS, "size": 6}
    derived = Shape.of(settings, 100)
    assert (derived.width, derived.heads, derived.depth) == (192, 6, 3)
    assert Shape.of({**settings, "width": 100}, 100).heads == 2, "the most heads that share the width evenly"
    assert Shape.of({**settings, "heads": 8}, 100).heads == 8
    assert Shape.of({**settings, "depth": 1}, 100).depth == 1
    with pytest.raises(WorkloadError, match="width 192 cannot be shared by 5 heads"):
        Shape.of({**settings, "heads": 5}, 100)


def test_the_loss_of_an_epoch_is_that_of_its_tokens_however_batches_are_divided(attempt):
    made = attempt()
    pairs = load_pairs(prepared_pairs(made.run), "train", torch.device("cpu"), made.run.settings)
    torch.manual_seed(0)
    learner = Translator(Shape.of(made.run.settings, 64))
    loss = token_loss(made.run, pairs)

    def mean_over(plans):
        with torch.no_grad():
            return sum(loss(learner, pairs.batch(rows)).item() * len(rows) for rows in plans) / len(pairs)

    everything = pairs.batch(torch.arange(len(pairs)))
    tokens = (everything[1][:, 1:] != PADDING).sum().item()
    assert tokens == pairs.target_tokens
    expected = pytest.approx(cross_entropy(learner, everything).item() / tokens, rel=1e-4)
    assert mean_over(pairs.shuffled(32, 1, by_length=True)) == expected
    assert mean_over(pairs.shuffled(7, 2, by_length=False)) == expected


def test_flops_are_three_times_those_counted_in_a_forward_pass(attempt):
    made = attempt()
    pairs = load_pairs(prepared_pairs(made.run), "train", torch.device("cpu"), made.run.settings)
    learner, rows = Translator(Shape.of(made.run.settings, 64)).train(), torch.arange(50)
    source, target = pairs.batch(rows)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        learner(source, target[:, :-1])
    # The formula also counts biases and the gains of norms, which are few.
    assert training_flops(learner, pairs, [rows]) == pytest.approx(3 * counter.get_total_flops(), rel=0.05)


def test_it_learns_to_write_letters_the_other_way_round_and_reports_every_epoch(trained):
    made, _ = trained
    assert [event for event, _ in made.events if event != "figures"] == ["ready", *["checkpoint"] * 14]
    assert made.reported[-1]["chrf"] > 80 > 2 * made.reported[0]["chrf"]
    assert made.reported[-1]["bleu"] > 60 > 2 * made.reported[0]["bleu"]
    assert made.reported[-1]["training_loss"] < 0.5 * made.reported[0]["training_loss"]
    assert made.reported[-1]["validation_loss"] < 0.5 * made.reported[0]["validation_loss"]
    assert made.run.summary["test_chrf"] > 80
    assert made.run.summary["test_bleu"] > 60
    for figure in ("parameters", "flops", "samples_per_second", "predictions_per_second", "padding_share"):
        assert made.run.summary[figure] > 0


def test_the_kept_model_writes_what_was_measured(trained, cache):
    made, kept = trained
    workload = TextTranslator()
    assert isinstance(workload, Workload) and isinstance(workload, Predicts) and isinstance(workload, TellsTexts)
    pairs = load_corpus(made.run.data, cache, print).cut(made.run.settings).splits["validation"]
    sources, targets = zip(*pairs[: made.run.settings["validation_pairs"]], strict=True)
    texts = workload.predictor(kept, "fp32", torch.device("cpu"))(sources)
    of_epoch = made.reported[int(kept.name.partition("-")[2]) - 1]
    assert text_scores(texts, targets)["chrf"] == pytest.approx(of_epoch["chrf"])
    assert of_epoch["chrf"] == max(each["chrf"] for each in made.reported)


def test_prediction_texts_are_whole_pairs_of_the_test_split(trained, cache):
    made, _ = trained
    shown = TextTranslator().prediction_texts(made.run.data, made.run.settings, cache, 10_000)
    assert len(shown.inputs) == made.run.data_card.rows["test"]
    assert all(target == source[::-1] for source, target in zip(shown.inputs, shown.outputs, strict=True))
    assert (shown.split, shown.fingerprint) == ("test", made.run.data_card.fingerprint)
    assert TextTranslator().prediction_inputs(made.run.data, made.run.settings, cache, 7) == list(shown.inputs[:7])


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_the_kept_model_is_served_in_smaller_numbers(trained, cache, weights):
    made, kept = trained
    shown = TextTranslator().prediction_texts(made.run.data, made.run.settings, cache, 40)
    predict = TextTranslator().predictor(kept, weights, torch.device("cpu"))
    assert text_scores(predict(shown.inputs), shown.outputs)["chrf"] > 80
    assert all(isinstance(each, str) for each in predict(["", "Ω"])), "these have an answer too"


def test_a_training_that_was_paused_ends_as_one_that_was_not(attempt, tmp_path):
    given = {"epochs": 3, "train_share": 0.3, "dropout": 0.2, "weight_average": 0.9, "test_pairs": 40}
    whole = attempt(**given)
    TextTranslator().train(whole.run)
    state = {"state_path": tmp_path / "state.pt", **given}
    first = attempt(pause_after_epoch=1, **state)
    with pytest.raises(Paused):
        TextTranslator().train(first.run)
    second = attempt(**state)
    TextTranslator().train(second.run)
    assert first.reported + second.reported == whole.reported
    speeds = {"samples_per_second", "predictions_per_second"}
    for name in whole.run.summary.keys() - speeds:
        assert (first.run.summary | second.run.summary)[name] == whole.run.summary[name], name


def test_the_same_seed_gives_the_same_result_and_another_seed_another(attempt):
    reports = []
    for seed in (1, 1, 2):
        made = attempt(seed=seed, epochs=1, train_share=0.3, test_pairs=20)
        TextTranslator().train(made.run)
        reports.append(made.reported)
    assert reports[0] == reports[1] != reports[2]


def test_batches_of_like_length_save_padding_and_arithmetic(attempt):
    summaries = []
    for by_length in (True, False):
        made = attempt(epochs=1, bucket_by_length=by_length, validation_pairs=20, test_pairs=20)
        TextTranslator().train(made.run)
        summaries.append(made.run.summary)
    assert summaries[0]["padding_share"] < 0.6 * summaries[1]["padding_share"]
    assert summaries[0]["flops"] < summaries[1]["flops"]


def test_a_share_of_the_training_split_is_its_first_pairs(attempt):
    made = attempt(epochs=1, train_share=0.25, validation_pairs=20, test_pairs=20)
    folder, device = prepared_pairs(made.run), torch.device("cpu")
    everything = load_pairs(folder, "train", device, made.run.settings)
    first = load_pairs(folder, "train", device, made.run.settings, len(everything) // 4)
    assert first.texts == everything.texts[: len(everything) // 4]
    rows = torch.arange(len(first))
    assert all(torch.equal(*halves) for halves in zip(first.batch(rows), everything.batch(rows), strict=True))
    TextTranslator().train(made.run)
    learner, batch_size = Translator(Shape.of(made.run.settings, 64)), made.run.settings["batch_size"]
    of_all = training_flops(learner, everything, everything.shuffled(batch_size, 1, by_length=True))
    assert 0.2 < made.run.summary["flops"] / of_all < 0.35


def test_bfloat16_learns_as_well(attempt):
    losses = []
    for precision in ("fp32", "bf16"):
        made = attempt(precision=precision, epochs=4, validation_pairs=40, test_pairs=20)
        TextTranslator().train(made.run)
        losses.append(made.reported[-1]["validation_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] < 1.5, "six letters and an end are 1.9 without the source"


def test_measuring_tells_the_loss_of_whole_texts_and_scores_those_written(trained, cache):
    made, kept = trained
    pairs = load_pairs(prepared_pairs(made.run), "validation", torch.device("cpu"), made.run.settings, 30)
    learner = Translator(Shape(**json.loads((kept / "settings.json").read_text())["shape"])).eval()
    learner.load_state_dict(torch.load(kept / "model.pt", weights_only=True))
    vocabulary = ["[PAD]", "[UNK]", "[BEGIN]", "[END]", *(f"▁{letter}" for letter in "no such letters" * 9)]
    measured = measure(made.run, learner, pairs, vocabulary)
    with torch.no_grad():
        loss = cross_entropy(learner, pairs.batch(torch.arange(30))).item() / pairs.target_tokens
    assert measured.reported["validation_loss"] == pytest.approx(loss, rel=1e-4)
    assert measured.reported["chrf"] < 20, "what is written is compared as text"


def test_the_nearest_training_pair_is_measured_as_a_baseline_on_the_same_pairs(attempt):
    made = attempt()
    for train in TextTranslator.baselines.values():
        train(made.run)
    (reported,) = made.reported
    assert 0 < reported["chrf"] < 80
    assert 0 < reported["bleu"] < 80
    assert 1.5 < reported["validation_loss"] < 2.3, "six letters and an end, predicted by how frequent they are"
    assert made.run.summary["test_chrf"] == pytest.approx(reported["chrf"], abs=15)
    assert made.run.summary["predictions_per_second"] > 0


def test_a_source_that_stands_in_the_training_split_is_answered_by_its_target(tmp_path, cache):
    path = tmp_path / "pairs.csv"
    lines = ["source,target,split", "red apple,one,train", "green pear,two,train", "blue plum,three,train"]
    path.write_text("\n".join([*lines, "green pear,two,validation", "blue plum,three,test"]) + "\n")
    data = {"source": str(path), "split_column": "split"}
    made = Attempt(data, cache, tmp_path / "artifacts", deduplicate=False)
    TextTranslator.baselines["nearest training pair by TF-IDF"](made.run)
    assert made.reported[0]["chrf"] == pytest.approx(100)
    assert made.run.summary["test_chrf"] == pytest.approx(100)


def test_scores_are_those_of_the_papers_examples():
    assert text_scores(["the cat sat on the mat"], ["the cat sat on the mat"]) == pytest.approx(
        {"chrf": 100.0, "bleu": 100.0}
    )
    # Of four words' runs, 5 of 6, 4 of 5, 3 of 4 and 2 of 3 are in the reference.
    shown = text_scores(["the cat sat on the rug"], ["the cat sat on the mat"])
    assert shown["bleu"] == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    assert 70 < shown["chrf"] < 100
    assert text_scores([""], ["something"]) == {"chrf": 0.0, "bleu": 0.0}


def test_every_setting_of_the_loop_can_be_set():
    assert LOOP_KNOBS.keys() <= TextTranslator.knobs.keys()


def test_a_trial_imports_none_of_the_libraries_that_only_preparation_needs():
    heavy = ("tokenizers", "datasets", "sklearn", "pandas", "pyarrow", "scipy", "sacrebleu", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.translator; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(attempt, precision):
    made = attempt(device="cuda", precision=precision)
    TextTranslator().train(made.run)
    assert made.reported[-1]["chrf"] > 80
