"""A long text cut into windows of one length: what a language model trains on and is measured with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tracker.errors import DataError

EVALUATION_TOKENS = 8192
"""Tokens that are measured at once, at most."""

NO_TARGET = -100
"""A target that counts for nothing."""


def steps_per_epoch(tokens: Tensor, context_length: int, batch_size: int) -> int:
    """Batches that a pass over the tokens (n,) makes: whole ones, or the only one.

    Raises DataError where the text is shorter than a window.
    """
    predicted = len(tokens) - 1
    if predicted < context_length:
        raise DataError(
            f"the training text has {predicted:,} tokens, fewer than a context_length of {context_length:,}; allowed: a"
            " shorter context_length, or more text"
        )
    return max(1, predicted // context_length // batch_size)


def training_windows(
    tokens: Tensor, context_length: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of the tokens (n,): batches of (batch, context_length) tokens, and the token after each.

    The text is cut into windows from a random place on, and these come in random order. What fills no batch is left
    out, which is other text with another seed.
    """
    predicted, device = len(tokens) - 1, tokens.device
    batch_size = min(batch_size, predicted // context_length)
    used = steps_per_epoch(tokens, context_length, batch_size) * batch_size
    # Drawn on the host by a generator of its own: the windows depend on the seed alone, and no step waits for a device.
    generator = torch.Generator().manual_seed(seed)
    spare = predicted - used * context_length
    offset = int(torch.randint(min(spare, context_length - 1) + 1, (1,), generator=generator))
    windows = (predicted - offset) // context_length
    starts = torch.randperm(windows, generator=generator)[:used] * context_length + offset
    if device.type == "cuda":
        starts = starts.pin_memory()
    within = torch.arange(context_length + 1, device=device)
    for chosen in starts.to(device, non_blocking=True).split(batch_size):
        window = tokens[chosen.unsqueeze(1) + within].long()
        yield window[:, :-1], window[:, 1:]


def evaluation_windows(
    tokens: Tensor, slices: np.ndarray, context_length: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """All tokens (n,) in windows that do not overlap: tokens, the token after each, and its slice.

    Each is (windows, context_length), and all of one shape, so that a model is compiled for one; what fills up the
    last ones has NO_TARGET. ``slices`` (n - 1,) are those of all tokens but the first.
    """
    of_slice = torch.from_numpy(slices).to(tokens.device)
    windows = -(-len(slices) // context_length)
    batches = -(-windows // max(1, EVALUATION_TOKENS // context_length))
    size = -(-windows // batches) * context_length
    for begin in range(0, len(slices), size):
        end = min(begin + size, len(slices))
        filled = (0, begin + size - end)
        inputs = F.pad(tokens[begin:end].long(), filled).view(-1, context_length)
        targets = F.pad(tokens[begin + 1 : end + 1].long(), filled, value=NO_TARGET).view(-1, context_length)
        yield inputs, targets, F.pad(of_slice[begin:end], filled).view(-1, context_length)
