"""A GPT that learns to write a text, byte by byte or token by token, trained from scratch.

Reads from top to bottom: the shape, attention to what came before, the model, how it writes; then the workload, the
windows it trains on, how it is measured, what is kept of it. Texts come as streams of tokens from experiments.data, and
the loop over epochs is experiments.training_loop.

The model is that of GPT-2 (Radford et al. 2019) without biases, and with rotary positions, normalised queries and keys,
and squared ReLU. In a prototype of size 2 (one seed, 500 steps of 16 windows of 256 bytes of the library's source,
queries and keys normalised by their root mean square, which costs more than LayerNorm), learned positions and GELU
reached 2.97 bits per byte. Rotary positions reached 2.32, with normalised queries and keys 2.21, and with squared
ReLU 1.97, with a sixth more time for each step.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

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
from experiments.workloads.text_classifier import check_heads
from tracker.errors import WorkloadError
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

WIDTH_PER_SIZE = 64
HEAD_WIDTH = 64
VOCABULARY_MULTIPLE = 64
"""The vocabulary is filled up to whole multiples, which matrix hardware prefers."""

DEVIATION = 0.02
"""Of the initial weights, as in GPT-2."""

LONGEST_WAVE = 10_000.0
"""The base of the rotations' wavelengths."""

QUERIES_AT_ONCE = 128
"""Of 64, 128 and 256 the fastest here, or as fast as the fastest, for contexts of 128 to 1024."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model. A head's share of the width is width / heads."""

    vocabulary_size: int
    context_length: int
    width: int
    heads: int
    depth: int
    dropout: float
    activation_checkpointing: bool = False

    @classmethod
    def of(cls, settings: Settings, vocabulary_size: int) -> Shape:
        """The shape that the settings ask for.

        ``size`` gives width = 64 × size, depth = size and heads of 64 (fewer, wider ones where those do not
        fill the width): 12 is the smallest GPT-2. A width, heads or depth that is set is taken instead. Raises
        WorkloadError where the heads cannot share the width evenly, or their shares are odd.
        """
        size = int(settings["size"])
        width = int(settings.get("width") or WIDTH_PER_SIZE * size)
        fitting = max(heads for heads in range(1, max(1, width // HEAD_WIDTH) + 1) if width % heads == 0)
        heads = int(settings.get("heads") or fitting)
        check_heads(width, heads)
        if (width // heads) % 2:
            raise WorkloadError(f"width {width} gives {heads} heads {width // heads} each; an even number is needed")
        return cls(
            vocabulary_size=vocabulary_size,
            context_length=int(settings["context_length"]),
            width=width,
            heads=heads,
            depth=int(settings.get("depth") or size),
            dropout=float(settings["dropout"]),
            activation_checkpointing=bool(settings["activation_checkpointing"]),
        )

    @property
    def padded_vocabulary(self) -> int:
        """The vocabulary with the tokens that fill it up and never occur."""
        return -(-self.vocabulary_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V of each position with itself and those before; all (batch, heads, length, d_k)."""
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    # torch 2.13: the fused kernel's bfloat16 backward pass on CPUs takes two to four times as long as the formula for
    # some queries at a time, which also leaves out most of what is masked.
    query, length, mixed = query / math.sqrt(query.shape[-1]), query.shape[2], []
    ahead = torch.full((QUERIES_AT_ONCE, QUERIES_AT_ONCE), -math.inf, dtype=query.dtype, device=query.device).triu(1)
    for begin in range(0, length, QUERIES_AT_ONCE):
        end = min(begin + QUERIES_AT_ONCE, length)
        scores = query[:, :, begin:end] @ key[:, :, :end].transpose(-2, -1)
        visible = scores[..., begin:] + ahead[: end - begin, : end - begin]
        scores = torch.cat([scores[..., :begin], visible], dim=-1) if begin else visible
        mixed.append(scores.softmax(dim=-1).to(value.dtype) @ value[:, :, :end])
    return torch.cat(mixed, dim=2)


def rotated(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """States (batch, length, …, d), each turned by the angle of its position (Su et al. 2021, arXiv:2104.09864).

    ``cosines`` and ``sines`` are (length, …, d / 2). The pairs that are turned are those d / 2 apart.
    """
    first, second = states.chunk(2, dim=-1)
    cosines, sines = cosines.to(states.dtype), sines.to(states.dtype)
    turned = torch.addcmul(first * cosines, second, sines, value=-1), torch.addcmul(second * cosines, first, sines)
    return torch.cat(turned, dim=-1)


class Layer(nn.Module):
    """A pre-norm decoder layer (Xiong et al. 2020, arXiv:2002.04745): attention, then a two-layer perceptron.

    Queries and keys are normed (Dehghani et al. 2023, arXiv:2302.05442); ReLU is squared (So et al. 2021,
    arXiv:2109.08668).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.attention_norm = nn.LayerNorm(shape.width, bias=False)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.perceptron_norm = nn.LayerNorm(shape.width, bias=False)
        self.rise = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.fall = nn.Linear(4 * shape.width, shape.width, bias=False)

    def forward(self, states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """States (batch, length, width) to states of the same shape, with what ``rotated`` takes."""
        batch, length, width = states.shape
        split = self.query_key_value(self.attention_norm(states)).view(batch, length, 3, self.heads, -1)
        query_key, value = split[:, :, :2], split[:, :, 2].transpose(1, 2)
        normed = F.layer_norm(query_key, query_key.shape[-1:]).to(value.dtype)
        query, key = rotated(normed, cosines, sines).permute(2, 0, 3, 1, 4)
        mixed = causal_attention(query, key, value).transpose(1, 2).reshape(batch, length, width)
        states = states + self._dropped(self.output(mixed))
        return states + self._dropped(self.fall(F.relu(self.rise(self.perceptron_norm(states))).square()))

    def _dropped(self, states: Tensor) -> Tensor:
        return F.dropout(states, self.dropout, self.training) if self.dropout else states


class Gpt(nn.Module):
    """Tokens (batch, length) to logits (batch, length, padded vocabulary) of the token after each.

    Called with targets, of the tokens' shape, it gives their mean cross-entropy: a compiled model then never writes
    the logits to memory in full precision. The last layer's weights are those of the embedding (Press and Wolf 2017,
    arXiv:1608.05859).
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.padded_vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        half = shape.width // shape.heads // 2
        angles = torch.outer(torch.arange(shape.context_length), LONGEST_WAVE ** -(torch.arange(half) / half))
        self.register_buffer("cosines", angles.cos()[:, None, None], persistent=False)
        self.register_buffer("sines", angles.sin()[:, None, None], persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                # GPT-2: what is added to the residual stream is scaled by the number of additions.
                added = name.endswith(("output.weight", "fall.weight"))
                nn.init.normal_(weight, std=DEVIATION / math.sqrt(2 * shape.depth) if added else DEVIATION)

    def forward(self, tokens: Tensor, targets: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Logits, or with targets their mean cross-entropy in nats."""
        logits = F.linear(self.states(tokens), self.tokens.weight)
        if targets is None:
            return logits
        return F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET, label_smoothing=label_smoothing
        )

    def states(self, tokens: Tensor) -> Tensor:
        """The states (batch, length, width) that the next tokens are predicted from."""
        states = self.tokens(tokens)
        turn = self.cosines[: tokens.shape[1]], self.sines[: tokens.shape[1]]
        if self.training and self.shape.dropout:
            states = F.dropout(states, self.shape.dropout)
        for layer in self.layers:
            if self.shape.activation_checkpointing and self.training:
                states = checkpoint(layer, states, *turn, use_reentrant=False)
            else:
                states = layer(states, *turn)
        normed: Tensor = self.norm(states)
        return normed

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations of a training step for each token of whole windows.

        6 N + 12 × depth × width × context length, forward and backward pass, with N the parameters: each token is
        multiplied with every one, the embedding being the last layer too (Chowdhery et al. 2022, arXiv:2204.02311,
        appendix B).
        """
        shape = self.shape
        parameters = sum(each.numel() for each in self.parameters())
        return 6.0 * parameters + 12.0 * shape.depth * shape.width * shape.context_length


@torch.no_grad()
def write_on(
    model: Gpt, prompt: Sequence[int], count: int, *, temperature: float, stop: int, seed: int, seconds: float
) -> list[int]:
    """At most ``count`` tokens after ``prompt``, drawn at ``temperature`` one by one, until ``stop`` is drawn.

    Ends early, with what there is, after so many ``seconds``. ``model`` is in evaluation mode.
    """
    device, generator = model.tokens.weight.device, torch.Generator().manual_seed(seed)
    tokens, end = list(prompt), time.perf_counter() + seconds
    while len(tokens) < len(prompt) + count and time.perf_counter() < end:
        seen = torch.tensor([tokens[-model.shape.context_length :]], device=device)
        logits = F.linear(model.states(seen)[0, -1], model.tokens.weight)[: model.shape.vocabulary_size]
        chances = (logits.float().cpu() / temperature).softmax(dim=0)
        drawn = int(torch.multinomial(chances, 1, generator=generator))
        if drawn == stop:
            break
        tokens.append(drawn)
    return tokens[len(prompt) :]


PROMPT_BYTES = 100
CONTINUATION_TOKENS = 100
"""What is written after a prompt, at most: one prediction."""

TEMPERATURE = 0.8
SAMPLES = 3
SAMPLE_SECONDS = 4.0
"""Longer than that no sample is written on."""


class LanguageModel:
    """The workload: predicts the next byte or token of a text. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the size of the model: width, heads and depth follow; 12 is GPT-2", low=1, high=48),
        "width": Knob("int", None, "numbers in a token's state; default 64 × size", low=8, high=8192),
        "heads": Knob("int", None, "attention heads; default one for each 64 of the width", low=1, high=128),
        "depth": Knob("int", None, "layers; default size", low=1, high=96),
        "context_length": Knob("int", 256, "tokens of context", low=8, high=65_536),
        "vocabulary_size": Knob("int", 0, "tokens learnt on the training split; 0 for bytes", low=0, high=200_000),
        "dropout": Knob("float", 0.0, "dropout of embeddings and of what layers add", low=0.0, high=0.9),
        "activation_checkpointing": Knob("bool", False, "recompute activations rather than keep them in memory"),
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
        saved = json.loads((folder / "settings.json").read_text())
        model = Gpt(Shape(**saved["shape"]))
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        ready = with_weights(model, weights, device)
        encode, decode = text_coder(folder, model.shape.vocabulary_size)

        def predict(prompts: Sequence[str]) -> list[str]:
            return [decode(_continuation(ready, encode(each), saved["separator"])) for each in prompts]

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
    """The scores on a whole text; each window is predicted from its own content alone."""
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
    saved, count, begin = [], 0, time.perf_counter()
    with run.precision.autocast(run.device):
        for prompt in ["", *spread_texts(folder, "test", SAMPLES - 1, PROMPT_BYTES)]:
            written = _continuation(model, encode(prompt), separator, seed=run.seed, seconds=SAMPLE_SECONDS)
            saved.append(f"=== after:\n{prompt or '(the beginning of a text)'}\n=== it writes:\n{decode(written)}\n")
            count += max(1, len(written))
    seconds = time.perf_counter() - begin
    run.artifact("samples.txt").write_text("\n".join(saved), encoding="utf-8")
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
    saved = {"shape": asdict(model.shape), "separator": separator_of(prepared), "settings": dict(run.settings)}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
