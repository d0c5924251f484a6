"""Batches of texts of similar length, so that little of them is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BATCHES_SORTED_TOGETHER = 50
WIDTH_MULTIPLE = 8
"""Widths are rounded up to whole multiples, which matrix hardware prefers."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Which rows make a batch, and how many tokens wide it is."""

    rows: Tensor
    width: int


def shuffled_batches(
    lengths: Tensor, batch_size: int, generator: torch.Generator, *, by_length: bool = True
) -> list[BatchPlan]:
    """One epoch: every row once, in random order but texts of similar length together.

    Without ``by_length`` the order is random, and every batch as wide as its longest text happens to be.
    With it the rows are shuffled, cut into stretches of BATCHES_SORTED_TOGETHER batches, sorted by length inside
    each stretch and cut into batches, whose order is then shuffled too.
    """
    order = torch.randperm(len(lengths), generator=generator)
    if not by_length:
        return _plans(torch.split(order, batch_size), lengths)
    batches: list[Tensor] = []
    for stretch in torch.split(order, batch_size * BATCHES_SORTED_TOGETHER):
        batches.extend(torch.split(stretch[lengths[stretch].argsort(stable=True)], batch_size))
    shuffled = [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]
    return _plans(shuffled, lengths)


def sorted_batches(lengths: Tensor, batch_size: int) -> list[BatchPlan]:
    """Every row once, by length: for evaluation, where order does not matter."""
    return _plans(torch.split(lengths.argsort(stable=True), batch_size), lengths)


def _plans(batches: Sequence[Tensor], lengths: Tensor) -> list[BatchPlan]:
    longest = int(lengths.max())
    widths = [int(lengths[rows].max()) for rows in batches]
    return [
        BatchPlan(rows, min(longest, -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE))
        for rows, width in zip(batches, widths, strict=True)
    ]
