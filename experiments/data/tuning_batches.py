"""Prompts and answers as tokens of a base model, and batches of them, several to a row where they are packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.data.batches import WIDTH_MULTIPLE, shuffled_batches, sorted_batches
from experiments.data.windows import NO_TARGET
from experiments.training_loop import Batch

Row = list[int]
"""The examples of one row of a batch, by index: one of them unless they are packed."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Tokens of prompts and of the answers to them; ``padding`` fills up rows."""

    prompts: Sequence[Sequence[int]]
    answers: Sequence[Sequence[int]]
    padding: int

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each example, prompt and answer together, on the CPU."""
        pairs = zip(self.prompts, self.answers, strict=True)
        return torch.tensor([len(prompt) + len(answer) for prompt, answer in pairs])

    @property
    def answer_tokens(self) -> int:
        """The tokens to learn to write."""
        return sum(map(len, self.answers))


def training_rows(examples: Examples, batch_size: int, seed: int, *, packed: bool) -> list[list[Row]]:
    """The rows of each batch of one epoch: every example once, in random order.

    Of each batch's examples, those of similar length are together; ``packed`` puts several into a row, which is as long
    as the longest example of all.
    """
    lengths = examples.lengths
    plans = shuffled_batches(lengths, batch_size, torch.Generator().manual_seed(seed), by_length=not packed)
    batches = [plan.rows.tolist() for plan in plans]
    if not packed:
        return [[[index] for index in batch] for batch in batches]
    known = lengths.tolist()
    return [pack(batch, known, max(known)) for batch in batches]


def pack(examples: Sequence[int], lengths: Sequence[int], most: int) -> list[Row]:
    """Put ``examples`` into few rows of at most ``most`` tokens: each, by falling length, into the first with room."""
    rows: list[Row] = []
    room: list[int] = []
    for index in sorted(examples, key=lambda each: -lengths[each]):
        fits = next((row for row, left in enumerate(room) if left >= lengths[index]), None)
        if fits is None:
            rows.append([])
            room.append(most)
            fits = len(rows) - 1
        rows[fits].append(index)
        room[fits] -= lengths[index]
    return rows


def evaluation_rows(examples: Examples, batch_size: int) -> list[list[Row]]:
    """Every example in a row of its own, by length."""
    return [[[index] for index in plan.rows.tolist()] for plan in sorted_batches(examples.lengths, batch_size)]


def batches(examples: Examples, plan: Sequence[Sequence[Row]], device: torch.device) -> Iterator[Batch]:
    """Tokens, targets and positions, each (rows, width), of the planned rows.

    The target of a token is the one after it where that is of an answer, and NO_TARGET elsewhere. Positions start at 0
    with each example, so that models that know packed rows see each alone. Without packing they simply count.
    """
    for rows in plan:
        yield batch(examples, rows, device)


def batch(examples: Examples, rows: Sequence[Row], device: torch.device) -> Batch:
    """The tensors of ``batches`` for one batch."""
    filled = [_row(examples, row) for row in rows]
    width = max(len(tokens) for tokens, _, _ in filled)
    width += -width % WIDTH_MULTIPLE
    columns: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for row, (tokens, targets, positions) in zip(rows, filled, strict=True):
        missing = width - len(tokens)
        # Behind several examples, padding is one more; behind one, positions simply go on, and nothing looks packed.
        start = 0 if len(row) > 1 else len(tokens)
        columns[0].append(tokens + [examples.padding] * missing)
        columns[1].append(targets + [NO_TARGET] * missing)
        columns[2].append(positions + list(range(start, start + missing)))
    made = (torch.tensor(each) for each in columns)
    if device.type == "cuda":
        made = (each.pin_memory() for each in made)
    return tuple(each.to(device, non_blocking=True) for each in made)


def _row(examples: Examples, row: Row) -> tuple[list[int], list[int], list[int]]:
    tokens: list[int] = []
    targets: list[int] = []
    positions: list[int] = []
    for index in row:
        prompt, answer = examples.prompts[index], examples.answers[index]
        whole = [*prompt, *answer]
        tokens += whole
        # The last token of a prompt has the answer's first as its target, and the last of an answer has none.
        targets += [NO_TARGET] * (len(prompt) - 1) + list(answer) + [NO_TARGET]
        positions += range(len(whole))
    return tokens, targets, positions


def padded_prompts(prompts: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (prompts, longest), filled up on the left because writing continues on the right, and what is real."""
    longest = max(map(len, prompts))
    tokens = torch.tensor([[padding] * (longest - len(each)) + list(each) for each in prompts], dtype=torch.long)
    real = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts], dtype=torch.long)
    return tokens.to(device), real.to(device)


def padded_texts(texts: Sequence[Sequence[int]], padding: int, device: torch.device) -> Tensor:
    """Tokens (texts, width), filled up with ``padding`` on the right."""
    width = max(map(len, texts))
    width += -width % WIDTH_MULTIPLE
    tokens = torch.tensor([list(each) + [padding] * (width - len(each)) for each in texts], dtype=torch.long)
    return tokens.to(device, non_blocking=True)
