"""Fine-tuning a base model: LoRA, everything or the head alone, of a model that writes answers.

Reads from top to bottom: what a study sets, how a trial starts, the loss, how a model writes and is measured, the
workload. Base models are found and checked by experiments.data.base_models, texts are cut by experiments.data.prompts,
what is trained of a model is put into it by experiments.tuned_models, and the loop over epochs is
experiments.training_loop. The same of a classifier is experiments.workloads.classifier_tuner.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments import lazy
from experiments.data.base_models import FAMILY, BaseModel, family_identity, find_base
from experiments.data.batches import WIDTH_MULTIPLE
from experiments.data.prompts import Prompter, load_tokenizer, prompter, template_of
from experiments.data.tuning_batches import Examples, Row, batches, evaluation_rows, padded_prompts, training_rows
from experiments.data.tuning_texts import DEDUPLICATED, load_rows, load_text_card, prepare_texts, prepared_texts
from experiments.data.windows import NO_TARGET
from experiments.inference import with_weights
from experiments.memory import keep_freed_memory
from experiments.quantisation import QUANTISED
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from experiments.tuned_models import (
    BASE_WEIGHTS,
    METHODS,
    Tuned,
    Tuning,
    load_base,
    load_trained,
    save_trained,
    tunable,
    tuning_of,
)
from experiments.tuning_memory import check_least, check_memory
from experiments.workloads.translator import TextTranslator
from tracker.errors import DataError
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import PredictionTexts, Predictor

BASE_BYTES = 1_000_000
EVALUATION_BATCH = 64
SEED_STEP = 100_003
SETTINGS = "settings.json"

TUNING_KNOBS: Mapping[str, Knob] = {
    "base_model": Knob("str", "library-1", "one of base_models"),
    "method": Knob("str", "lora", "what is trained: adapters, everything, or the output layer", choices=METHODS),
    "lora_rank": Knob("int", 8, "lora: columns of each adapter", low=1, high=1024),
    "lora_dropout": Knob("float", 0.0, "lora: dropout before each adapter", low=0.0, high=0.9),
    "target_modules": Knob("str", "", "lora: the layers that get adapters, with blanks between; empty for all linear"),
    "base_weights": Knob("str", "fp32", "number format of the weights that are not trained", choices=BASE_WEIGHTS),
    "activation_checkpointing": Knob("bool", False, "recompute activations rather than keep them in memory"),
    "train_share": Knob("float", 1.0, "share of the training split to use", low=0.001, high=1.0),
    "source_length": Knob("int", 48, "tokens of a source that are read", low=4, high=32_768),
    **LOOP_KNOBS,
    "learning_rate": Knob("float", 1e-3, LOOP_KNOBS["learning_rate"].help, low=0.0),
    "batch_size": Knob("int", 32, LOOP_KNOBS["batch_size"].help, low=1),
    "epochs": Knob("int", 3, LOOP_KNOBS["epochs"].help, low=1),
}
"""The settings of every fine-tuning."""

TUNING_OPTIONS: Mapping[str, str] = {
    "base_models": f"the base models that the study uses, to be made or checked before it: {', '.join(FAMILY)}, "
    "folders, names in the cache of the Hub; default the one that is set, or these three",
    "base_bytes": f"of {', '.join(FAMILY)}: bytes of source text that each learns; default {BASE_BYTES:,}",
    "template": "a prompt with {source} in it, or 'chat' for the model's own; default '{source}' and a new line",
}


def base_bytes_of(data: Mapping[str, Any]) -> int:
    """How much text the models of FAMILY learn. Raises DataError."""
    given = data.get("base_bytes", BASE_BYTES)
    if isinstance(given, bool) or not isinstance(given, int) or given < 10_000:
        raise DataError(f"data option base_bytes is {given!r}; allowed: a whole number of at least 10000")
    return given


def prepare_tuning(
    data: Mapping[str, Any],
    settings: Settings,
    task: str,
    template: str,
    cache: Path,
    progress: Callable[[str], None],
) -> DataCard:
    """Make or check the base models, which are to read texts by ``template``, and gather the texts.

    Raises DataError, WorkloadError.
    """
    bases = _prepare_bases(data, settings, task, template, cache, progress)
    folder = prepare_texts(data, task, bases, cache, progress)
    return load_text_card(folder).data_card(folder)


def _prepare_bases(
    data: Mapping[str, Any],
    settings: Settings,
    task: str,
    template: str,
    cache: Path,
    progress: Callable[[str], None],
) -> dict[str, str]:
    """Make or find each base model that a study names, check it, and return what identifies each. Raises DataError."""
    base_bytes, own = base_bytes_of(data), str(settings["base_model"])
    names = data.get("base_models", list(FAMILY) if own in FAMILY else [own])
    if not isinstance(names, list) or not names or not all(isinstance(each, str) for each in names):
        raise DataError(f"data option base_models is {names!r}; allowed: a list of names or folders")
    lazy.call(
        "experiments.workloads.base_family:make_family", [n for n in names if n in FAMILY], base_bytes, cache, progress
    )
    bases = {name: find_base(name, cache, base_bytes, task) for name in names}
    for base in bases.values():
        prompter_of(base, template, settings)
        check_least(base, settings, progress)
    return {name: family_identity(base_bytes) if name in FAMILY else base.content for name, base in bases.items()}


@dataclass(frozen=True)
class Start:
    """What a trial starts with: its base model, what cuts its texts, and the network with what it trains."""

    base: BaseModel
    prompter: Prompter
    tuning: Tuning
    network: Any

    @classmethod
    def of(cls, run: Run, name: str, task: str, template: str, classes: int = 0) -> Start:
        """Find, check and load the base model ``name``; nothing of it is trained yet. Raises DataError."""
        settings, data = run.settings, run.data
        tuning = tuning_of(settings, classes)
        prepared = load_text_card(prepared_texts(run)).bases
        if name not in prepared:
            raise DataError(
                f"base model '{name}' was not prepared; prepared: {', '.join(prepared)}; name it in [data] base_models"
            )
        base = find_base(name, run.cache, base_bytes_of(data), task)
        if name not in FAMILY and base.content != prepared[name]:
            raise DataError(
                f"base model '{name}' in {base.folder} has changed since it was prepared: its sha256 is"
                f" {base.content}, not {prepared[name]}"
            )
        check_memory(base, tuning, settings, run.device)
        cutter = prompter_of(base, template, settings)
        torch.manual_seed(run.seed)  # a classifier's head is drawn at random
        return cls(base, cutter, tuning, load_base(base, tuning, cutter.padding, run.device))

    def save(self, model: Tuned, template: str, settings: Settings, classes: Sequence[str], folder: Path) -> None:
        """Keep what was trained, without pickle, and what it belongs to."""
        save_trained(model, self.tuning.method, folder)
        if self.tuning.method == "full":
            self.prompter.tokenizer.save_pretrained(folder)
        base = {"name": self.base.name, "folder": str(self.base.folder), "sha256": self.base.content}
        kept = {name: settings[name] for name in ("source_length", "target_length") if name in settings}
        content = {"base": base, "tuning": asdict(self.tuning), "template": template, "classes": classes, **kept}
        (folder / SETTINGS).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def prompter_of(base: BaseModel, template: str, settings: Mapping[str, Any]) -> Prompter:
    """What cuts texts for a base model. Raises DataError."""
    lengths = int(settings["source_length"]), int(settings.get("target_length", 0))
    return prompter(base, template, *lengths, load_tokenizer(base))


def kept_network(folder: Path, weights: str, device: torch.device, task: str) -> tuple[Any, Prompter, dict[str, Any]]:
    """The network that ``Start.save`` kept, its base found and compared; what cuts its texts; and the settings.

    Raises DataError where the base is not there, or is not the one that was tuned.
    """
    saved = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    tuning, named = Tuning(**saved["tuning"]), saved["base"]
    whole = tuning.method == "full"
    base = find_base(str(folder) if whole else named["folder"], folder, BASE_BYTES, task)
    if not whole and base.content != named["sha256"]:
        raise DataError(
            f"the base model in {base.folder} is not the one that was tuned, '{named['name']}': its sha256 is"
            f" {base.content}, not {named['sha256']}"
        )
    if weights != "fp32":
        tuning = Tuning(**{**saved["tuning"], "base_weights": "fp32"})
    cutter = prompter_of(base, saved["template"], saved)
    network = load_base(base, tuning, cutter.padding, device)
    tuned = network if whole else load_trained(network, tuning, folder)
    if weights == "fp32":
        return tuned.eval().requires_grad_(False), cutter, saved
    return with_weights(tuned, weights, device), cutter, saved


def answer_loss(run: Run, tokens_per_row: float) -> Callable[[nn.Module, Batch], Tensor]:
    """Cross-entropy of the answers' tokens, over the mean number of them in a row.

    Divided by that mean rather than by the tokens of the batch, every token counts alike in an epoch: whatever batch
    it is in, and however a batch is divided over parts and processes.
    """
    smoothing = float(run.settings["label_smoothing"])

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        tokens, targets, positions = batch
        costs = F.cross_entropy(
            model(tokens, positions).flatten(0, 1),
            targets.flatten(),
            ignore_index=NO_TARGET,
            label_smoothing=smoothing,
            reduction="sum",
        )
        return costs / (len(tokens) * tokens_per_row)

    return loss


def write_answers(network: Any, cutter: Prompter, prompts: Sequence[Sequence[int]], device: torch.device) -> list[str]:
    """What the network writes after each prompt, the likeliest token at a time."""
    found = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda each: len(prompts[each]))
    for begin in range(0, len(order), EVALUATION_BATCH):
        chosen = order[begin : begin + EVALUATION_BATCH]
        tokens, real = padded_prompts([prompts[each] for each in chosen], cutter.padding, device)
        with torch.no_grad():
            whole = network.generate(
                input_ids=tokens,
                attention_mask=real,
                max_new_tokens=cutter.target_length,
                do_sample=False,
                num_beams=1,
                pad_token_id=cutter.padding,
                eos_token_id=cutter.end,
            )
        for each, row in zip(chosen, whole[:, tokens.shape[1] :].tolist(), strict=True):
            found[each] = cutter.written(row)
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """A model on some pairs: what is reported of it beside the training loss, and answers written a second."""

    reported: Mapping[str, float]
    predictions_per_second: float


def mean_loss(run: Run, model: Tuned, examples: Examples) -> float:
    """The mean cross-entropy of the answers' tokens in nats."""
    costs = torch.zeros((), device=run.device, dtype=torch.float64)
    model.eval()
    with torch.no_grad():
        for tokens, targets, positions in batches(examples, evaluation_rows(examples, EVALUATION_BATCH), run.device):
            with run.precision.autocast(run.device):
                logits = model(tokens, positions)
            costs += F.cross_entropy(
                logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET, reduction="sum"
            )
    return costs.item() / examples.answer_tokens


def measure(run: Run, model: Tuned, cutter: Prompter, pairs: Sequence[tuple[str, str]]) -> Measured:
    """The scores on pairs of a source and a target."""
    examples, targets = cutter.examples(pairs), [target for _, target in pairs]
    loss = mean_loss(run, model, examples)
    begin = time.perf_counter()
    with run.precision.autocast(run.device):
        written = write_answers(model.network, cutter, examples.prompts, run.device)
    seconds = time.perf_counter() - begin
    size_bytes = sum(len(cutter.text(answer).encode()) for answer in examples.answers)
    reported = {
        "chrf": lazy.call("experiments.translation_scores:text_scores", written, targets)["chrf"],
        "validation_loss": loss,
        "bits_per_byte": loss * examples.answer_tokens / math.log(2) / max(size_bytes, 1),
    }
    return Measured(reported, len(pairs) / seconds)


class FineTuner:
    """The workload: a base model learns to answer. See tracker.training.workload.Workload."""

    task = "writing"
    knobs: Mapping[str, Knob] = {
        **TUNING_KNOBS,
        "target_length": Knob("int", 32, "tokens of an answer that are learned and written", low=2, high=32_768),
        "packing": Knob("bool", False, "put several pairs into a row, each seen alone, for little padding"),
        "validation_pairs": Knob("int", 200, "validation pairs to measure each epoch with; 0 for all", low=0),
        "test_pairs": Knob("int", 500, "test pairs to measure the trained model with; 0 for all", low=0),
    }
    metrics: Mapping[str, Direction] = {
        "chrf": Direction.MAXIMIZE,
        "validation_loss": Direction.MINIMIZE,
        "bits_per_byte": Direction.MINIMIZE,
        "training_loss": Direction.MINIMIZE,
    }
    data_options: Mapping[str, str] = {**TextTranslator.data_options, **TUNING_OPTIONS}

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Make or check the base models and gather the pairs. Raises DataError, WorkloadError."""
        return prepare_tuning(data, settings, self.task, template_of(data), cache, progress)

    def train(self, run: Run) -> None:
        """Tune one base model; keeps what was trained of it, and its settings."""
        settings = run.settings
        if run.device.type == "cpu":
            keep_freed_memory()
        folder = prepared_texts(run)
        start = Start.of(run, str(settings["base_model"]), self.task, template_of(run.data))
        packed, batch_size = bool(settings["packing"]), int(settings["batch_size"])
        used = max(1, round(float(settings["train_share"]) * load_text_card(folder).rows["train"]))
        train = start.prompter.examples(load_rows(folder, "train", used))
        validation = load_rows(folder, "validation", int(settings["validation_pairs"]))
        model = Tuned(tunable(start.network, start.tuning), start.prompter.padding, packed=packed).to(run.device)
        if packed:
            check_packing(model, train, run.device, quantised=start.tuning.base_weights in QUANTISED)
        if settings["compile"]:
            model.compile(dynamic=True)

        def plan(epoch: int) -> list[list[Row]]:
            return training_rows(train, batch_size, run.seed * SEED_STEP + epoch, packed=packed)

        rows = sum(map(len, plan(1)))
        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=lambda epoch: batches(train, plan(epoch), run.device),
            loss=answer_loss(run, train.answer_tokens / rows),
            evaluate=lambda tuned: measure(run, tuned, start.prompter, validation).reported,
            keep=lambda tuned, kept: start.save(tuned, template_of(run.data), settings, (), kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = measure(run, done.model, start.prompter, load_rows(folder, "test", int(settings["test_pairs"])))
        run.conclude(
            test_chrf=test.reported["chrf"],
            test_bits_per_byte=test.reported["bits_per_byte"],
            **sizes(model),
            flops=training_flops(model, start, tokens_of(train, plan, round(done.samples / rows))),
            samples_per_second=done.samples / done.seconds * len(train) / rows,
            predictions_per_second=test.predictions_per_second,
        )

    def prediction_texts(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> PredictionTexts:
        """Whole sources of the test split, and their targets. Raises DataError."""
        texts: PredictionTexts = lazy.call(
            "experiments.data.text_pairs:prediction_texts", data, {**settings, **DEDUPLICATED}, cache, limit
        )
        return replace(texts, fingerprint=self.prepare(data, settings, cache, lambda _: None).fingerprint)

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Source texts to the answers of the model that was kept in ``folder``. Raises DataError."""
        network, cutter, _ = kept_network(folder, weights, device, self.task)
        return lambda texts: write_answers(network, cutter, cutter.prompts(list(texts)), device) if texts else []

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[str]:
        """Whole sources of the test split. Raises DataError."""
        return list(self.prediction_texts(data, settings, cache, limit).inputs)

    @staticmethod
    def _untuned(run: Run) -> None:
        lazy.call("experiments.workloads.untuned_base:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"the base model untuned": _untuned}


def sizes(model: Tuned) -> dict[str, float]:
    """Parameters: of the whole model, and of what is trained of it."""
    trained = sum(each.numel() for _, each in model.trained())
    return {"parameters": sum(each.numel() for each in model.parameters()), "trained_parameters": trained}


def tokens_of(examples: Examples, plan: Callable[[int], list[list[Row]]], epochs: int) -> int:
    """The tokens of the batches of so many epochs, padding included."""
    lengths = examples.lengths.tolist()
    found = 0
    for epoch in range(1, epochs + 1):
        for rows in plan(epoch):
            width = max(sum(lengths[each] for each in row) for row in rows)
            found += len(rows) * (width + -width % WIDTH_MULTIPLE)
    return found


def training_flops(model: Tuned, start: Start, tokens: int) -> float:
    """Floating-point operations of training on so many tokens, without those of attention's products.

    Each token is multiplied with every parameter, and so are gradients on their way back, unless the head alone is
    trained; parameters that are trained take as many again (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    passes = 1 if start.tuning.method == "head" else 2
    return 2.0 * tokens * (passes * start.base.parameters + sizes(model)["trained_parameters"])


def check_packing(model: Tuned, examples: Examples, device: torch.device, *, quantised: bool) -> None:
    """Refuse packing where the network lets an example of a row see the one before it: tried, on two of them.

    The second is to be as it is alone, and as it is behind other tokens; quantised layers round by what is beside it.
    Raises DataError.
    """
    first, second = 0, min(1, len(examples) - 1)
    alone = next(batches(examples, [[[second]]], device))
    both = next(batches(examples, [[[first, second]]], device))
    begin = len(examples.prompts[first]) + len(examples.answers[first])
    count = len(examples.prompts[second]) + len(examples.answers[second])
    model.eval()
    with torch.no_grad():
        expected = model(alone[0], alone[2])[0, :count].float()
        found = model(both[0], both[2])[0, begin : begin + count].float()
        others = torch.cat([both[0][:, :begin].flip(1), both[0][:, begin:]], dim=1)
        behind_others = model(others, both[2])[0, begin : begin + count].float()
    largest = float(expected.abs().max())
    same = torch.allclose(found, expected, atol=0.02 * largest, rtol=0.02)
    if not same or not torch.allclose(found, behind_others, atol=(0.02 if quantised else 1e-4) * largest):
        raise DataError("packing = true: this kind of model lets a pair see the others of its row; allowed: false")
