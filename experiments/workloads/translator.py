"""A Transformer that writes a text for a text, trained from scratch: a translation, a summary, a description.

Reads from top to bottom: the workload, its loss, how it is measured, what is kept of it. The model is
experiments.workloads.translator_model, pairs of texts come as tokens from experiments.data, and the loop over epochs is
experiments.training_loop.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments import lazy
from experiments.data.pair_arrays import (
    TokenPairs,
    load_pair_card,
    load_pairs,
    load_vocabulary,
    prepare_pairs,
    prepared_pairs,
    written,
)
from experiments.data.token_arrays import MAX_TOKENS, PADDING, UNKNOWN
from experiments.inference import with_weights
from experiments.memory import keep_freed_memory
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from experiments.workloads.text_classifier import check_heads
from experiments.workloads.translator_model import Shape, Translator, translate
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import PredictionTexts, Predictor

EVALUATION_BATCH = 64
SEED_STEP = 100_003


class TextTranslator:
    """The workload: writes the target text of a source text. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 4, "the dial that width, heads and depth follow from", low=1, high=64),
        "width": Knob("int", None, "numbers in a token's state; default 32 × size", low=8, high=4096),
        "heads": Knob("int", None, "attention heads; default one for each 32 of the width", low=1, high=64),
        "depth": Knob("int", None, "layers of encoder and decoder each; default half of size", low=1, high=48),
        "dropout": Knob("float", 0.1, "share of embeddings and last states that is dropped", low=0.0, high=0.9),
        "source_length": Knob("int", 48, "tokens of a source that are read", low=4, high=MAX_TOKENS),
        "target_length": Knob("int", 32, "tokens of a target that are written", low=4, high=MAX_TOKENS - 1),
        "vocabulary_size": Knob("int", 4000, "tokens in the shared vocabulary, at most", low=64, high=100_000),
        "beam_width": Knob("int", 4, "texts that are written side by side to keep the best; 1: greedy", low=1, high=64),
        "length_penalty": Knob(
            "float", 1.0, "power of a text's length that its score is divided by", low=0.0, high=4.0
        ),
        "bucket_by_length": Knob("bool", True, "make batches of pairs of like length, with little padding"),
        "activation_checkpointing": Knob("bool", False, "compute activations twice rather than hold them in memory"),
        "deduplicate": Knob("bool", True, "drop repeated pairs, and test and validation sources that train has"),
        "train_share": Knob("float", 1.0, "share of the training split to use", low=0.001, high=1.0),
        "validation_pairs": Knob("int", 300, "validation pairs to measure each epoch with; 0 for all", low=0),
        "test_pairs": Knob("int", 1000, "test pairs to measure the trained model with; 0 for all", low=0),
        **LOOP_KNOBS,
        "label_smoothing": Knob("float", 0.1, LOOP_KNOBS["label_smoothing"].help, low=0.0, high=0.5),
    }
    metrics: Mapping[str, Direction] = {
        "chrf": Direction.MAXIMIZE,
        "bleu": Direction.MAXIMIZE,
        "validation_loss": Direction.MINIMIZE,
        "training_loss": Direction.MINIMIZE,
    }
    data_options: Mapping[str, str] = {
        "source": "'signatures', those of installed packages; the path of a csv or jsonl file; or 'datasets:NAME'",
        "source_column": "the column of the source texts, with dots where columns are nested; default 'source'",
        "target_column": "the column of the target texts; default 'target'",
        "split_column": "the column that says train, validation or test; default a split by hash of the source",
        "distribution": "signatures: the distribution whose dependencies are read; default this project",
        "files_per_package": "signatures: files that are read of each package; 0 for all; default 100",
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Gather the pairs, learn the vocabulary and cut the texts into tokens. Raises DataError, WorkloadError."""
        if settings.get("width") and settings.get("heads"):
            check_heads(int(settings["width"]), int(settings["heads"]))
        folder = prepare_pairs(data, settings, cache, progress)
        return load_pair_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one translator; keeps its weights, its tokenizer and its settings."""
        settings = run.settings
        torch.manual_seed(run.seed)
        if run.device.type == "cpu":
            keep_freed_memory()  # a third of a step's time
        folder = prepared_pairs(run)
        card, vocabulary = load_pair_card(folder), load_vocabulary(folder)
        used = max(1, round(float(settings["train_share"]) * card.rows["train"]))
        train = load_pairs(folder, "train", run.device, settings, used)
        validation = load_pairs(folder, "validation", run.device, settings, int(settings["validation_pairs"]))
        model = Translator(Shape.of(settings, card.vocabulary_size)).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)  # one compilation for batches of every width
        batch_size, by_length = int(settings["batch_size"]), bool(settings["bucket_by_length"])

        def plan(epoch: int) -> list[Tensor]:
            return train.shuffled(batch_size, run.seed * SEED_STEP + epoch, by_length=by_length)

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(used / batch_size),
            train_batches=lambda epoch: map(train.batch, plan(epoch)),
            loss=token_loss(run, train),
            evaluate=lambda trained: measure(run, trained, validation, vocabulary).reported,
            keep=lambda trained, kept: save(run, trained, folder / "tokenizer.json", kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test_split = load_pairs(folder, "test", run.device, settings, int(settings["test_pairs"]))
            test = measure(run, done.model, test_split, vocabulary)
        plans = [rows for epoch in range(1, done.samples // used + 1) for rows in plan(epoch)]
        run.conclude(
            test_chrf=test.reported["chrf"],
            test_bleu=test.reported["bleu"],
            parameters=sum(each.numel() for each in model.parameters()),
            flops=training_flops(model, train, plans),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,
            padding_share=train.padding_share(plans),
        )

    def prediction_texts(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> PredictionTexts:
        """Whole sources of the test split, and their targets. Raises DataError."""
        texts: PredictionTexts = lazy.call("experiments.data.text_pairs:prediction_texts", data, settings, cache, limit)
        return texts

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Source texts to the target texts of the model that ``save`` kept in ``folder``."""
        told = json.loads((folder / "settings.json").read_text())
        model = Translator(Shape(**told["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready, search, vocabulary = with_weights(model, weights, device), told["search"], load_vocabulary(folder)
        cut = lazy.call("experiments.data.text_pairs:tokenizer_of", folder / "tokenizer.json")

        def predict(texts: Sequence[str]) -> list[str]:
            rows = [torch.tensor(tokens[: model.shape.source_length] or [UNKNOWN]) for tokens in cut(texts)]
            found: list[str] = []
            for start in range(0, len(rows), EVALUATION_BATCH):
                batch = rows[start : start + EVALUATION_BATCH]
                source = nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=PADDING).to(device)
                with torch.inference_mode():
                    tokens = translate(ready, source, **search).tolist()
                found.extend(written(each, vocabulary) for each in tokens)
            return found

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[str]:
        """Whole sources of the test split. Raises DataError."""
        return list(self.prediction_texts(data, settings, cache, limit).inputs)

    @staticmethod
    def _nearest_pair(run: Run) -> None:
        lazy.call("experiments.workloads.nearest_pair:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"nearest training pair by TF-IDF": _nearest_pair}


@dataclass(frozen=True, slots=True)
class Measured:
    """A translator on some pairs: what is reported of it beside the training loss, and texts written a second."""

    reported: Mapping[str, float]
    predictions_per_second: float


def token_loss(run: Run, train: TokenPairs) -> Callable[[nn.Module, Batch], Tensor]:
    """Smoothed cross-entropy of the target tokens, padding left out, over the mean number of tokens in a target.

    Divided by that mean rather than by the tokens of the batch, every token counts alike in an epoch: whatever batch
    it is in, and however a batch is divided over parts and processes.
    """
    smoothing, tokens_of_a_target = float(run.settings["label_smoothing"]), train.target_tokens / len(train)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(model, batch, smoothing) / (len(batch[0]) * tokens_of_a_target)

    return loss


def cross_entropy(model: nn.Module, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Summed over the tokens of a batch's targets, each told from the true ones before it; padding is left out."""
    source, target = batch
    logits = model(source, target[:, :-1]).flatten(0, 1).float()
    right = target[:, 1:].flatten().long()
    return F.cross_entropy(logits, right, ignore_index=PADDING, reduction="sum", label_smoothing=label_smoothing)


def measure(run: Run, model: Translator, pairs: TokenPairs, vocabulary: Sequence[str]) -> Measured:
    """The model's loss on these pairs, and how near the texts that it writes are to the targets, whole ones."""
    search = search_settings(run.settings)
    loss_sum, texts = torch.zeros((), device=run.device), [""] * len(pairs)
    for rows in pairs.sorted(EVALUATION_BATCH):
        with torch.no_grad(), run.precision.autocast(run.device):
            loss_sum += cross_entropy(model, pairs.batch(rows))
    begin = time.perf_counter()
    for rows in pairs.sorted(EVALUATION_BATCH):
        with torch.no_grad(), run.precision.autocast(run.device):
            tokens = translate(model, pairs.batch(rows)[0], **search).tolist()
        for row, each in zip(rows.tolist(), tokens, strict=True):
            texts[row] = written(each, vocabulary)
    seconds = time.perf_counter() - begin
    scores = lazy.call("experiments.translation_scores:text_scores", texts, pairs.texts)
    return Measured({**scores, "validation_loss": loss_sum.item() / pairs.target_tokens}, len(pairs) / seconds)


def search_settings(settings: Settings) -> dict[str, Any]:
    """How texts are searched for: what ``translate`` is told beside the source."""
    return {"beam_width": int(settings["beam_width"]), "length_penalty": float(settings["length_penalty"])}


def training_flops(model: Translator, pairs: TokenPairs, plans: Iterable[Tensor]) -> float:
    """Floating-point operations of training on these batches, padding included.

    6 for each weight of a matrix and each token that passes it, and in each layer 12 × width × (tokens × tokens that
    they look at) for attention: forward and backward pass (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    of_source = [*model.encoder.parameters()]
    of_target = [*model.decoder.parameters(), model.tokens.weight]
    for layer in model.decoder:  # these project the source for the decoder to look at
        moved = [*layer.source_attention.key_value.parameters()]
        of_source += moved
        of_target = [each for each in of_target if all(each is not other for other in moved)]
    source_weights, target_weights = (sum(each.numel() for each in group) for group in (of_source, of_target))
    flops = 0.0
    for rows in plans:
        source, target = pairs.widths(rows)
        target -= 1  # the last token is told, not read
        looked_at = source * source + target * target + target * source
        attention = 12 * model.shape.depth * model.shape.width * looked_at
        flops += len(rows) * (6 * (source_weights * source + target_weights * target) + attention)
    return flops


def save(run: Run, model: nn.Module, tokenizer: Path, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the tokenizer and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    told = {"shape": asdict(model.shape), "search": search_settings(run.settings), "settings": dict(run.settings)}
    (folder / "settings.json").write_text(json.dumps(told, indent=2))
