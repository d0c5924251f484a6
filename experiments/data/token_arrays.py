"""Tokenised texts on disk and in memory: what a trial reads. Imports NumPy and torch alone, to load at once.

A prepared folder holds, for each split, three arrays, and ``corpus.json`` and ``tokenizer.json`` beside them:

    SPLIT-tokens.npy   int32, the tokens of every text, one text after the other
    SPLIT-starts.npy   int64, where each text begins, and at the end where the last one stops
    SPLIT-labels.npy   int64, the class of each text
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PADDING = 0
UNKNOWN = 1
MAX_TOKENS = 512
"""Tokens that are kept of a text: more than any trial may use."""


@dataclass(frozen=True, slots=True)
class TokenizedCorpus:
    """A prepared folder's ``corpus.json``."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    vocabulary_size: int
    rows: Mapping[str, int]
    description: str


class TokenizedTexts:
    """The texts of one split, on one device, cut to ``max_length`` tokens."""

    def __init__(self, tokens: Tensor, starts: Tensor, labels: Tensor, max_length: int) -> None:
        self.tokens = tokens
        self.starts = starts[:-1]
        self.labels = labels
        self.lengths = starts.diff().clamp(max=max_length)
        self.host_lengths = self.lengths.cpu()

    def __len__(self) -> int:
        return len(self.labels)

    def padded(self, rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Tokens (len(rows), width), filled up with PADDING, and labels (len(rows),) of the texts ``rows``."""
        position = torch.arange(width, device=self.tokens.device)
        inside = position < self.lengths[rows].unsqueeze(1)
        index = (self.starts[rows].unsqueeze(1) + position) * inside
        return self.tokens[index] * inside, self.labels[rows]


def load_texts(folder: Path, split: str, device: torch.device, max_length: int, first: int = 0) -> TokenizedTexts:
    """The first ``first`` texts of a split (0 for all), memory-mapped so that processes share the pages."""
    # "c" (copy on write) rather than "r": torch warns of arrays that it could not write to.
    tokens, starts, labels = (
        torch.from_numpy(np.load(folder / f"{split}-{part}.npy", mmap_mode="c"))
        for part in ("tokens", "starts", "labels")
    )
    if first:
        starts, labels = starts[: first + 1], labels[:first]
    return TokenizedTexts(tokens.to(device), starts.to(device), labels.to(device), max_length)


def save_texts(
    folder: Path, split: str, tokens: Sequence[Sequence[int]], labels: Sequence[int], longest: int = MAX_TOKENS
) -> None:
    """Write a split's three arrays, at most ``longest`` tokens of each text: flat_texts."""
    flat, starts = flat_texts(tokens, longest)
    np.save(folder / f"{split}-tokens.npy", flat)
    np.save(folder / f"{split}-starts.npy", starts)
    np.save(folder / f"{split}-labels.npy", np.asarray(labels, dtype=np.int64))


def flat_texts(tokens: Sequence[Sequence[int]], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of all texts, int32, and where each begins, int64; one without a token becomes UNKNOWN alone."""
    kept = [list(each[:longest]) or [UNKNOWN] for each in tokens]
    starts = np.cumsum([0, *map(len, kept)], dtype=np.int64)
    return np.fromiter((token for each in kept for token in each), np.int32, starts[-1]), starts


def save_card(folder: Path, corpus: TokenizedCorpus) -> None:
    """Write ``corpus.json``."""
    (folder / "corpus.json").write_text(json.dumps(asdict(corpus), indent=2))


def load_card(folder: Path) -> TokenizedCorpus:
    """Read ``corpus.json``."""
    fields = json.loads((folder / "corpus.json").read_text())
    return TokenizedCorpus(**{**fields, "classes": tuple(fields["classes"])})


def digest(value: Mapping[str, Any]) -> str:
    """A short name that follows from what a JSON-like mapping holds."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
