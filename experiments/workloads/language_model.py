"""A GPT that learns to write a text, byte by byte or token by token, trained from scratch.

Reads from top to bottom: the workload, the windows it trains on, how it is measured, what is kept of it. The model is
experiments.workloads.gpt, texts come as streams of tokens from experiments.data, and the loop over epochs is
experiments.training_loop.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments import lazy
from experiments.data.token_streams import (
    TOKENIZER,
    TokenStream,
    load_stream,
    load_stream_card,
    load_tokens,
    prepare_streams,
    prepared_streams,
    spread_texts,
    text_coder,
)
from experiments.data.windows import NO_TARGET, evaluation_windows, steps_per_epoch, training_windows
from experiments.inference import with_weights
from experiments.memory import keep_freed_memory
from experiments.stream_scores import STREAM_METRICS, StreamScores, stream_scores
from experiments.training_loop import LOOP_KNOBS, fit
from experiments.workloads.gpt import Gpt, Shape, write_on
from experiments.workloads.text_classifier import check_heads
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

PROMPT_BYTES = 100
CONTINUATION_TOKENS = 100
"""What is written after a prompt, at most: one prediction."""

TEMPERATURE = 0.8
SAMPLES = 3
SAMPLE_SECONDS = 4.0
"""Longer than that no sample is written on."""


class LanguageModel:
    """The workload: foretells the next byte or token of a text. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the dial that width, heads and depth follow from; 12 is GPT-2", low=1, high=48),
        "width": Knob("int", None, "numbers in a token's state; default 64 × size", low=8, high=8192),
        "heads": Knob("int", None, "attention heads; default one for each 64 of the width", low=1, high=128),
        "depth": Knob("int", None, "layers; default size", low=1, high=96),
        "context_length": Knob("int", 256, "tokens that are looked back at", low=8, high=65_536),
        "vocabulary_size": Knob("int", 0, "tokens learnt on the training split; 0 for bytes", low=0, high=200_000),
        "dropout": Knob("float", 0.0, "share of embeddings and of what layers add that is dropped", low=0.0, high=0.9),
        "activation_checkpointing": Knob("bool", False, "compute activations twice rather than hold them in memory"),
        "deduplicate": Knob("bool", True, "drop texts that the split, or the training split, has already"),
        "train_share": Knob("float", 1.0, "share of the training split to use", low=0.001, high=1.0),
        "train_bytes": Knob("int", 0, "bytes of that share to use, at most; 0 for all", low=0),
        "validation_bytes": Knob("int", 0, "bytes of validation text to measure each epoch with; 0 for all", low=0),
        "test_bytes": Knob("int", 0, "bytes of test text to measure the trained model with; 0 for all", low=0),
        **LOOP_KNOBS,
        "batch_size": Knob("int", 16, "windows of context_length tokens in one step", low=1),
    }  # fmt: skip
    metrics: Mapping[str, Direction] = STREAM_METRICS
    data_options: Mapping[str, str] = {
        "source": "'standard_library', Python's source; a text file, a folder of them; or 'datasets:NAME[:CONFIG]'",
        "pattern": "of a folder: which files, with blanks between patterns; default '*.txt *.md *.py'",
        "text_column": "of 'datasets:NAME': the column of the texts; default 'text'",
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Gather the texts, split them by file and write them as bytes or tokens. Raises DataError, WorkloadError."""
        if settings.get("width") and settings.get("heads"):
            check_heads(int(settings["width"]), int(settings["heads"]))
        folder = prepare_streams(data, settings, cache, progress)
        return load_stream_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one model; keeps its weights, its vocabulary, its settings and a few samples of what it writes."""
        settings = run.settings
        torch.manual_seed(run.seed)
        if run.device.type == "cpu":
            keep_freed_memory()
        folder = prepared_streams(run)
        shape = Shape.of(settings, load_stream_card(folder).vocabulary_size)
        train, validation = training_tokens(run, folder), evaluation_stream(run, folder, "validation")
        batch_size = int(settings["batch_size"])
        model = Gpt(shape).to(run.device)
        if settings["compile"]:
            model.compile()
        smoothing = float(settings["label_smoothing"])
        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=steps_per_epoch(train, shape.context_length, batch_size),
            train_batches=lambda epoch: training_windows(train, shape.context_length, batch_size, run.seed + epoch),
            loss=lambda trained, batch: trained(batch[0], batch[1], smoothing),
            evaluate=lambda trained: text_scores(run, trained, validation).reported,
            keep=lambda trained, kept: save(run, trained, folder, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = text_scores(run, done.model, evaluation_stream(run, folder, "test"))
            predictions_per_second = write_samples(run, done.model, folder)
        tokens = done.samples * shape.context_length
        run.conclude(
            test_bits_per_byte=test.bits_per_byte,
            parameters=sum(each.numel() for each in model.parameters()),
            flops=tokens * model.flops_per_token,
            samples_per_second=done.samples / done.seconds,
            tokens_per_second=tokens / done.seconds,
            predictions_per_second=predictions_per_second,
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Texts to what the model that ``save`` kept in ``folder`` writes after them: the same for the same text."""
        told = json.loads((folder / "settings.json").read_text())
        model = Gpt(Shape(**told["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)
        encode, decode = text_coder(folder, model.shape.vocabulary_size)

        def predict(prompts: Sequence[str]) -> list[str]:
            return [decode(_continuation(ready, encode(each), told["separator"])) for each in prompts]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[str]:
        """Beginnings of lines and what follows, evenly spread over the test split. Raises DataError."""
        folder = prepare_streams(data, settings, cache, lambda _: None)
        return spread_texts(folder, "test", limit, PROMPT_BYTES)

    @staticmethod
    def _byte_ngrams(run: Run) -> None:
        lazy.call("experiments.workloads.byte_ngrams:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"byte n-grams, Witten-Bell": _byte_ngrams}


def training_tokens(run: Run, folder: Path, *, as_bytes: bool = False) -> Tensor:
    """The share of the training text that the settings ask for, on the run's device."""
    share, first_bytes = float(run.settings["train_share"]), int(run.settings["train_bytes"])
    return load_tokens(folder, "train", run.device, share=share, first_bytes=first_bytes, as_bytes=as_bytes)


def evaluation_stream(run: Run, folder: Path, split: str, *, as_bytes: bool = False) -> TokenStream:
    """The validation or the test text that the settings ask for, on the run's device."""
    first_bytes = int(run.settings[f"{split}_bytes"])
    return load_stream(folder, split, run.device, first_bytes=first_bytes, as_bytes=as_bytes)


@torch.no_grad()
def text_scores(run: Run, model: nn.Module, stream: TokenStream) -> StreamScores:
    """The scores on a whole text; each window is foretold from what it holds alone."""
    model.eval()
    nats = torch.zeros(int(stream.slices.max()) + 1, dtype=torch.float64, device=run.device)
    for inputs, targets, slices in evaluation_windows(stream.tokens, stream.slices, model.shape.context_length):
        with run.precision.autocast(run.device):
            logits = model(inputs)
        cost = F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET, reduction="none"
        )
        nats.index_add_(0, slices.flatten(), cost.double())
    return stream_scores(stream, nats.cpu().numpy())


def write_samples(run: Run, model: Gpt, folder: Path) -> float:
    """Write what the model makes of a few prompts of the test text into samples.txt; predictions a second."""
    encode, decode = text_coder(folder, model.shape.vocabulary_size)
    separator = separator_of(folder)
    told, count, begin = [], 0, time.perf_counter()
    with run.precision.autocast(run.device):
        for prompt in ["", *spread_texts(folder, "test", SAMPLES - 1, PROMPT_BYTES)]:
            written = _continuation(model, encode(prompt), separator, seed=run.seed, seconds=SAMPLE_SECONDS)
            told.append(f"=== after:\n{prompt or '(the beginning of a text)'}\n=== it writes:\n{decode(written)}\n")
            count += max(1, len(written))
    seconds = time.perf_counter() - begin
    run.artifact("samples.txt").write_text("\n".join(told), encoding="utf-8")
    return count / CONTINUATION_TOKENS / seconds


def _continuation(
    model: Gpt, prompt: Sequence[int], separator: int, *, seed: int = 0, seconds: float = math.inf
) -> list[int]:
    return write_on(
        model,
        prompt or [separator],
        CONTINUATION_TOKENS,
        temperature=TEMPERATURE,
        stop=separator,
        seed=seed,
        seconds=seconds,
    )


def separator_of(folder: Path) -> int:
    """The token between texts: every stream begins with it."""
    return int(load_tokens(folder, "test", torch.device("cpu"))[0])


def save(run: Run, model: Gpt, prepared: Path, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the vocabulary and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    if (prepared / TOKENIZER).exists():
        shutil.copyfile(prepared / TOKENIZER, folder / TOKENIZER)
    told = {"shape": asdict(model.shape), "separator": separator_of(prepared), "settings": dict(run.settings)}
    (folder / "settings.json").write_text(json.dumps(told, indent=2))
