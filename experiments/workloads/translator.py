"""A Transformer that writes a text for a text, trained from scratch: a translation, a summary, a description.

Reads from top to bottom: the model, an encoder of the source text and a decoder that writes the target token by token;
then the workload, its loss, how it is measured, what is kept of it. Pairs of texts come as tokens from
experiments.data, and the loop over epochs is experiments.training_loop.
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
from torch.utils.checkpoint import checkpoint

from experiments import lazy
from experiments.beam_search import beam_search
from experiments.data.pair_arrays import (
    BEGIN,
    END,
    NEVER_WRITTEN,
    TokenPairs,
    load_pair_card,
    load_pairs,
    load_vocabulary,
    prepare_pairs,
    prepared_pairs,
    written,
)
from experiments.data.table_reading import FILE_OPTIONS, ROW_OPTIONS
from experiments.data.token_arrays import MAX_TOKENS, PADDING, UNKNOWN
from experiments.inference import with_weights
from experiments.layers import attention
from experiments.memory import keep_freed_memory
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from experiments.workloads.text_classifier import check_heads
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import PredictionTexts, Predictor

WIDTH_PER_SIZE = 32
HEAD_WIDTH = 32
POSITION_DEVIATION = 0.5
"""Of the vectors of positions, where those of tokens have 1: both are then plain to see beside what layers add. With
0.02 for both, the validation loss of the signatures was 4.12 after four epochs, at the better of two learning rates; so
it is 3.86 after three."""

KeysValues = tuple[Tensor, Tensor]
"""Keys and values to attend to, each (batch, heads, length, width / heads)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model. The encoder and the decoder have ``depth`` layers each."""

    vocabulary_size: int
    source_length: int
    target_length: int
    width: int
    heads: int
    depth: int
    dropout: float
    activation_checkpointing: bool = False

    @classmethod
    def of(cls, settings: Settings, vocabulary_size: int) -> Shape:
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
            source_length=int(settings["source_length"]),
            target_length=int(settings["target_length"]),
            width=width,
            heads=heads,
            depth=int(settings.get("depth") or math.ceil(size / 2)),
            dropout=float(settings["dropout"]),
            activation_checkpointing=bool(settings["activation_checkpointing"]),
        )


class Attention(nn.Module):
    """Multi-head attention with its projections (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key_value = nn.Linear(shape.width, 2 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def keys_values(self, states: Tensor) -> KeysValues:
        """The keys and values of states (batch, length, width)."""
        split = self.key_value(states).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return split[0], split[1]

    def forward(self, states: Tensor, seen: KeysValues, real: Tensor | None = None, causal: bool = False) -> Tensor:
        """States (batch, length, width) after attention; ``real`` (batch, other length) is False at padding."""
        query = self.query(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
        mask = None if real is None else real[:, None, None, :]
        mixed: Tensor = self.output(attention(query, *seen, mask, causal=causal).transpose(1, 2).flatten(2))
        return mixed


class EncoderLayer(nn.Module):
    """Pre-norm (Xiong et al. 2020, arXiv:2002.04745): attention to the source, then a two-layer perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.perceptron = _perceptron(shape)

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        """States (batch, source length, width) to states of the same shape."""
        normed = self.attention_norm(states)
        states = states + self.attention(normed, self.attention.keys_values(normed), real)
        return states + self.perceptron(states)


class DecoderLayer(nn.Module):
    """Pre-norm: attention to what is written already, attention to the source, then a two-layer perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.source_norm = nn.LayerNorm(shape.width)
        self.source_attention = Attention(shape)
        self.perceptron = _perceptron(shape)

    def forward(
        self, states: Tensor, source: KeysValues, real: Tensor, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """States (batch, length, width) to states of the same shape, and the keys and values until then.

        With ``past``, the states are those of one position, after all that is in it.
        """
        normed = self.attention_norm(states)
        seen = self.attention.keys_values(normed)
        if past is not None:
            seen = torch.cat([past[0], seen[0]], dim=2), torch.cat([past[1], seen[1]], dim=2)
        states = states + self.attention(normed, seen, causal=past is None)
        states = states + self.source_attention(self.source_norm(states), source, real)
        return states + self.perceptron(states), seen


def _perceptron(shape: Shape) -> nn.Sequential:
    rise, fall = nn.Linear(shape.width, 4 * shape.width), nn.Linear(4 * shape.width, shape.width)
    return nn.Sequential(nn.LayerNorm(shape.width), rise, nn.ReLU(), fall)


class Translator(nn.Module):
    """Source tokens and the target tokens so far to the logits of the next target token.

    Tokens have PADDING at the end of each row. One table of the tokens' vectors serves as the output layer and, times
    the root of the width, as the embedding of both sides (Vaswani et al. 2017, section 3.4). Dropout falls on the
    embeddings and on the last states: on a CPU, drawing random numbers inside the layers takes a large share of a
    step's time.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary_size, shape.width)
        self.source_positions = nn.Embedding(shape.source_length, shape.width)
        self.target_positions = nn.Embedding(shape.target_length, shape.width)
        self.encoder = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.depth))
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.decoder = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.depth))
        self.decoder_norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        nn.init.normal_(self.tokens.weight, std=1 / math.sqrt(shape.width))
        for positions in (self.source_positions, self.target_positions):
            nn.init.normal_(positions.weight, std=POSITION_DEVIATION)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source (batch, source length) and target (batch, length) to logits (batch, length, vocabulary)."""
        real = source != PADDING
        return self.decode(target, self.encode(source), real)[0]

    def encode(self, source: Tensor) -> list[KeysValues]:
        """The keys and values of the source tokens for each layer of the decoder (batch, source length)."""
        real = source != PADDING
        states = self._embedded(source, self.source_positions.weight[: source.shape[1]])
        for layer in self.encoder:
            states = self._through(layer, states, real)
        states = self.encoder_norm(states)
        return [layer.source_attention.keys_values(states) for layer in self.decoder]

    def decode(
        self, target: Tensor, source: list[KeysValues], real: Tensor, past: list[KeysValues] | None = None
    ) -> tuple[Tensor, list[KeysValues]]:
        """Logits (batch, length, vocabulary) after each of the target tokens (batch, length), and the new past.

        With the ``past`` that a call before gave, ``target`` is the one token after it: nothing is computed twice.
        """
        start = 0 if past is None else past[0][0].shape[2]
        states, seen = self._embedded(target, self.target_positions.weight[start : start + target.shape[1]]), []
        for index, layer in enumerate(self.decoder):
            states, of_layer = self._through(layer, states, source[index], real, None if past is None else past[index])
            seen.append(of_layer)
        return F.linear(self.dropout(self.decoder_norm(states)), self.tokens.weight), seen

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.dropout(self.tokens(tokens) * math.sqrt(self.shape.width) + positions)
        return states

    def _through(self, layer: nn.Module, *inputs: Any) -> Any:
        if self.training and self.shape.activation_checkpointing:
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)


def translate(model: Translator, source: Tensor, *, beam_width: int, length_penalty: float) -> Tensor:
    """The target tokens (batch, longest), filled up with PADDING, that the model writes for source tokens."""
    memory = [tuple(part.repeat_interleave(beam_width, dim=0) for part in pair) for pair in model.encode(source)]
    real = (source != PADDING).repeat_interleave(beam_width, dim=0)
    past: list[KeysValues] | None = None

    def step(last: Tensor, parents: Tensor) -> Tensor:
        nonlocal past
        if past is not None:
            past = [(keys[parents], values[parents]) for keys, values in past]
        logits, past = model.decode(last.unsqueeze(1), memory, real, past)
        return logits[:, 0].float().log_softmax(dim=1)

    return beam_search(
        step, len(source), source.device, beam_width=beam_width, max_length=model.shape.target_length,
        begin=BEGIN, end=END, padding=PADDING, never=NEVER_WRITTEN, length_penalty=length_penalty,
    ).tokens  # fmt: skip


EVALUATION_BATCH = 64
SEED_STEP = 100_003


class TextTranslator:
    """The workload: writes the target text of a source text. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 4, "the size of the model: width, heads and depth follow from it", low=1, high=64),
        "width": Knob("int", None, "numbers in a token's state; default 32 × size", low=8, high=4096),
        "heads": Knob("int", None, "attention heads; default one for each 32 of the width", low=1, high=64),
        "depth": Knob("int", None, "layers of encoder and decoder each; default half of size", low=1, high=48),
        "dropout": Knob("float", 0.1, "dropout of embeddings and last states", low=0.0, high=0.9),
        "source_length": Knob("int", 48, "tokens of a source that are read", low=4, high=MAX_TOKENS),
        "target_length": Knob("int", 32, "tokens of a target that are written", low=4, high=MAX_TOKENS - 1),
        "vocabulary_size": Knob("int", 4000, "tokens in the shared vocabulary, at most", low=64, high=100_000),
        "beam_width": Knob("int", 4, "hypotheses of the beam search; 1 is greedy", low=1, high=64),
        "length_penalty": Knob(
            "float", 1.0, "length penalty: a score is divided by length to this power", low=0.0, high=4.0
        ),
        "bucket_by_length": Knob("bool", True, "batch pairs of similar length, for little padding"),
        "activation_checkpointing": Knob("bool", False, "recompute activations rather than keep them in memory"),
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
        "source": "'signatures', those of installed packages; a csv, tsv, json or jsonl file; or 'datasets:NAME'",
        "source_column": "the column of the source texts, with dots where columns are nested; default 'source'",
        "target_column": "the column of the target texts; default 'target'",
        "split_column": "the column that says train, validation or test; default a split by hash of the source",
        **FILE_OPTIONS,
        **ROW_OPTIONS,
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
        saved = json.loads((folder / "settings.json").read_text())
        model = Translator(Shape(**saved["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready, search, vocabulary = with_weights(model, weights, device), saved["search"], load_vocabulary(folder)
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
    """Summed over the tokens of a batch's targets, each predicted from the true ones before it; padding is left out."""
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
    """The search options of ``translate``."""
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
        target -= 1  # the last token is predicted, not read
        looked_at = source * source + target * target + target * source
        attention = 12 * model.shape.depth * model.shape.width * looked_at
        flops += len(rows) * (6 * (source_weights * source + target_weights * target) + attention)
    return flops


def save(run: Run, model: nn.Module, tokenizer: Path, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the tokenizer and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    saved = {"shape": asdict(model.shape), "search": search_settings(run.settings), "settings": dict(run.settings)}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
