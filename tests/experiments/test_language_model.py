from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.benchmarks.minimal_gpt import train_minimal
from experiments.data.token_streams import TokenStream, load_stream, prepare_streams
from experiments.data.windows import NO_TARGET, evaluation_windows, steps_per_epoch, training_windows
from experiments.stream_scores import stream_scores
from experiments.workloads.byte_ngrams import ByteNgrams
from experiments.workloads.language_model import Gpt, LanguageModel, Shape, causal_attention, text_scores, write_on
from tests.support.runs import gallery_run
from tracker.errors import DataError, TrainingFailedError, WorkloadError
from tracker.training.precision import PRECISIONS
from tracker.training.run import Paused

SHAPE = Shape(vocabulary_size=256, context_length=24, width=32, heads=2, depth=2, dropout=0.0)
CPU = torch.device("cpu")
SMALL = {
    "width": 32, "heads": 2, "depth": 1, "context_length": 32, "batch_size": 8, "epochs": 3, "learning_rate": 1e-2,
}  # fmt: skip
VERBS, THINGS = ("sees", "takes", "draws", "sells"), ("a boat", "the lamp", "an apple", "two chairs")


def write_stories(path, files=30, lines=25):
    """Short files of the same few sentences, in two folders."""
    chance = random.Random(3)
    for number in range(files):
        place = path / ("old", "new")[number % 2] / f"{number}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        shown = [f"Ann {chance.choice(VERBS)} {chance.choice(THINGS)}.\n" for _ in range(lines)]
        place.write_text("".join(shown))
    return {"source": str(path)}


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    return write_stories(tmp_path_factory.mktemp("stories"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(stories, cache, tmp_path):
    """Makes a run of the language model, with the list that its events go to."""

    def make(data=None, **given):
        source = stories if data is None else data
        return gallery_run(
            LanguageModel(), source, cache, tmp_path / "artifacts", quality="bits_per_byte", **SMALL | given
        )

    return make


def metrics(events):
    return [payload["metrics"] for event, payload in events if event == "checkpoint"]


def logits_of(model, tokens, precision):
    with torch.no_grad(), PRECISIONS[precision].autocast(CPU):
        return model(tokens).float()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_later_token_changes_no_earlier_logit_and_an_earlier_one_changes_later_ones(precision):
    torch.manual_seed(0)
    model = Gpt(Shape(256, context_length=200, width=32, heads=2, depth=2, dropout=0.0)).eval()
    for parameter in model.parameters():
        parameter.data.mul_(5)  # so that what is mixed in shows in bfloat16 too
    tokens = torch.randint(256, (1, 200))
    before = logits_of(model, tokens, precision)
    for place in (1, 127, 128, 150, 199):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % 256
        after = logits_of(model, changed, precision)
        assert torch.equal(before[0, :place], after[0, :place])
        assert not torch.equal(before[0, place:], after[0, place:])
        if place < 199:
            assert not torch.equal(before[0, -1], after[0, -1]), "the last position sees all before it"


@pytest.mark.parametrize("length", [5, 128, 300])
def test_attention_in_bfloat16_is_the_formula_and_so_is_its_gradient(length):
    torch.manual_seed(0)
    inputs = torch.randn(3, 2, 2, length, 16, dtype=torch.float64)
    exact = inputs.clone().requires_grad_()
    query, key, value = exact
    scores = query @ key.transpose(-2, -1) / 4
    scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
    expected = scores.softmax(dim=-1) @ value
    expected.square().sum().backward()
    rough = inputs.bfloat16().requires_grad_()
    got = causal_attention(*rough)
    got.square().sum().backward()
    assert (got.double() - expected).abs().max() < 5e-2
    assert (rough.grad.double() - exact.grad).norm() / exact.grad.norm() < 2e-2


def test_an_untrained_model_finds_all_tokens_about_equally_likely():
    torch.manual_seed(0)
    model = Gpt(Shape(500, context_length=64, width=64, heads=1, depth=2, dropout=0.0))
    tokens = torch.randint(500, (8, 65))
    assert model(tokens[:, :-1], tokens[:, 1:]).item() == pytest.approx(math.log(512), abs=0.05), (
        "500, filled up to 512"
    )


def test_positions_are_distinguished_and_only_their_distance_counts_at_first():
    torch.manual_seed(0)
    model = Gpt(SHAPE).double().eval()
    tokens = torch.tensor([[1, 2, 3, 1, 2, 3]])
    logits = model(tokens)[0]
    assert not torch.allclose(logits[2], logits[5]), "the same token after the same two, but later"
    swapped = model(torch.tensor([[2, 1, 3]]))[0]
    assert not torch.allclose(logits[2], swapped[2]), "the same tokens in another order"


def test_activation_checkpointing_changes_no_loss_and_no_gradient():
    losses, gradients = [], []
    tokens = torch.randint(256, (4, 25))
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = Gpt(Shape(256, 24, 32, 2, 2, dropout=0.1, activation_checkpointing=checkpointing)).train()
        loss = model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([each.grad.flatten() for each in model.parameters()]))
    assert losses[0] == losses[1]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_dial_derives_width_heads_and_depth_and_each_can_be_set_alone():
    settings = {"size": 12, "context_length": 1024, "dropout": 0.0, "activation_checkpointing": False}
    derived = Shape.of(settings, 50257)
    assert (derived.width, derived.heads, derived.depth, derived.padded_vocabulary) == (768, 12, 12, 50304)
    with torch.device("meta"):
        parameters = sum(each.numel() for each in Gpt(derived).parameters())
    assert parameters == pytest.approx(124e6, rel=0.01), "the smallest GPT-2"
    assert Shape.of({**settings, "width": 512}, 256).heads == 8
    assert Shape.of({**settings, "heads": 6}, 256).heads == 6
    assert Shape.of({**settings, "depth": 5}, 256).depth == 5
    with pytest.raises(WorkloadError, match="width 30 gives 2 heads 15 each; an even number is needed"):
        Shape.of({**settings, "width": 30, "heads": 2}, 256)


def test_flops_follow_the_formula():
    model = Gpt(SHAPE)
    parameters = 256 * 32 + 2 * (12 * 32 * 32 + 2 * 32) + 32
    assert model.flops_per_token == 6 * parameters + 12 * 2 * 32 * 24


def test_an_epoch_reads_each_place_of_the_text_once_at_most_in_windows_with_what_follows():
    tokens = torch.arange(1000, dtype=torch.int32)
    windows = list(training_windows(tokens, 16, 4, seed=1))
    assert len(windows) == steps_per_epoch(tokens, 16, 4) == 15
    inputs, targets = (torch.cat(each) for each in zip(*windows, strict=True))
    assert torch.equal(inputs + 1, targets) and torch.equal(inputs[:, 0] + 15, inputs[:, -1])
    assert len(inputs.flatten().unique()) == inputs.numel() == 60 * 16
    starts = inputs[:, 0].tolist()
    assert starts != sorted(starts)
    assert torch.equal(inputs, torch.cat([each for each, _ in training_windows(tokens, 16, 4, seed=1)]))
    assert not torch.equal(inputs, torch.cat([each for each, _ in training_windows(tokens, 16, 4, seed=2)]))


def test_a_text_of_one_window_makes_one_step_and_a_shorter_one_is_refused():
    (inputs, _), *more = training_windows(torch.arange(20), 16, 4, seed=0)
    assert inputs.shape == (1, 16) and not more
    with pytest.raises(DataError, match="has 15 tokens, fewer than a context_length of 16"):
        list(training_windows(torch.arange(16), 16, 4, seed=0))


@pytest.mark.parametrize("length", [2, 17, 1000, 20_001])
def test_evaluation_foretells_every_token_but_the_first_once(length):
    tokens, slices = torch.arange(length), np.arange(length - 1, dtype=np.int32) + 1
    batches = list(evaluation_windows(tokens, slices, 16))
    assert len({inputs.shape for inputs, _, _ in batches}) == 1
    inputs, targets, of_slice = (torch.cat(each).flatten() for each in zip(*batches, strict=True))
    counted = targets != NO_TARGET
    assert torch.equal(targets[counted], tokens[1:])
    assert torch.equal(inputs[counted], tokens[:-1])
    assert torch.equal(of_slice[counted], tokens[1:].int())


def test_bits_per_byte_are_minus_log2_of_the_probability_of_the_text_over_its_bytes(make_run, cache, stories):
    run, _ = make_run()
    prepared = prepare_streams(stories, run.settings, cache, print)
    stream = load_stream(prepared, "validation", CPU)
    torch.manual_seed(0)
    model = Gpt(SHAPE).eval()
    bits, tokens = 0.0, stream.tokens.long()
    for begin in range(0, len(tokens) - 1, 24):
        window = tokens[begin : begin + 25]
        with torch.no_grad():
            chances = model(window[None, :-1])[0].double().softmax(dim=-1)
        bits -= float(chances[torch.arange(len(window) - 1), window[1:]].log2().sum())
    scores = text_scores(run, model, stream)
    assert scores.bits_per_byte == pytest.approx(bits / (len(tokens) - 1), rel=1e-6)
    assert scores.loss / math.log(2) == pytest.approx(scores.bits_per_byte, rel=1e-6), "a token is a byte"


def test_bits_per_byte_count_bytes_and_not_tokens_and_the_worst_slice_is_reported():
    stream = TokenStream(torch.zeros(5), np.array([2000, 6000, 4000, 9000]), np.array([0, 1, 0, 2]))
    scores = stream_scores(stream, np.array([3000.0, 9000.0, 4000.0]) * math.log(2))
    assert scores.bits_per_byte == pytest.approx(16 / 21)
    assert scores.loss == pytest.approx(16_000 * math.log(2) / 4)
    assert scores.worst_slice_bits_per_byte == pytest.approx(1.5)
    small = stream_scores(TokenStream(torch.zeros(2), np.array([1]), np.array([0])), np.array([1.0]))
    assert small.worst_slice_bits_per_byte == small.bits_per_byte, "no slice is large enough"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_learns_reports_every_epoch_and_keeps_a_model_that_writes(make_run, tmp_path, precision):
    run, events = make_run(precision=precision, epochs=4)
    LanguageModel().train(run)
    assert [event for event, _ in events if event != "figures"] == ["ready", *["checkpoint"] * 4]
    reported = metrics(events)
    assert reported[-1]["bits_per_byte"] < 1.5, "8 before training"
    assert reported[-1]["training_loss"] < reported[0]["training_loss"]
    assert run.summary["test_bits_per_byte"] < 1.5
    for figure in ("parameters", "flops", "samples_per_second", "tokens_per_second", "predictions_per_second"):
        assert run.summary[figure] > 0
    samples = (tmp_path / "artifacts" / "samples.txt").read_text()
    assert samples.count("=== it writes:") == 3
    kept = max((tmp_path / "artifacts").glob("epoch-*"))
    prompts = LanguageModel().prediction_inputs(run.data, run.settings, run.cache, 4)
    assert len(prompts) == 4
    for weights in ("fp32", "bf16", "int8"):
        predict = LanguageModel().predictor(kept, weights, CPU)
        written = predict(prompts[:1])
        assert any(verb in written[0] for verb in VERBS)
        assert written == predict(prompts[:1]) and 0 < len(written[0]) <= 100
    assert isinstance(predict([""])[0], str)
    assert json.loads((kept / "settings.json").read_text())["settings"]["precision"] == precision


def test_a_model_learns_a_short_text_by_heart(make_run, tmp_path):
    path = tmp_path / "pi.txt"
    path.write_text("3.14159265358979323846264338327950288419716939937510582097494459230781640628\n" * 8)
    run, events = make_run(data={"source": str(path)}, width=64, epochs=60, batch_size=4, deduplicate=False)
    LanguageModel().train(run)
    assert metrics(events)[-1]["training_loss"] < 0.25, "the first bytes of a window are anyone's guess"


def test_tokens_are_learnt_from_the_training_split_and_scored_by_the_byte(make_run, tmp_path):
    run, events = make_run(vocabulary_size=300, epochs=4)
    LanguageModel().train(run)
    last = metrics(events)[-1]
    assert last["bits_per_byte"] < 1.5
    assert last["validation_loss"] / math.log(2) > 2 * last["bits_per_byte"], "a token is several bytes"
    kept = max((tmp_path / "artifacts").glob("epoch-*"))
    written = LanguageModel().predictor(kept, "fp32", CPU)(["Ann sees"])
    assert any(thing in written[0] for thing in THINGS)


def test_paused_and_resumed_is_the_same_as_uninterrupted(make_run, tmp_path):
    whole, of_whole = make_run(dropout=0.1)
    LanguageModel().train(whole)
    state = tmp_path / "state.pt"
    first, of_first = make_run(dropout=0.1, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        LanguageModel().train(first)
    second, of_second = make_run(dropout=0.1, state_path=state)
    LanguageModel().train(second)
    assert metrics(of_first) + metrics(of_second) == metrics(of_whole)
    assert second.summary["test_bits_per_byte"] == whole.summary["test_bits_per_byte"]
    assert second.summary["flops"] == whole.summary["flops"]


def test_another_seed_gives_another_result(make_run):
    reported = []
    for seed in (1, 2):
        run, events = make_run(seed=seed, epochs=1)
        LanguageModel().train(run)
        reported.append(metrics(events))
    assert reported[0] != reported[1]


def test_a_training_that_diverges_fails_as_not_finite(make_run):
    run, _ = make_run(learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(TrainingFailedError) as failure:
        LanguageModel().train(run)
    assert failure.value.reason == "not_finite"


def test_a_context_longer_than_the_text_is_reported_with_both(make_run):
    run, _ = make_run(train_bytes=100, context_length=101)
    with pytest.raises(DataError, match="has 100 tokens, fewer than a context_length of 101"):
        LanguageModel().train(run)


def test_heads_that_cannot_share_the_width_are_refused_before_anything_is_prepared(stories, make_run, tmp_path):
    run, _ = make_run()
    with pytest.raises(WorkloadError, match="width 64 cannot be shared by 5 heads"):
        LanguageModel().prepare(stories, {**run.settings, "width": 64, "heads": 5}, tmp_path / "empty", print)
    assert not (tmp_path / "empty").exists()


def test_data_that_changed_since_the_study_began_are_refused(make_run, tmp_path, cache):
    data = write_stories(tmp_path / "mine")
    run, _ = make_run(data=data)
    (next(Path(data["source"]).rglob("*.txt"))).write_text("Something else.\n")
    run.settings = {**run.settings, "deduplicate": False}
    with pytest.raises(DataError, match="no longer those that the study started with"):
        LanguageModel().train(run)


def test_writing_on_stops_at_the_end_of_a_text_and_after_its_time():
    torch.manual_seed(0)
    model = Gpt(SHAPE).eval()
    with torch.no_grad():
        model.tokens.weight[7] = 10 * model.states(torch.tensor([[1, 2]]))[0, -1]
    asked = {"temperature": 1.0, "seed": 0, "seconds": math.inf}
    assert write_on(model, [1, 2], 5, stop=7, **asked) == []
    assert write_on(model, [1, 2], 5, stop=8, **asked)[0] == 7
    assert len(write_on(model, [1] * 100, 5, stop=8, **asked)) == 5, "longer than the context"
    assert write_on(model, [1, 2], 5, stop=8, temperature=1.0, seed=0, seconds=0.0) == []


@pytest.fixture(scope="module")
def ngrams():
    text = np.frombuffer(b"\0abracadabra abracadabra\0", dtype=np.uint8)
    return ByteNgrams(text, 4)


@pytest.mark.parametrize("context", [b"\0", b"a", b"ra a", b"ab", b"zzz", b"abz"])
def test_the_probabilities_of_all_bytes_after_a_context_sum_to_one(ngrams, context):
    chances = [ngrams.probabilities(np.frombuffer(context + bytes([each]), dtype=np.uint8))[-1] for each in range(256)]
    assert sum(chances) == pytest.approx(1.0, abs=1e-12)
    assert min(chances) > 0


def test_the_smoothing_is_witten_and_bells():
    bigrams = ByteNgrams(np.frombuffer(b"\0aab", dtype=np.uint8), 2)
    (chance,) = bigrams.probabilities(np.frombuffer(b"ab", dtype=np.uint8))
    alone = (1 + 2 / 256) / (3 + 2)  # b once among three bytes, of two kinds
    assert chance == pytest.approx((1 + 2 * alone) / (2 + 2)), "after a: a once and b once"


def test_the_ngram_baseline_reports_one_checkpoint_on_the_same_bytes(make_run):
    for settings in ({}, {"vocabulary_size": 300}):
        run, events = make_run(**settings)
        for train in LanguageModel.baselines.values():
            train(run)
        (reported,) = metrics(events)
        assert reported["bits_per_byte"] < 1.5
        assert reported["validation_loss"] / math.log(2) == pytest.approx(reported["bits_per_byte"])
        assert run.summary["test_bits_per_byte"] < 1.5


def test_a_minimal_script_doing_the_same_work_learns_the_same(make_run, cache, stories):
    run, events = make_run(epochs=4)
    LanguageModel().train(run)
    minimal, _ = make_run(epochs=4)
    folder = prepare_streams(stories, minimal.settings, cache, print)
    bits = [each for _, each in train_minimal(minimal.settings, folder)]
    assert len(bits) == 4
    assert bits[-1] == pytest.approx(metrics(events)[-1]["bits_per_byte"], abs=0.15)


def test_a_trial_imports_none_of_the_libraries_that_only_preparation_needs():
    heavy = ("tokenizers", "datasets", "sklearn", "pandas", "pyarrow", "scipy", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.language_model; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"precision": "fp16"}, {"compile": True}])
def test_it_learns_on_a_gpu(make_run, settings):
    run, events = make_run(device="cuda", epochs=4, **settings)
    LanguageModel().train(run)
    assert metrics(events)[-1]["bits_per_byte"] < 1.5
