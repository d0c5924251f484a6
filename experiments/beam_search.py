"""Beam search: the most probable texts that a model writes token by token, many texts at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]
"""Called with the last token of every hypothesis (texts × beam width,) and the rows, of the call before, that they
go on from; gives the log-probabilities (texts × beam width, vocabulary) of the next token.

The hypotheses of a text are neighbours and only ever extend each other, so that what belongs to the text alone
need not be moved. What a model remembers of a hypothesis has to be.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """The best hypothesis of each text.

    ``tokens`` (texts, longest) end with the end token, unless they were cut at the maximal length, and are filled up
    with padding. ``scores`` (texts,) are Σ log p(token) / tokens ** length_penalty, the end token counted.
    """

    tokens: Tensor
    scores: Tensor


def beam_search(
    step: Step,
    texts: int,
    device: torch.device,
    *,
    beam_width: int,
    max_length: int,
    begin: int,
    end: int,
    padding: int,
    never: Sequence[int] = (),
    length_penalty: float = 1.0,
) -> Found:
    """Keep the ``beam_width`` best hypotheses of each text, longer by a token at each step, until all have ended.

    Hypotheses of different length are compared by their scores (see Found): without the division, whose power is the
    length penalty of Wu et al. 2016 (arXiv:1609.08144, eq. 14) without its constants, short ones would win. A width
    of 1 is greedy search. Tokens of ``never``, and ``padding``, are not written.
    """
    first_row = torch.arange(texts, device=device).unsqueeze(1) * beam_width
    tokens = torch.empty((texts, beam_width, 0), dtype=torch.long, device=device)
    sums = torch.full((texts, beam_width), -math.inf, device=device)
    sums[:, 0] = 0.0  # all hypotheses are the same empty one, which counts once
    lengths = torch.zeros((texts, beam_width), device=device)
    ended = torch.zeros((texts, beam_width), dtype=torch.bool, device=device)
    last = torch.full((texts * beam_width,), begin, device=device)
    parents = torch.arange(texts * beam_width, device=device)
    forbidden = torch.tensor([*never, padding], device=device)
    for _ in range(max_length):
        likely = step(last, parents).float().view(texts, beam_width, -1).index_fill(2, forbidden, -math.inf)
        # An ended hypothesis is extended by itself alone, at no cost.
        likely = likely.masked_fill(ended.unsqueeze(2), -math.inf)
        likely[:, :, padding] = likely[:, :, padding].masked_fill(ended, 0.0)
        lengths = lengths + ~ended
        candidates = sums.unsqueeze(2) + likely
        ranked = candidates / lengths.unsqueeze(2) ** length_penalty
        chosen = ranked.flatten(1).topk(beam_width).indices
        origin, token = chosen // likely.shape[2], chosen % likely.shape[2]
        sums, lengths = candidates.flatten(1).gather(1, chosen), lengths.gather(1, origin)
        ended = ended.gather(1, origin) | (token == end)
        before = tokens.gather(1, origin.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([before, token.unsqueeze(2)], dim=2)
        if bool((ended | sums.isneginf()).all()):
            break
        last, parents = token.flatten(), (first_row + origin).flatten()
    scores, best = (sums / lengths**length_penalty).max(dim=1)
    return Found(tokens[torch.arange(texts, device=device), best], scores)
