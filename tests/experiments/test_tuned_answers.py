"""What a tuned base model answers: the same served as when it was trained, and of its own text alone."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch.nn import functional as F
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel

from experiments.data.base_models import find_base
from experiments.data.tuning_batches import batch, evaluation_rows, padded_texts
from experiments.data.tuning_batches import batches as examples_in_batches
from experiments.data.tuning_texts import load_rows, prepared_texts
from experiments.tuned_models import Tuned, TunedClassifier, tunable
from experiments.workloads.classifier_tuner import ClassifierTuner, Texts
from experiments.workloads.fine_tuner import FineTuner, Start, answer_loss, check_packing, kept_network, write_answers
from tests.support.runs import gallery_run
from tracker.errors import DataError

COLOURS = ("red", "green", "blue")
BASE = {"base_models": ["library-1"], "base_bytes": 40_000}
SMALL = {"batch_size": 16, "epochs": 1, "source_length": 24}
METHODS = ("lora", "full", "head")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A file of pairs and one of labelled texts."""
    folder = tmp_path_factory.mktemp("texts")
    found = [(f"paint(item={number}, {COLOURS[number % 3]}=True)", COLOURS[number % 3]) for number in range(60)]
    for name, columns in (("pairs", ("source", "target")), ("labels", ("text", "label"))):
        rows = [dict(zip(columns, each, strict=True)) for each in found]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def writer(sources, cache, tmp_path):
    """What a trial of the fine-tuner starts with, by its settings, and its run."""

    def start(data=BASE, name="library-1", **settings):
        table = {**data, "source": str(sources / "pairs.jsonl")}
        given = {**SMALL, "target_length": 8, "validation_pairs": 8, "base_model": name, **settings}
        run, _ = gallery_run(FineTuner(), table, cache, tmp_path, quality="chrf", **given)
        return run, Start.of(run, name, "writing", "{source}\n")

    return start


@pytest.fixture
def classifier(sources, cache, tmp_path):
    """The same of the classifier."""

    def start(**settings):
        table = {**BASE, "source": str(sources / "labels.jsonl")}
        run, _ = gallery_run(ClassifierTuner(), table, cache, tmp_path, quality="accuracy", **SMALL, **settings)
        return run, Start.of(run, "library-1", "classification", "{source}", len(COLOURS))

    return start


def trained(model, losses, steps=20):
    """The model after some large steps."""
    optimiser = torch.optim.AdamW([each for _, each in model.trained()], lr=5e-3)
    model.train()
    for _ in range(steps):
        losses(model).backward()
        optimiser.step()
        optimiser.zero_grad()
    return model.eval()


def tuned_writer(run, start):
    """A model that has learned some pairs."""
    examples = start.prompter.examples(load_rows(prepared_texts(run), "train", 16))
    given = batch(examples, [[index] for index in range(len(examples))], CPU)
    loss = answer_loss(run, examples.answer_tokens / len(examples))
    return trained(
        Tuned(tunable(start.network, start.tuning), start.prompter.padding), lambda model: loss(model, given)
    )


def tuned_classifier(run, start):
    (given,) = Texts(start, load_rows(prepared_texts(run), "train", 24), CPU).batches()
    model = TunedClassifier(tunable(start.network, start.tuning), start.prompter.padding)
    return trained(model, lambda model: F.cross_entropy(model(given[0]), given[1]))


@pytest.mark.parametrize("method", METHODS)
def test_a_served_writer_gives_the_logits_and_answers_of_the_trained_one(writer, tmp_path, method):
    run, start = writer(method=method)
    base = start.prompter.examples(load_rows(prepared_texts(run), "test", 6))
    before = Tuned(start.network, start.prompter.padding).eval()
    given = next(examples_in_batches(base, evaluation_rows(base, 6), CPU))
    with torch.no_grad():
        untuned = before(given[0], given[2]).clone()
    model = tuned_writer(run, start)
    (kept := tmp_path / "kept").mkdir()
    start.save(model, "{source}\n", run.settings, (), kept)
    network, cutter, _ = kept_network(kept, "fp32", CPU, "writing")
    with torch.no_grad():
        expected, served = model(given[0], given[2]), network(input_ids=given[0]).logits
    assert torch.allclose(served, expected, atol=1e-3) and not torch.allclose(expected, untuned, atol=0.5)
    sources = [source for source, _ in load_rows(prepared_texts(run), "test", 6)]
    answers = write_answers(model.network, cutter, cutter.prompts(sources), CPU)
    assert FineTuner().predictor(kept, "fp32", CPU)(sources) == answers and any(answers)
    for weights in ("bf16", "int8"):
        quantised, _, _ = kept_network(kept, weights, CPU, "writing")
        with torch.no_grad():
            found = quantised(input_ids=given[0]).logits.float()
        assert F.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.99, weights


@pytest.mark.parametrize("method", METHODS)
def test_a_served_classifier_gives_the_classes_of_the_trained_one_whatever_stands_beside_a_text(
    classifier, tmp_path, method
):
    run, start = classifier(method=method)
    model = tuned_classifier(run, start)
    (kept := tmp_path / "kept").mkdir()
    start.save(model, "{source}", run.settings, COLOURS, kept)
    texts = [text for text, _ in load_rows(prepared_texts(run), "test")] + ["red", "a, " * 40]
    prompts = start.prompter.prompts(texts)
    with torch.no_grad():
        alone = torch.cat([model(padded_texts([each], start.prompter.padding, CPU)) for each in prompts])
        beside = model(padded_texts(prompts, start.prompter.padding, CPU))
    assert torch.allclose(alone, beside, atol=1e-3)
    expected = [COLOURS[place] for place in alone.argmax(dim=1).tolist()]
    assert ClassifierTuner().predictor(kept, "fp32", CPU)(texts) == expected and len(set(expected)) > 1


@pytest.mark.parametrize("method", METHODS)
def test_a_method_changes_what_it_says_and_nothing_else(writer, tmp_path, method):
    run, start = writer(method=method)
    before = {name: each.clone() for name, each in start.network.state_dict().items()}
    model = tuned_writer(run, start)
    (kept := tmp_path / "kept").mkdir()
    start.save(model, "{source}\n", run.settings, (), kept)
    after = kept_network(kept, "fp32", CPU, "writing")[0].state_dict()
    changed = {name for name, each in after.items() if not torch.equal(each, before[name])}
    matrices = {
        name for name, each in before.items() if each.ndim == 2 and "embed" not in name and name != "lm_head.weight"
    }
    if method == "head":
        assert changed == {"lm_head.weight"}
    elif method == "lora":
        assert changed == matrices
    else:
        assert changed >= matrices | {"lm_head.weight", "model.embed_tokens.weight"}
        assert torch.equal(after["lm_head.weight"], after["model.embed_tokens.weight"]), "they stay one"


def gpt2(folder, vocabulary):
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=2, n_positions=128))


def bloom(folder, vocabulary):
    return BloomForCausalLM(BloomConfig(vocab_size=vocabulary, hidden_size=32, n_layer=1, n_head=2))


@pytest.fixture
def own(cache, tmp_path, writer):
    """The name of a base model of another kind, with the tokenizer of the family."""

    def make(kind):
        writer()  # makes the family
        folder = shutil.copytree(find_base("library-1", cache, BASE["base_bytes"], "writing").folder, tmp_path / "own")
        ends = json.loads((folder / "config.json").read_text())
        model = kind(folder, ends["vocab_size"])
        model.config.eos_token_id, model.config.pad_token_id = ends["eos_token_id"], ends["pad_token_id"]
        model.config.bos_token_id = None
        model.save_pretrained(folder)
        return {"data": {**BASE, "base_models": [str(folder)]}, "name": str(folder)}

    return make


@pytest.mark.parametrize("kind", ["family", "gpt2"])
def test_no_text_of_a_packed_row_sees_another(writer, own, kind):
    run, start = writer(packing=True, **(own(gpt2) if kind == "gpt2" else {}))
    model = Tuned(tunable(start.network, start.tuning), start.prompter.padding, packed=True).eval()
    pairs = load_rows(prepared_texts(run), "train", 3)
    other = ("quite(another, source)", "and another answer")
    lengths = [start.prompter.examples([pair]).lengths.item() for pair in (*pairs, other)]

    def logits(chosen):
        examples = start.prompter.examples(chosen)
        tokens, _, positions = batch(examples, [[*range(len(chosen))]], CPU)
        with torch.no_grad():
            return model(tokens, positions)[0]

    whole, changed = logits(pairs), logits([other, *pairs[1:]])
    for number in (1, 2):
        begin, its_begin = sum(lengths[:number]), lengths[3] + sum(lengths[1:number])
        found = changed[its_begin : its_begin + lengths[number]]
        assert torch.allclose(whole[begin : begin + lengths[number]], found, atol=1e-4)
        alone = logits(pairs[number : number + 1])[: lengths[number]]
        assert torch.allclose(alone, found, atol=1e-4)
    assert torch.allclose(
        logits([*pairs[:2], other])[: lengths[0] + lengths[1]], whole[: lengths[0] + lengths[1]], atol=1e-4
    )
    check_packing(model, start.prompter.examples(pairs), CPU, quantised=False)


def test_a_kind_of_model_that_cannot_keep_texts_of_a_row_apart_is_refused(writer, own):
    run, _ = writer(packing=True, **own(bloom))
    with pytest.raises(DataError, match=r"packing = true: this kind of model .*; allowed: false"):
        FineTuner().train(run)
