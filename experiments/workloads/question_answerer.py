"""Which span of a text answers a question? A small Transformer encoder with start and end heads, trained from scratch.

Reads from top to bottom: the shape, the model, the workload, the span that it chooses. Questions and texts come as
tokens from experiments.data, and the loop over epochs is experiments.training_loop. A text longer than
``context_length`` tokens is looked at in windows that overlap by half.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments import lazy
from experiments.answer_scores import answer_scores
from experiments.data.pair_arrays import load_pair_card
from experiments.data.questions import prepare_questions, prepared_questions, question_inputs
from experiments.data.span_arrays import Windows, Written, has_unanswered, in_memory, load_windows, load_written
from experiments.data.token_arrays import MAX_TOKENS, PADDING
from experiments.inference import with_weights
from experiments.layers import attention
from experiments.memory import keep_freed_memory
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.errors import DataError
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

WIDTH_PER_SIZE = 32
HEAD_WIDTH = 16
REACH = 3
"""Tokens on either side that a layer's convolution mixes into one; so many empty places part question and text."""
EVALUATION_BATCH = 64
SEED_STEP = 100_003


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model."""

    vocabulary_size: int
    question_length: int
    context_length: int
    width: int
    depth: int
    dropout: float

    @classmethod
    def of(cls, settings: Settings, vocabulary_size: int) -> Shape:
        """The shape that the settings ask for: ``size`` gives width = 32 × size and depth = 1 + size / 2, up."""
        size = int(settings["size"])
        return cls(
            vocabulary_size=vocabulary_size,
            question_length=int(settings["question_length"]),
            context_length=int(settings["context_length"]),
            width=WIDTH_PER_SIZE * size,
            depth=1 + math.ceil(size / 2),
            dropout=float(settings["dropout"]),
        )


class Layer(nn.Module):
    """A convolution over neighbours, attention, a perceptron: the block of QANet (Yu et al. 2018, arXiv:1804.09541).

    The convolution says what is beside what, which attention over so few texts hardly learns from positions alone.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.before_mixing, self.before_attention = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixing = nn.Conv1d(width, width, 2 * REACH + 1, padding=REACH, groups=width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        """States (batch, length, width) to states of the same shape; ``real`` (batch, length) is False at padding."""
        normed = self.before_mixing(states) * real.unsqueeze(2)
        states = states + self.mixing(normed.transpose(1, 2)).transpose(1, 2)
        parts = self.qkv(self.before_attention(states)).unflatten(2, (3, self.heads, HEAD_WIDTH))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = attention(query, key, value, real[:, None, None, :]).transpose(1, 2).flatten(2)
        states = states + self.out(mixed)
        changed: Tensor = self.mlp(states)
        return states + changed


class Reader(nn.Module):
    """Question (b, q) and text (b, t), tokens with PADDING at their ends, to logits (b, 1 + t, 2) of start and end.

    Position 0 says that the answer is not in the text. Each token also says whether the other side has it, as in
    DrQA (Chen et al. 2017, arXiv:1704.00051, section 3.2).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary_size, shape.width)
        self.question_positions = nn.Embedding(shape.question_length, shape.width)
        self.text_positions = nn.Embedding(shape.context_length, shape.width)
        self.shared = nn.Parameter(torch.zeros(2, shape.width))
        self.layers = nn.ModuleList(Layer(shape.width) for _ in range(shape.depth))
        self.norm, self.dropout = nn.LayerNorm(shape.width), nn.Dropout(shape.dropout)
        self.heads = nn.Linear(shape.width, 2)
        for table in (self.tokens, self.question_positions, self.text_positions):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, question: Tensor, text: Tensor) -> Tensor:
        """The logits; -inf at padding."""
        asked, found = question != PADDING, text != PADDING
        same = (question.unsqueeze(2) == text.unsqueeze(1)) & asked.unsqueeze(2)
        question_states = self.tokens(question) + self.question_positions.weight[: question.shape[1]]
        text_states = self.tokens(text) + self.text_positions.weight[: text.shape[1]]
        question_states = question_states + same.any(2).unsqueeze(2) * self.shared[0]
        text_states = text_states + same.any(1).unsqueeze(2) * self.shared[1]
        gap = question_states.new_zeros(len(question), REACH, self.shape.width)
        states = self.dropout(torch.cat([question_states, gap, text_states], dim=1))
        real = torch.cat([asked, asked.new_zeros(len(question), REACH), found], dim=1)
        for layer in self.layers:
            states = layer(states, real)
        kept = torch.cat([states[:, :1], states[:, question.shape[1] + REACH :]], dim=1)
        logits: Tensor = self.heads(self.dropout(self.norm(kept)))
        possible = torch.cat([asked[:, :1], found], dim=1)
        return logits.masked_fill(~possible.unsqueeze(2), -math.inf)


class QuestionAnswerer:
    """The workload: finds the answer in a text. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the size of the model: width and depth follow from it", low=1, high=64),
        "context_length": Knob("int", 128, "tokens of a text that are looked at together", low=8, high=4096),
        "question_length": Knob("int", 24, "tokens of a question that are read", low=4, high=MAX_TOKENS),
        "answer_length": Knob("int", 48, "tokens that an answer may have", low=1, high=MAX_TOKENS),
        "vocabulary_size": Knob("int", 2000, "tokens in the vocabulary, at most", low=64, high=100_000),
        "dropout": Knob("float", 0.1, "dropout of embeddings and last states", low=0.0, high=0.9),
        "train_share": Knob("float", 1.0, "share of the training questions to use", low=0.001, high=1.0),
        "validation_questions": Knob("int", 500, "validation questions to measure each epoch with; 0 for all", low=0),
        "test_questions": Knob("int", 1000, "test questions to measure the trained model with; 0 for all", low=0),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = {
        "f1": Direction.MAXIMIZE,
        "exact_match": Direction.MAXIMIZE,
        "validation_loss": Direction.MINIMIZE,
        "training_loss": Direction.MINIMIZE,
    }
    data_options: Mapping[str, str] = {
        "source": "'templates', questions that templates make of the installed packages' functions; a json file in "
        "SQuAD's form (1.1 or 2.0); or a folder with train.json, validation.json and test.json",
        "corrupt": "what to do about a question that cannot be used: 'fail' (the default) or 'skip'",
        "distribution": "templates: the distribution whose dependencies are read; default this project",
        "files_per_package": "templates: files that are read of each package; 0 for all; default 25",
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Gather the questions, learn the vocabulary and cut the texts into tokens. Raises DataError."""
        folder = prepare_questions(data, settings, cache, progress)
        return load_pair_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one reader; keeps its weights, its tokenizer and its settings."""
        settings = run.settings
        torch.manual_seed(run.seed)
        if run.device.type == "cpu":
            keep_freed_memory()
        folder = prepared_questions(run)
        card, batch_size = load_pair_card(folder), int(settings["batch_size"])
        used = max(1, round(float(settings["train_share"]) * card.rows["train"]))
        train = load_windows(folder, "train", run.device, settings, used)
        validation = load_windows(folder, "validation", run.device, settings, int(settings["validation_questions"]))
        written = load_written(folder, "validation")
        unanswered = has_unanswered(folder)
        shape = Shape.of(settings, card.vocabulary_size)
        model = Reader(shape).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)  # one compilation for batches of every width

        def plan(epoch: int) -> list[Tensor]:
            return train.shuffled(batch_size, run.seed * SEED_STEP + epoch)

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=lambda epoch: map(train.batch, plan(epoch)),
            loss=span_loss(run),
            evaluate=lambda trained: measure(run, trained, validation, written, unanswered).reported,
            keep=lambda trained, kept: save(run, trained, shape, folder / "tokenizer.json", unanswered, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test_split = load_windows(folder, "test", run.device, settings, int(settings["test_questions"]))
            test = measure(run, done.model, test_split, load_written(folder, "test"), unanswered)
        run.conclude(
            test_f1=test.reported["f1"],
            test_exact_match=test.reported["exact_match"],
            parameters=sum(each.numel() for each in model.parameters()),
            flops=training_flops(model, train, (plan(each) for each in range(1, done.samples // len(train) + 1))),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Questions with their texts to answers, by the model that ``save`` kept in ``folder``.

        An input is an object with "question" and "context", both texts. Raises DataError for anything else.
        """
        saved = json.loads((folder / "settings.json").read_text())
        model = Reader(Shape(**saved["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        network, settings = with_weights(model, weights, device), saved["settings"]
        cut = lazy.call("experiments.data.question_sources:cutter", folder / "tokenizer.json")

        def predict(inputs: Sequence[Any]) -> list[str]:
            if not inputs:
                return []
            asked = [question_of(given, number) for number, given in enumerate(inputs, start=1)]
            windows, written = in_memory(cut(asked), settings)
            with torch.inference_mode():
                batches = ((rows, windows.batch(rows)) for rows in windows.sorted(EVALUATION_BATCH))
                logits = ((rows, network(*(each.to(device) for each in batch[:2]))) for rows, batch in batches)
                return answers_of(logits, windows, written, int(settings["answer_length"]), saved["unanswered"])

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """Questions of the test split with their texts, as ``predictor`` takes them. Raises DataError."""
        del settings
        return list(question_inputs(data, cache, limit))

    @staticmethod
    def _nearest_sentence(run: Run) -> None:
        lazy.call("experiments.workloads.nearest_sentence:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"nearest sentence by TF-IDF": _nearest_sentence}


@dataclass(frozen=True, slots=True)
class Measured:
    """A reader on some questions: what is reported of it beside the training loss, and answers a second."""

    reported: Mapping[str, float]
    predictions_per_second: float


def span_loss(run: Run) -> Callable[[nn.Module, Batch], Tensor]:
    """The mean cross-entropy of start and end of the answer's span in a window."""
    smoothing = float(run.settings["label_smoothing"])
    return lambda model, batch: cross_entropy(model(*batch[:2]), batch[2], smoothing).mean()


def cross_entropy(logits: Tensor, spans: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Of logits (b, positions, 2) and spans (b, 2), for each of b the mean of start and end.

    Smoothing spreads its share of a label over the positions that can be one.
    """
    likelihood = logits.float().log_softmax(dim=1)
    losses = -likelihood.gather(1, spans.unsqueeze(1)).squeeze(1)
    if label_smoothing:
        possible = likelihood.isfinite()
        spread = -likelihood.masked_fill(~possible, 0.0).sum(1) / possible.sum(1)
        losses = (1 - label_smoothing) * losses + label_smoothing * spread
    return losses.mean(dim=1)


def measure(run: Run, model: nn.Module, windows: Windows, written: Written, unanswered: bool) -> Measured:
    """The model's loss on these windows, and how near its answers are to the right ones."""
    begin, loss_sum = time.perf_counter(), torch.zeros((), device=run.device)

    def logits() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal loss_sum
        for rows in windows.sorted(EVALUATION_BATCH):
            question, text, spans = windows.batch(rows)
            with torch.no_grad(), run.precision.autocast(run.device):
                found = model(question, text)
            loss_sum += cross_entropy(found, spans).sum()
            yield rows, found

    answers = answers_of(logits(), windows, written, int(run.settings["answer_length"]), unanswered)
    seconds = time.perf_counter() - begin
    scores = answer_scores(answers, written.answers[: len(answers)])
    return Measured({**scores, "validation_loss": loss_sum.item() / len(windows)}, len(answers) / seconds)


def answers_of(
    logits: Iterator[tuple[Tensor, Tensor]], windows: Windows, written: Written, longest: int, unanswered: bool
) -> list[str]:
    """The answer to each question, from the logits of windows and their rows: the likeliest span of all its windows.

    It is "" only if ``unanswered``, and where in every window "no answer" is likelier than any span.
    """
    found = torch.empty(len(windows), 4, dtype=torch.float64)
    for rows, each in logits:
        found[rows] = best_spans(each, longest).double().cpu()
    likeliest = [(-math.inf, 0, 0)] * len(windows.questions)
    nothing = [math.inf] * len(windows.questions)
    rows_of = zip(windows.question.tolist(), windows.begin.tolist(), found.tolist(), strict=True)
    for question, begin, (score, score_of_nothing, first, last) in rows_of:
        likeliest[question] = max(likeliest[question], (score, begin + int(first), begin + int(last)))
        nothing[question] = min(nothing[question], score_of_nothing)
    return [
        "" if unanswered and nothing[question] > score else written.span(question, first, last)
        for question, (score, first, last) in enumerate(likeliest)
    ]


def best_spans(logits: Tensor, longest: int) -> Tensor:
    """Of logits (b, 1 + t, 2): log-likelihood of the best span and of none, its first and last token, (b, 4)."""
    likelihood = logits.float().log_softmax(dim=1)
    start, end = likelihood[:, 1:].unbind(2)
    tokens = start.shape[1]
    allowed = torch.ones(tokens, tokens, dtype=torch.bool, device=logits.device).triu().tril(longest - 1)
    spans = (start.unsqueeze(2) + end.unsqueeze(1)).masked_fill(~allowed, -math.inf)
    score, place = spans.flatten(1).max(dim=1)
    return torch.stack([score, likelihood[:, 0].sum(1), place // tokens, place % tokens], dim=1)


def training_flops(model: Reader, windows: Windows, epochs: Iterator[list[Tensor]]) -> float:
    """Floating-point operations of training on these batches, padding included.

    6 for each weight of a layer and each token that passes it, and in each layer 12 × width × tokens² for attention:
    forward and backward pass (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    weights = sum(each.numel() for part in (model.layers, model.heads) for each in part.parameters())
    flops = 0.0
    for rows in (rows for plan in epochs for rows in plan):
        tokens = sum(windows.widths(rows)) + REACH
        flops += len(rows) * tokens * (6 * weights + 12 * model.shape.depth * model.shape.width * tokens)
    return flops


def question_of(given: Any, number: int) -> tuple[str, str]:
    """Question and text of what is said to be input ``number``. Raises DataError."""
    parts = [given.get(name) for name in ("question", "context")] if isinstance(given, dict) else [None]
    for name, part in zip(("question", "context"), parts, strict=False):
        if not isinstance(part, str):
            raise DataError(
                f"input {number}: its {name} is {str(part)[:40]!r}; allowed: an object with question and context"
            )
    question, context = (str(part).encode("utf-8", "replace").decode() for part in parts)
    return question, context


def save(run: Run, model: nn.Module, shape: Shape, tokenizer: Path, unanswered: bool, folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True), the tokenizer and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    saved = {"shape": asdict(shape), "settings": dict(run.settings), "unanswered": unanswered}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
