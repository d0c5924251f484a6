"""Fine-tuning: what a base model learns by each method, what is kept of it, and which base models are refused."""

from __future__ import annotations

import json
import math
import shutil

import huggingface_hub
import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from experiments.data.base_models import FAMILY, find_base
from experiments.data.tuning_batches import Examples, batch, pack, training_rows
from experiments.data.tuning_texts import load_rows, prepared_texts
from experiments.data.windows import NO_TARGET
from experiments.quantisation import quantising_problem
from experiments.tuned_models import Tuned, Tuning, load_base, load_trained
from experiments.tuning_memory import needed_bytes
from experiments.workloads.base_family import CONTEXT_LENGTH, persimmon_weights
from experiments.workloads.classifier_tuner import ClassifierTuner
from experiments.workloads.fine_tuner import FineTuner, Start, mean_loss, measure
from experiments.workloads.language_model import Gpt, Shape
from tests.support.runs import checkpoints, gallery_run, kept_folder
from tracker.errors import DataError, HardwareError, WorkloadError
from tracker.training.loading import load_workload
from tracker.training.run import Paused
from tracker.training.workload import WEIGHTS, Predicts, TellsTexts

COLOURS = ("red", "green", "blue", "white", "black", "grey")
BASE = {"base_models": ["library-1"], "base_bytes": 40_000}
SMALL = {
    "batch_size": 16, "epochs": 3, "learning_rate": 1e-2, "source_length": 24, "target_length": 8,
    "validation_pairs": 12, "test_pairs": 12,
}  # fmt: skip
CPU = torch.device("cpu")


def rows(kind):
    for number in range(96):
        colour = COLOURS[number % len(COLOURS)]
        source = f"paint(item={number}, {colour}=True)"
        split = {7: "test", 6: "validation"}.get(number % 8, "train")
        labelled = {"text": source, "label": colour, "split": split}
        yield {"source": source, "target": f"Paint it {colour}."} if kind == "pairs" else labelled


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The ``[data]`` tables of the two workloads, by task."""
    folder, found = tmp_path_factory.mktemp("texts"), {}
    for kind, task in (("pairs", "writing"), ("labels", "classification")):
        path = folder / f"{kind}.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows(kind)))
        found[task] = {**BASE, "source": str(path)}
    found["classification"]["split_column"] = "split"
    return found


@pytest.fixture
def make_run(data, cache, tmp_path):
    """Makes a run of the fine-tuner, with the list that its events go to."""

    def make(workload=None, **given):
        workload = workload or FineTuner()
        chosen, quality = SMALL, "chrf"
        if isinstance(workload, ClassifierTuner):
            chosen, quality = {name: value for name, value in SMALL.items() if name in workload.knobs}, "accuracy"
        table = given.pop("data", data[workload.task])
        return gallery_run(workload, table, cache, tmp_path / "artifacts", quality=quality, **chosen | given)

    return make


@pytest.fixture(scope="module")
def base(data, cache):
    """One base model of the family, in its folder."""
    gallery_run(FineTuner(), data["writing"], cache, cache, quality="chrf", **SMALL)
    return find_base("library-1", cache, BASE["base_bytes"], "writing")


@pytest.fixture
def own(base, tmp_path):
    """A copy of the base model to spoil."""
    return shutil.copytree(base.folder, tmp_path / "own")


@pytest.mark.parametrize("workload", ["fine_tuner:FineTuner", "classifier_tuner:ClassifierTuner"])
def test_it_is_a_workload_whose_models_can_be_served(workload):
    workload = load_workload(f"experiments.workloads.{workload}")
    assert isinstance(workload, Predicts) and isinstance(workload, TellsTexts)
    for name, knob in workload.knobs.items():
        assert knob.default is None or knob.problem(knob.default) is None, name


def test_the_family_is_the_language_model_of_this_project_as_transformers_reads_it(base, tmp_path):
    torch.manual_seed(3)
    ours = Gpt(Shape(1000, CONTEXT_LENGTH, 128, 2, 2, 0.0)).eval()
    for each in ours.parameters():
        torch.nn.init.normal_(each, std=0.1)
    config = json.loads((base.folder / "config.json").read_text())
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 2, "num_hidden_layers": 2}
    theirs = AutoModelForCausalLM.from_config(
        type(AutoModelForCausalLM.from_pretrained(base.folder).config)(**{**config, **sizes, "vocab_size": 1024})
    ).eval()
    assert not theirs.load_state_dict(persimmon_weights(ours), strict=False).unexpected_keys
    theirs.tie_weights()
    tokens = torch.randint(1000, (2, 40))
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, ours(tokens), atol=1e-3)
    assert (
        AutoTokenizer.from_pretrained(base.folder).decode(AutoTokenizer.from_pretrained(base.folder)("a = é").input_ids)
        == "a = é"
    )


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_every_method_learns_and_keeps_only_what_it_trained(make_run, tmp_path, base, cache, data, method):
    run, events = make_run(method=method, epochs=4)
    FineTuner().train(run)
    losses = [each["validation_loss"] for each in checkpoints(events)]
    assert losses[-1] < losses[0] and len(losses) == 4
    assert run.summary["trained_parameters"] < run.summary["parameters"] or method == "full"
    kept = kept_folder(tmp_path)
    (path,) = kept.glob("*.safetensors")
    with safe_open(path, "pt") as file:
        names = set(file.keys())
    if method == "lora":
        assert all("lora_" in name for name in names) and path.name == "adapter_model.safetensors"
    elif method == "head":
        assert names == {"lm_head.weight"}
    else:
        AutoModelForCausalLM.from_pretrained(kept)
    assert not [each for each in kept.iterdir() if each.suffix in (".pt", ".bin", ".pkl")]
    saved = json.loads((kept / "settings.json").read_text())
    assert saved["base"]["name"] == "library-1" and saved["base"]["sha256"] == base.content
    workload = FineTuner()
    texts = workload.prediction_texts(data["writing"], run.settings, cache, 4)
    assert texts.fingerprint == run.data_card.fingerprint
    inputs = list(texts.inputs)
    for weights in WEIGHTS:
        answers = workload.predictor(kept, weights, CPU)(inputs)
        assert len(answers) == len(inputs) and all(isinstance(each, str) for each in answers)
    assert workload.predictor(kept, "fp32", CPU)([]) == []


def test_it_answers_better_than_the_base_model_untuned(make_run):
    run, events = make_run(method="full", epochs=8, learning_rate=5e-3)
    FineTuner().train(run)
    baseline, its_events = make_run()
    for train in FineTuner.baselines.values():
        train(baseline)
    (before,) = checkpoints(its_events)
    assert max(each["chrf"] for each in checkpoints(events)) > 20 > before["chrf"]
    assert min(each["bits_per_byte"] for each in checkpoints(events)) < before["bits_per_byte"]


def test_a_kept_model_answers_as_the_trained_one_did(make_run, tmp_path):
    run, _ = make_run(method="lora", epochs=4)
    FineTuner().train(run)
    kept = kept_folder(tmp_path)
    pairs = load_rows(prepared_texts(run), "validation", 6)
    answers = FineTuner().predictor(kept, "fp32", CPU)([source for source, _ in pairs])
    from peft import AutoPeftModelForCausalLM  # as anybody would load it

    base = json.loads((kept / "settings.json").read_text())["base"]["folder"]
    theirs = AutoPeftModelForCausalLM.from_pretrained(kept).eval()
    cutter = Start.of(run, "library-1", "writing", "{source}\n").prompter
    tokens = torch.tensor(cutter.prompts([pairs[0][0]]))
    whole = theirs.generate(input_ids=tokens, max_new_tokens=8, do_sample=False, pad_token_id=cutter.padding)
    assert cutter.written(whole[0, tokens.shape[1] :].tolist()) == answers[0] and base


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    found = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed, epochs=2)
        FineTuner().train(run)
        found.append(checkpoints(events))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("given", [{"method": "lora", "weight_average": 0.5}, {"method": "head"}])
def test_a_paused_and_resumed_training_is_the_uninterrupted_one(make_run, tmp_path, given):
    whole, events = make_run(**given)
    FineTuner().train(whole)
    state = tmp_path / "state.pt"
    paused, first = make_run(**given, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        FineTuner().train(paused)
    assert all("embed" not in name for name in torch.load(state, weights_only=True)["state"]["model"])
    resumed, second = make_run(**given, state_path=state)
    FineTuner().train(resumed)
    assert checkpoints(first) + checkpoints(second) == checkpoints(events)


def test_packed_rows_give_the_loss_of_pairs_alone_with_less_padding(make_run):
    run, _ = make_run()
    start = Start.of(run, "library-1", "writing", "{source}\n")
    examples = start.prompter.examples(load_rows(prepared_texts(run), "train", 20))
    alone = mean_loss(run, Tuned(start.network, start.prompter.padding), examples)
    plan = training_rows(examples, 20, 1, packed=True)
    assert sorted(index for rows in plan for row in rows for index in row) == list(range(20))
    (rows,) = plan
    tokens, targets, positions = batch(examples, [*rows], CPU)
    with torch.no_grad():
        logits = Tuned(start.network, 0, packed=True).eval()(tokens, positions)
    together = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)
    assert together.item() == pytest.approx(alone, rel=1e-4)


def test_packing_fills_rows_and_loses_no_pair():
    assert pack([0, 1, 2, 3], [5, 3, 2, 4], 7) == [[0, 2], [3, 1]]
    examples = Examples([[1, 2], [3]], [[4, 9], [5, 9]], padding=0)
    tokens, targets, positions = batch(examples, [[0, 1]], CPU)
    assert tokens.tolist() == [[1, 2, 4, 9, 3, 5, 9, 0]]
    assert targets.tolist() == [[NO_TARGET, 4, 9, NO_TARGET, 5, 9, NO_TARGET, NO_TARGET]]
    assert positions.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0]]


@pytest.mark.parametrize("given", [{"packing": True}, {"activation_checkpointing": True}, {"gradient_accumulation": 2}])
def test_it_trains_with_every_lever(make_run, given):
    run, events = make_run(**given, epochs=2)
    FineTuner().train(run)
    plain, expected = make_run(epochs=2)
    FineTuner().train(plain)
    found, wanted = checkpoints(events)[-1]["validation_loss"], checkpoints(expected)[-1]["validation_loss"]
    assert found == pytest.approx(wanted, rel=0.2 if "packing" in given else 1e-3)


@pytest.mark.parametrize("weights", ["bf16", "int8", "nf4"])
@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_frozen_base_may_have_smaller_weights(make_run, tmp_path, method, weights):
    if weights != "bf16":
        pytest.importorskip("bitsandbytes")
    run, events = make_run(method=method, base_weights=weights)
    try:
        FineTuner().train(run)
    except HardwareError as error:
        pytest.skip(str(error))
    losses = [each["validation_loss"] for each in checkpoints(events)]
    assert losses[-1] < losses[0]
    assert FineTuner().predictor(kept_folder(tmp_path), "fp32", CPU)(["paint(item=1, red=True)"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "full", "base_weights": "int8"}, "base_weights = int8 with method = full"),
        ({"weight_average": 0.9, "base_weights": "nf4"}, "quantised weights have no average"),
        ({"target_modules": "querys"}, "no linear layer 'querys'; it has: .*query_key_value"),
    ],
)
def test_settings_that_cannot_be_are_refused(make_run, given, message):
    with pytest.raises(WorkloadError, match=message):
        FineTuner().train(make_run(**given)[0])


def test_adapters_go_into_the_chosen_modules_alone(make_run, tmp_path):
    run, _ = make_run(target_modules="query_key_value dense", epochs=1)
    FineTuner().train(run)
    with safe_open(kept_folder(tmp_path) / "adapter_model.safetensors", "pt") as file:
        assert all("self_attn" in name for name in file.keys())  # noqa: SIM118 (it is no dict)


def test_adapters_of_an_output_layer_that_shares_its_weights_leave_the_embedding_alone(make_run, tmp_path):
    run, _ = make_run(target_modules="lm_head query_key_value", learning_rate=5e-2)
    FineTuner().train(run)
    start = Start.of(run, "library-1", "writing", "{source}\n")
    assert start.network.get_output_embeddings().weight is start.network.get_input_embeddings().weight
    embedding = start.network.get_input_embeddings().weight.clone()
    tokens = torch.tensor(start.prompter.prompts(["paint(item=1, red=True)"]))
    trained = PeftModel.from_pretrained(load_base(start.base, start.tuning, 0, CPU), kept_folder(tmp_path)).eval()
    kept = load_trained(start.network, start.tuning, kept_folder(tmp_path)).eval()
    assert torch.equal(kept.get_input_embeddings().weight, embedding)
    with torch.no_grad():
        assert torch.allclose(kept(tokens).logits, trained(tokens).logits, atol=1e-3)


def gpt2(own):
    """Weights and configuration of a GPT-2 in the folder of another model; its linear layers are Conv1D."""
    kept = json.loads((own / "config.json").read_text())
    ends = {"bos_token_id": None, "eos_token_id": kept["eos_token_id"], "pad_token_id": kept["pad_token_id"]}
    config = GPT2Config(vocab_size=kept["vocab_size"], n_embd=32, n_layer=1, n_head=2, n_positions=128, **ends)
    GPT2LMHeadModel(config).save_pretrained(own)
    return {"base_models": [str(own)], "base_bytes": BASE["base_bytes"]}


def test_layers_of_gpt_2_get_adapters_and_are_never_called_quantised(make_run, data, own):
    given = {"data": {**data["writing"], **gpt2(own)}, "base_model": str(own), "epochs": 1}
    run, events = make_run(**given, target_modules="c_attn")
    FineTuner().train(run)
    assert len(checkpoints(events)) == 1 and run.summary["trained_parameters"] == 8 * (32 + 96)
    if quantising_problem("nf4", CPU):
        pytest.skip(quantising_problem("nf4", CPU))
    with pytest.raises(HardwareError, match="nf4 is impossible for GPT2LMHeadModel: none of its layers"):
        FineTuner().train(make_run(**given, base_weights="nf4")[0])


def test_a_base_model_that_is_another_than_the_tuned_one_is_refused(make_run, tmp_path, data, own):
    run, _ = make_run(data={**data["writing"], "base_models": [str(own)]}, base_model=str(own), epochs=1)
    FineTuner().train(run)
    weights = own / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match=r"is not the one that was tuned, '.*own': its sha256 is"):
        FineTuner().predictor(kept_folder(tmp_path), "fp32", CPU)
    shutil.rmtree(own)
    with pytest.raises(DataError, match="no such folder"):
        FineTuner().predictor(kept_folder(tmp_path), "fp32", CPU)


def changed(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def shard(folder, **more):
    """The same weights in a file that an index names, with ``more`` weights by name and file."""
    whole = folder / "model.safetensors"
    with safe_open(whole, "pt") as file:
        listed = dict.fromkeys(file.keys(), "model-1.safetensors")
    whole.rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed | more}))


def spoil(folder, how):
    if how == "empty":
        (folder / "config.json").unlink()
    elif how == "adapters":
        (folder / "config.json").rename(folder / "adapter_config.json")
    elif how == "no json":
        (folder / "config.json").write_text("{")
    elif how == "no kind":
        (folder / "config.json").write_text("{}")
    elif how == "remote code":
        changed(folder, model_type="mine", auto_map={"AutoModelForCausalLM": "modeling_mine.Mine"})
    elif how == "unknown kind":
        changed(folder, model_type="persimon")
    elif how == "no writer":
        changed(folder, model_type="vit")
    elif how == "quantised":
        changed(folder, quantization_config={"load_in_4bit": True})
    elif how == "pickled":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif how == "torn":
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:-100])
    elif how == "no weights":
        (folder / "model.safetensors").write_bytes(b"")
    elif how == "index":
        shard(folder, a="model-2.safetensors")
    elif how == "short shard":
        shard(folder, a="model-1.safetensors")
    elif how == "adapter beside":
        (folder / "adapter_config.json").write_text("{}")
    elif how == "another's weights":
        (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    elif how == "vocabulary":
        changed(folder, vocab_size=999)
    elif how == "tokenizer":
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text())
        content["added_tokens"][0]["id"] = 5000
        content["added_tokens"][0]["content"] = "<|far|>"
        path.write_text(json.dumps(content))
    elif how == "no tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "holds no base model: it has no config.json"),
        ("adapters", "holds adapters, not the model they belong to"),
        ("no json", "config.json cannot be read"),
        ("no kind", "names no model_type"),
        ("remote code", "needs code from its own folder .*which is never run"),
        ("unknown kind", "knows no model_type 'persimon'.*persimmon"),
        ("no writer", "has no vit for writing; it has for: "),
        ("quantised", "is quantised already"),
        ("pickled", "pytorch_model.bin is pickled"),
        ("torn", "is no whole safetensors file"),
        ("no weights", "is no whole safetensors file"),
        ("index", "1 of its weights are missing, such as a, which should be in model-2.safetensors"),
        ("short shard", "1 of its weights are missing, such as a, which should be in model-1.safetensors"),
        ("adapter beside", "holds adapters, not the model they belong to: it has adapter_config.json"),
        ("another's weights", "no weights in .* as safetensors.*there are consolidated.safetensors"),
        ("vocabulary", "speaks of a vocabulary of 999, which none of its embeddings has"),
        ("tokenizer", "its tokenizer has the token .*another model's"),
        ("no tokenizer", "its tokenizer in .* cannot be read"),
    ],
)
def test_what_is_no_usable_base_model_is_refused_before_a_trial(make_run, data, own, how, message):
    spoil(own, how)
    with pytest.raises(DataError, match=message):
        make_run(data={**data["writing"], "base_models": [str(own)]})


def test_only_the_files_that_are_loaded_count_as_the_model(own, cache):
    base = find_base(str(own), cache, 0, "writing")
    save_file({"extra": torch.zeros(9)}, own / "consolidated.safetensors")
    beside = find_base(str(own), cache, 0, "writing")
    assert beside.parameters == base.parameters and beside.content == base.content
    shard(own)
    sharded = find_base(str(own), cache, 0, "writing")
    assert sharded.shapes == base.shapes and sharded.content != base.content


@pytest.mark.parametrize("name", ["chat_template.jinja", "special_tokens_map.json", "generation_config.json"])
def test_what_belongs_to_the_tokenizer_is_part_of_what_identifies_a_base_model(own, cache, name):
    before = find_base(str(own), cache, 0, "writing").content
    (own / name).write_text("{}")
    assert find_base(str(own), cache, 0, "writing").content != before


def test_the_likeliest_token_is_written_whatever_the_base_models_folder_says_of_writing(make_run, data, own):
    end = json.loads((own / "config.json").read_text())["eos_token_id"]
    kept = {"repetition_penalty": 50.0, "no_repeat_ngram_size": 1, "eos_token_id": end}
    written = []
    for content in ({"eos_token_id": end}, kept):
        (own / "generation_config.json").write_text(json.dumps(content))
        run, _ = make_run(data={**data["writing"], "base_models": [str(own)]}, base_model=str(own))
        start = Start.of(run, str(own), "writing", "{source}\n")
        assert start.network.generation_config.eos_token_id == end
        prompt = torch.tensor(start.prompter.prompts(["paint(item=1, red=True)"]))
        written.append(start.network.generate(input_ids=prompt, max_new_tokens=20, do_sample=False)[0].tolist())
    assert written[0] == written[1] and len(set(written[1])) < len(written[1]), "a token may come twice"


def test_a_base_model_that_was_not_prepared_or_has_changed_since_is_refused(make_run, data, own):
    run, _ = make_run()
    run.settings = {**run.settings, "base_model": str(own)}
    with pytest.raises(DataError, match=r"own' was not prepared; prepared: library-1; name it in \[data\] base_models"):
        FineTuner().train(run)
    run, _ = make_run(data={**data["writing"], "base_models": [str(own)]}, base_model=str(own))
    changed(own, hidden_dropout=0.1)
    with pytest.raises(DataError, match="has changed since it was prepared: its sha256 is"):
        FineTuner().train(run)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["meta/none-such"], "nor in the cache of the .*Hub.* nothing is downloaded.*hf download meta/none-such"),
        (["./nowhere"], "no such folder"),
        (["library-9"], "nor in the cache"),
        ([], "base_models is \\[\\]"),
        ("library-1", "a list of names or folders"),
        ([3], "a list of names or folders"),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_is_refused_and_nothing_is_downloaded(make_run, data, names, message):
    with pytest.raises(DataError, match=message):
        make_run(data={**data["writing"], "base_models": names})


def test_a_name_that_is_in_the_cache_of_the_hub_is_found(own, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--org--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(own, place / "snapshots" / ("0" * 40))
    assert find_base("org/tiny", cache, 40_000, "writing").parameters > 0


def test_what_looks_like_a_special_token_in_a_text_is_text(make_run):
    cutter = Start.of(make_run()[0], "library-1", "writing", "{source}\n").prompter
    assert cutter.end not in cutter.prompts(["f(a='<|end|>')"])[0]
    assert cutter.answers(["It ends."])[0][-1] == cutter.end and cutter.end not in cutter.answers(["a " * 99])[0]


def test_bits_per_byte_count_the_bytes_of_the_answers_and_not_the_end_tokens_name(make_run):
    run, _ = make_run(target_length=64)
    start = Start.of(run, "library-1", "writing", "{source}\n")
    pairs = load_rows(prepared_texts(run), "validation", 6)
    model, examples = Tuned(start.network, start.prompter.padding), start.prompter.examples(pairs)
    bits = mean_loss(run, model, examples) * examples.answer_tokens / math.log(2)
    found = measure(run, model, start.prompter, pairs).reported["bits_per_byte"]
    assert found == pytest.approx(bits / sum(len(target.encode()) for _, target in pairs), rel=1e-5)


def test_a_base_model_of_ones_own_is_tuned_without_the_family(make_run, data, own, cache):
    table = {name: value for name, value in data["writing"].items() if name != "base_models"}
    run, events = make_run(data={**table, "base_bytes": 50_000}, base_model=str(own), epochs=1)
    FineTuner().train(run)
    assert len(checkpoints(events)) == 1 and "own" in run.data_card.description
    assert len(list(cache.glob("base-models-*"))) == 1
    assert not [name for name in FAMILY if name in run.data_card.description]


def test_a_model_that_does_not_fit_is_refused_with_what_it_needs(make_run, base):
    with pytest.raises(DataError, match=r"does not fit: method = full .* needs at least .* memory_gb is 0.001"):
        make_run(method="full", memory_gb=0.001)
    run, _ = make_run(method="lora")
    run.settings = {**run.settings, "memory_gb": 0.0005}
    with pytest.raises(DataError, match=r"does not fit: method = lora with base_weights = fp32 .* memory_gb is 0.0005"):
        FineTuner().train(run)
    needs = {
        (method, weights): needed_bytes(base, Tuning(method, weights, 8, "", 0.0))
        for method, weights in (("full", "fp32"), ("lora", "fp32"), ("lora", "bf16"), ("lora", "nf4"))
    }
    assert needs["full", "fp32"] == 16 * base.parameters > needs["lora", "fp32"] > needs["lora", "bf16"]
    assert needs["lora", "bf16"] >= needs["lora", "nf4"] >= 2 * base.parameters


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("no place", "must stand in it once"),
        ("chat", "has no chat template"),
        ("{source} {source}", "must stand in it"),
    ],
)
def test_a_template_that_cannot_be_is_refused(make_run, data, template, message):
    with pytest.raises(DataError, match=message):
        make_run(data={**data["writing"], "template": template})


def test_lengths_beyond_what_the_model_reads_are_refused(make_run):
    with pytest.raises(DataError, match="base model 'library-1' reads 256"):
        make_run(source_length=300)


def test_the_classifier_learns_classes_and_serves_their_names(make_run, tmp_path, data, cache):
    workload = ClassifierTuner()
    run, events = make_run(workload, method="full", epochs=8, learning_rate=5e-3)
    workload.train(run)
    assert max(each["accuracy"] for each in checkpoints(events)) > 0.5, "chance is one in six"
    inputs = workload.prediction_inputs(data["classification"], run.settings, cache, 5)
    for weights in WEIGHTS:
        assert set(workload.predictor(kept_folder(tmp_path), weights, CPU)(inputs)) <= set(COLOURS)
    baseline, its_events = make_run(workload)
    for train in workload.baselines.values():
        train(baseline)
    (before,) = checkpoints(its_events)
    assert before["accuracy"] < max(each["accuracy"] for each in checkpoints(events))


def test_a_classifiers_figures_are_the_same_after_a_pause(make_run, tmp_path):
    found = []
    state = tmp_path / "state.pt"
    for pauses in (False, True):
        given = {"method": "head", "epochs": 2, "state_path": state if pauses else None}
        if pauses:
            with pytest.raises(Paused):
                ClassifierTuner().train(make_run(ClassifierTuner(), **given, pause_after_epoch=1)[0])
        run, events = make_run(ClassifierTuner(), **given)
        ClassifierTuner().train(run)
        found.append((run.summary["flops"], checkpoints(events)[-1]))
    assert found[0] == found[1] and found[0][0] > 0


def test_a_classifier_takes_an_empty_text(make_run, tmp_path):
    run, _ = make_run(ClassifierTuner(), method="head", epochs=1)
    ClassifierTuner().train(run)
    predict = ClassifierTuner().predictor(kept_folder(tmp_path), "fp32", CPU)
    assert predict([""])[0] == predict(["", "paint(item=1, red=True)"])[0]


def test_the_untuned_classifier_is_measured_on_the_test_texts_that_the_settings_name(make_run, data, tmp_path):
    splits = [split for split in ("train", "validation", "test") for _ in range(12)]
    two = [{"text": f"a{n}", "label": ("red", "grey")[n % 2], "split": split} for n, split in enumerate(splits)]
    (tmp_path / "two.jsonl").write_text("\n".join(map(json.dumps, two)))
    table, found = {**data["classification"], "source": str(tmp_path / "two.jsonl")}, []
    for documents in (1, 3):
        run, _ = make_run(ClassifierTuner(), data=table, validation_documents=documents, test_documents=12)
        ClassifierTuner.baselines["the base model untuned"](run)
        found.append(run.summary["test_accuracy"])
    assert found[0] == found[1] and 0 < found[0] < 1


@pytest.mark.parametrize("given", [{"method": "lora"}, {"method": "lora", "base_weights": "bf16"}, {"method": "head"}])
def test_a_classifiers_new_layer_is_trained_and_kept_by_every_method(make_run, tmp_path, given):
    workload = ClassifierTuner()
    run, events = make_run(workload, **given, learning_rate=2e-3)
    workload.train(run)
    losses = [each["training_loss"] for each in checkpoints(events)]
    assert losses[-1] < losses[0]
    (path,) = kept_folder(tmp_path).glob("*.safetensors")
    with safe_open(path, "pt") as file:
        assert any("score" in name for name in file.keys())  # noqa: SIM118 (it is no dict)
    assert set(workload.predictor(kept_folder(tmp_path), "fp32", CPU)(["paint(red=True)"])) <= set(COLOURS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("weights", ["fp32", "bf16", "int8", "nf4"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_it_tunes_on_a_gpu_in_every_number_format(make_run, precision, weights):
    run, events = make_run(device="cuda", precision=precision, base_weights=weights, packing=True)
    FineTuner().train(run)
    losses = [each["validation_loss"] for each in checkpoints(events)]
    assert losses[-1] < losses[0] and run.summary["samples_per_second"] > 0
