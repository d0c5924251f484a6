"""Questions and texts as tokens, and answers as spans of them, on disk and in memory. Imports NumPy and torch alone.

A prepared folder holds, for each split, the token arrays (experiments.data.token_arrays) ``SPLIT-texts``, each text
once, and ``SPLIT-questions``, whose labels say which text, and beside ``pairs.json`` and ``tokenizer.json``:

    SPLIT-offsets.npy   int32, for each token of the texts where in its text the characters start and end
    SPLIT-spans.npy     int32, the first and the last token of each answer, -1 for none
    SPLIT-written.json  the texts, questions and answers as they are written
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.data.batches import shuffled_batches, sorted_batches
from experiments.data.pair_arrays import BEGIN
from experiments.data.token_arrays import TokenizedTexts, flat_texts, load_texts, save_texts
from experiments.training_loop import Batch
from tracker.records import Settings

NO_SPAN = (-1, -1)
NOWHERE = 0
"""The position that stands for an answer which is not in a window; the text's tokens are at 1 and after it."""
LONGEST_TEXT = 1 << 20
"""Tokens that are kept of a text: longer ones are looked at in windows."""


@dataclass(frozen=True, slots=True)
class SplitSpans:
    """The questions of a split, cut into tokens.

    ``text_of_question`` are places in ``texts``, ``offsets`` and ``written``.
    """

    questions: Sequence[Sequence[int]]
    texts: Sequence[Sequence[int]]
    offsets: Sequence[Sequence[tuple[int, int]]]
    text_of_question: Sequence[int]
    spans: Sequence[tuple[int, int]]
    written: Sequence[str]
    asked: Sequence[str]
    answers: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Windows:
    """Questions, each with windows of its text, on one device: the examples of a training.

    Attributes:
        questions, texts: their tokens; a question starts with BEGIN.
        question: the question of each window, (windows,) int64; its windows stand one after the other.
        begin, length: where in ``texts.tokens`` each window begins, and its tokens, (windows,) int64.
        spans: the first and the last position of the answer in each window, from 1, (windows, 2) int64; NOWHERE where
            it is not whole in it.
        host_widths: the tokens of the question and of the window, on the CPU, (windows, 2) int64.
    """

    questions: TokenizedTexts
    texts: TokenizedTexts
    question: Tensor
    begin: Tensor
    length: Tensor
    spans: Tensor
    host_widths: Tensor

    def __len__(self) -> int:
        return len(self.question)

    def widths(self, rows: Tensor) -> tuple[int, int]:
        """The most question tokens and the most text tokens of these rows, which are on the CPU."""
        question, window = self.host_widths[rows].amax(0).tolist()
        return question, window

    def batch(self, rows: Tensor) -> Batch:
        """Question tokens (b, longest question), window tokens (b, longest window) and spans (b, 2) of these rows.

        ``rows`` are on the CPU. Tokens are filled up with PADDING.
        """
        here = rows.to(self.spans.device, non_blocking=True)
        question_width, window_width = self.widths(rows)
        question = self.questions.padded(self.question[here], question_width)[0]
        position = torch.arange(window_width, device=here.device)
        inside = position < self.length[here].unsqueeze(1)
        window = self.texts.tokens[(self.begin[here].unsqueeze(1) + position) * inside] * inside
        return question, window, self.spans[here]

    def shuffled(self, batch_size: int, seed: int) -> list[Tensor]:
        """The rows of each batch of one epoch, in random order, those of similar length together."""
        plans = shuffled_batches(self._lengths, batch_size, torch.Generator().manual_seed(seed))
        return [plan.rows for plan in plans]

    def sorted(self, batch_size: int) -> list[Tensor]:
        """The rows of each batch, by length: for evaluation, where order does not matter."""
        return [plan.rows for plan in sorted_batches(self._lengths, batch_size)]

    @property
    def _lengths(self) -> Tensor:
        return self.host_widths.sum(1)


@dataclass(frozen=True, slots=True)
class Written:
    """What tokens stand for: texts, questions, answers, and where in the texts the characters of all tokens are."""

    texts: Sequence[str]
    questions: Sequence[str]
    text_of_question: Sequence[int]
    offsets: np.ndarray
    answers: Sequence[Sequence[str]]

    def span(self, question: int, first: int, last: int) -> str:
        """The characters from token ``first`` to token ``last``, places in the tokens of all texts."""
        begin, end = self.offsets[first, 0], self.offsets[last, 1]
        return self.texts[self.text_of_question[question]][begin:end].strip()


def save_spans(folder: Path, split: str, spans: SplitSpans) -> None:
    """Write a split."""
    save_texts(folder, f"{split}-texts", spans.texts, [0] * len(spans.texts), LONGEST_TEXT)
    asked = [[BEGIN, *tokens] for tokens in spans.questions]
    save_texts(folder, f"{split}-questions", asked, spans.text_of_question)
    np.save(folder / f"{split}-offsets.npy", _flat_offsets(spans.offsets))
    np.save(folder / f"{split}-spans.npy", np.asarray(spans.spans, np.int32).reshape(-1, 2))
    written = json.dumps(
        {"texts": spans.written, "questions": spans.asked, "answers": spans.answers}, ensure_ascii=False
    )
    (folder / f"{split}-written.json").write_text(written, encoding="utf-8")


def load_windows(folder: Path, split: str, device: torch.device, settings: Settings, first: int = 0) -> Windows:
    """The windows of the first ``first`` questions of a split (0 for all)."""
    questions = load_texts(folder, f"{split}-questions", device, int(settings["question_length"]), first)
    texts = load_texts(folder, f"{split}-texts", device, LONGEST_TEXT)
    spans = np.load(folder / f"{split}-spans.npy")[: len(questions)]
    return windows_of(questions, texts, spans, int(settings["context_length"]))


def load_written(folder: Path, split: str) -> Written:
    """The texts, offsets and answers of a split."""
    found = json.loads((folder / f"{split}-written.json").read_text(encoding="utf-8"))
    places = np.load(folder / f"{split}-questions-labels.npy").tolist()
    offsets = np.load(folder / f"{split}-offsets.npy", mmap_mode="r")
    return Written(found["texts"], found["questions"], places, offsets, found["answers"])


def has_unanswered(folder: Path) -> bool:
    """Whether training has questions without an answer."""
    return bool((np.load(folder / "train-spans.npy", mmap_mode="r")[:, 0] < 0).any())


def in_memory(spans: SplitSpans, settings: Settings) -> tuple[Windows, Written]:
    """The same of questions that are in no folder, on the CPU."""
    asked = [[BEGIN, *tokens] for tokens in spans.questions]
    questions = _texts(asked, spans.text_of_question, int(settings["question_length"]))
    texts = _texts(spans.texts, [0] * len(spans.texts), LONGEST_TEXT)
    found = np.asarray(spans.spans, np.int32).reshape(-1, 2)
    windows = windows_of(questions, texts, found, int(settings["context_length"]))
    return windows, Written(
        spans.written, spans.asked, spans.text_of_question, _flat_offsets(spans.offsets), spans.answers
    )


def windows_of(questions: TokenizedTexts, texts: TokenizedTexts, spans: np.ndarray, longest: int) -> Windows:
    """Windows of ``longest`` tokens, each half of that after the one before, the last one at the text's end."""
    device, step = texts.tokens.device, max(1, longest // 2)
    starts, lengths = (each.cpu().numpy() for each in (texts.starts, texts.lengths))
    of_text = questions.labels.cpu().numpy()
    size = lengths[of_text]
    counts = 1 + np.maximum(0, -(-(size - longest) // step))
    question = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(question)) - np.repeat(np.cumsum(counts) - counts, counts)
    within = np.minimum(number * step, np.maximum(0, size[question] - longest))
    length = np.minimum(size[question], longest)
    first, last = (spans[question, side] - within for side in (0, 1))
    whole = (spans[question, 0] >= 0) & (first >= 0) & (last < length)
    found = np.where(whole[:, None], np.stack([first, last], axis=1) + 1, NOWHERE)
    begin = starts[of_text[question]] + within
    host_widths = torch.stack([questions.host_lengths[question], torch.from_numpy(length)], dim=1)
    parts = [torch.from_numpy(each.astype(np.int64)).to(device) for each in (question, begin, length, found)]
    return Windows(questions, texts, parts[0], parts[1], parts[2], parts[3], host_widths)


def _texts(tokens: Sequence[Sequence[int]], labels: Sequence[int], longest: int) -> TokenizedTexts:
    flat, starts = (torch.from_numpy(each) for each in flat_texts(tokens, longest))
    return TokenizedTexts(flat, starts, torch.tensor(labels, dtype=torch.int64), min(longest, LONGEST_TEXT))


def _flat_offsets(offsets: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    """Offsets of the tokens that flat_texts keeps, (tokens, 2) int32."""
    kept = [each for of_text in offsets for each in (list(of_text[:LONGEST_TEXT]) or [(0, 0)])]
    return np.asarray(kept, np.int32).reshape(-1, 2)
