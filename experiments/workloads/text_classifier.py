"""A Transformer that classifies texts, trained from scratch.

Reads from top to bottom: the shape, the model, the batches, the training. Texts come as tokens from
experiments.data, and the loop over epochs is experiments.training_loop.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from experiments import lazy
from experiments.data.batches import BatchPlan, shuffled_batches, sorted_batches
from experiments.data.corpus import with_classes
from experiments.data.prepared import prepare_tokens, prepared_tokens
from experiments.data.table_reading import FILE_OPTIONS, ROW_OPTIONS
from experiments.data.token_arrays import MAX_TOKENS, PADDING, UNKNOWN, TokenizedTexts, load_card, load_texts
from experiments.inference import with_weights
from experiments.layers import attention
from experiments.scores import CLASSIFIER_METRICS, classification_loss, classifier_scores
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.errors import WorkloadError
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.meter import bytes_below
from tracker.training.run import Run
from tracker.training.workload import PredictionTexts, Predictor

WIDTH_PER_SIZE = 32
HEAD_WIDTH = 32
EMBEDDING_DEVIATION = 0.02
EVALUATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model. A head's share of the width is width / heads."""

    vocabulary_size: int
    classes: int
    max_length: int
    width: int
    heads: int
    depth: int
    dropout: float
    token_dropout: float
    activation_checkpointing: bool = False

    @classmethod
    def of(cls, settings: Settings, vocabulary_size: int, classes: int) -> Shape:
        """The shape that the settings ask for.

        ``size`` gives width = 32 × size, depth = size / 2 rounded up, and heads of 32 (fewer, wider ones
        where those do not fill the width); a width, heads or depth that is set is taken instead. Raises
        WorkloadError where the heads cannot share the width evenly.
        """
        size = int(settings["size"])
        width = int(settings.get("width") or WIDTH_PER_SIZE * size)
        fitting = max(heads for heads in range(1, max(1, width // HEAD_WIDTH) + 1) if width % heads == 0)
        heads = int(settings.get("heads") or fitting)
        check_heads(width, heads)
        return cls(
            vocabulary_size=vocabulary_size,
            classes=classes,
            max_length=int(settings["max_length"]),
            width=width,
            heads=heads,
            depth=int(settings.get("depth") or math.ceil(size / 2)),
            dropout=float(settings["dropout"]),
            token_dropout=float(settings["token_dropout"]),
            activation_checkpointing=bool(settings.get("activation_checkpointing", False)),
        )


def check_heads(width: int, heads: int) -> None:
    """Raises WorkloadError where the heads cannot share the width evenly."""
    if width % heads:
        allowed = ", ".join(str(each) for each in range(1, min(width, 64) + 1) if width % each == 0)
        raise WorkloadError(f"width {width} cannot be shared by {heads} heads; allowed with it: {allowed}")


class Layer(nn.Module):
    """A pre-norm encoder layer (Xiong et al. 2020, arXiv:2002.04745): attention, then a two-layer perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm = nn.LayerNorm(shape.width)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)
        self.perceptron_norm = nn.LayerNorm(shape.width)
        self.rise = nn.Linear(shape.width, 4 * shape.width)
        self.fall = nn.Linear(4 * shape.width, shape.width)

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        """States (batch, length, width) to states of the same shape."""
        batch, length, width = states.shape
        split = self.query_key_value(self.attention_norm(states)).view(batch, length, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = attention(query, key, value, real[:, None, None, :]).transpose(1, 2).reshape(batch, length, width)
        states = states + self.output(mixed)
        mapped: Tensor = self.fall(F.relu(self.rise(self.perceptron_norm(states))))
        return states + mapped


class Classifier(nn.Module):
    """Tokens (batch, length), with PADDING at the end of each row, to logits (batch, classes).

    While training, a share of the tokens is hidden from it and a share of the mean is dropped. Nothing is
    dropped inside the layers: on a CPU, drawing those random numbers took a quarter of a step's time.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary_size, shape.width)
        self.positions = nn.Embedding(shape.max_length, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(shape.width, shape.classes)
        nn.init.normal_(self.tokens.weight, std=EMBEDDING_DEVIATION)
        nn.init.normal_(self.positions.weight, std=EMBEDDING_DEVIATION)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the classes for each row."""
        real = tokens != PADDING
        if self.training and self.shape.token_dropout:
            hidden = torch.rand(tokens.shape, device=tokens.device) < self.shape.token_dropout
            tokens = tokens.masked_fill(hidden & real, UNKNOWN)
        states = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            if self.training and self.shape.activation_checkpointing:
                states = checkpoint(layer, states, real, use_reentrant=False)
            else:
                states = layer(states, real)
        counted = real.unsqueeze(-1).to(states.dtype)
        mean = (self.norm(states) * counted).sum(dim=1) / counted.sum(dim=1)
        logits: Tensor = self.head(self.dropout(mean))
        return logits


class TextClassifier:
    """The workload: classifies texts. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the size of the model: width, heads and depth follow from it", low=1, high=64),
        "width": Knob("int", None, "numbers in a token's state; default 32 × size", low=8, high=4096),
        "heads": Knob("int", None, "attention heads; default one for each 32 of the width", low=1, high=64),
        "depth": Knob("int", None, "encoder layers; default half of size, rounded up", low=1, high=48),
        "dropout": Knob("float", 0.2, "dropout of a text's mean state", low=0.0, high=0.9),
        "token_dropout": Knob("float", 0.5, "share of tokens masked during training", low=0.0, high=0.9),
        "max_length": Knob("int", 128, "tokens of a text that are read", low=4, high=MAX_TOKENS),
        "vocabulary_size": Knob("int", 8000, "tokens in the vocabulary, at most", low=64, high=100_000),
        "remove_stop_words": Knob("bool", True, "leave out the commonest English words"),
        "keep_punctuation": Knob("bool", False, "read punctuation as tokens of its own"),
        "deduplicate": Knob("bool", False, "leave out training texts that, once cleaned, are there before"),
        "bucket_by_length": Knob("bool", True, "batch texts of similar length, for little padding"),
        "activation_checkpointing": Knob("bool", False, "recompute layers in the backward pass, to save memory"),
        "train_documents": Knob("int", 0, "training texts to use; 0 for all", low=0),
        "validation_documents": Knob("int", 0, "validation texts to measure each epoch with; 0 for all", low=0),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = CLASSIFIER_METRICS
    data_options: Mapping[str, str] = {
        "source": "'docstrings' of the packages installed here, a csv, tsv, json or jsonl file, or 'datasets:NAME'",
        "distribution": "of docstrings: those of what this installed distribution depends on; default this project",
        "text_column": "the column of the texts; default 'text'",
        "label_column": "the column of the classes; default 'label'",
        "split_column": "the column that says train, validation or test; default a split by hash of the text",
        **FILE_OPTIONS,
        **ROW_OPTIONS,
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Gather the texts, learn the vocabulary and cut the texts into tokens. Raises DataError, WorkloadError."""
        if settings.get("width") and settings.get("heads"):
            check_heads(int(settings["width"]), int(settings["heads"]))
        folder = prepare_tokens(data, settings, cache, progress)
        corpus, size_bytes = load_card(folder), bytes_below(folder)
        description = with_classes(corpus.description, corpus.classes)
        return DataCard(corpus.name, corpus.fingerprint, corpus.rows, len(corpus.classes), description, size_bytes)

    def train(self, run: Run) -> None:
        """Train one classifier; keeps its weights, its tokenizer and its settings."""
        settings = run.settings
        torch.manual_seed(run.seed)
        folder = prepared_tokens(run)
        corpus = load_card(folder)
        shape = Shape.of(settings, corpus.vocabulary_size, len(corpus.classes))
        train = load_texts(folder, "train", run.device, shape.max_length)
        validation = load_texts(
            folder, "validation", run.device, shape.max_length, int(settings["validation_documents"])
        )
        model = Classifier(shape).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)  # one compilation for batches of every width
        batch_size, by_length = int(settings["batch_size"]), bool(settings["bucket_by_length"])
        plans = list[BatchPlan]()

        def train_batches(epoch: int) -> Iterator[Batch]:
            plan = shuffled_batches(train.host_lengths, batch_size, seeded(run.seed + epoch), by_length=by_length)
            plans.extend(plan)
            return batches(train, plan)

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=train_batches,
            loss=classification_loss(run),
            evaluate=lambda trained: classifier_scores(run, trained, batches(validation)).reported,
            keep=lambda trained, kept: save(run, trained, corpus.classes, folder / "tokenizer.json", kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = classifier_scores(run, done.model, batches(load_texts(folder, "test", run.device, shape.max_length)))
        run.conclude(
            test_accuracy=test.accuracy,
            parameters=sum(each.numel() for each in model.parameters()),
            flops=training_flops(model, plans),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,  # by now everything is compiled
        )

    def prediction_texts(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> PredictionTexts:
        """Whole texts of the test split, and the names of their classes. Raises DataError."""
        del settings  # they change what the classifier reads of a text, not the text
        texts: PredictionTexts = lazy.call("experiments.data.text_preparation:prediction_texts", data, cache, limit)
        return texts

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Texts to the names of their classes, by the model that ``save`` kept in ``folder``."""
        saved = json.loads((folder / "settings.json").read_text())
        shape, settings = Shape(**saved["shape"]), saved["settings"]
        model = Classifier(shape)
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)
        cut = lazy.call("experiments.data.text_preparation:tokenizer_of", folder / "tokenizer.json", settings)

        def predict(texts: Sequence[str]) -> list[str]:
            rows = [torch.tensor(tokens[: shape.max_length] or [UNKNOWN]) for tokens in cut(texts)]
            padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)
            with torch.inference_mode():
                found = ready(padded.to(device)).argmax(dim=1).tolist()
            return [saved["classes"][index] for index in found]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[str]:
        """Whole texts of the test split. Raises DataError."""
        return list(self.prediction_texts(data, settings, cache, limit).inputs)

    @staticmethod
    def _bag_of_words(run: Run) -> None:
        lazy.call("experiments.workloads.bag_of_words:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"TF-IDF + logistic regression": _bag_of_words}


def batches(texts: TokenizedTexts, plan: list[BatchPlan] | None = None) -> Iterator[Batch]:
    """The planned batches of ``texts``; without a plan, all of them by length."""
    for each in plan or sorted_batches(texts.host_lengths, EVALUATION_BATCH):
        yield texts.padded(each.rows.to(texts.tokens.device, non_blocking=True), each.width)


def seeded(seed: int) -> torch.Generator:
    """A generator of its own, so that the order of the batches depends on the seed alone."""
    return torch.Generator().manual_seed(seed)


def training_flops(model: Classifier, plans: list[BatchPlan]) -> float:
    """Floating-point operations of training on these batches, padding included.

    Per token 6 N + 12 × depth × width × length, with N the parameters that are not embeddings: forward and
    backward pass (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    matrices = sum(each.numel() for each in (*model.layers.parameters(), *model.head.parameters()))
    per_position = 12 * model.shape.depth * model.shape.width
    return float(sum(len(plan.rows) * plan.width * (6 * matrices + per_position * plan.width) for plan in plans))


def save(run: Run, model: nn.Module, classes: tuple[str, ...], tokenizer: Path, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the tokenizer and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    saved = {"shape": asdict(model.shape), "classes": classes, "settings": dict(run.settings)}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
