"""Long texts as streams of tokens on disk and in memory: what a language model reads. Light, to load at once.

A prepared folder holds, for each split, arrays that begin with a separator and have one after each document:

    SPLIT-bytes.npy      uint8, the text as UTF-8; the separator is the byte 0
    SPLIT-tokens.npy     int32, the same text in tokens, where a vocabulary was learnt
    SPLIT-documents.npy  int64 (documents, 3): bytes and tokens with the separator after them, and the slice

and, beside them, ``card.json`` and, with a vocabulary, ``tokenizer.json`` and ``token-bytes.npy`` (int32, the bytes of
each token). Texts come from experiments.data.source_text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments import lazy
from experiments.data.corpus import SPLITS
from experiments.data.files import whole_folder
from experiments.data.source_text import SourceText
from tracker.errors import DataError, WorkloadError
from tracker.records import DataCard, Settings
from tracker.training.meter import bytes_below
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever what a prepared folder holds changes."""

PREPARATION_KNOBS = ("deduplicate", "vocabulary_size")

TOKENIZER = "tokenizer.json"
BYTES = 256
"""Tokens in the vocabulary where tokens are bytes."""

SEPARATOR = b"\0"
"""Begins a stream and ends each document."""


@dataclass(frozen=True, slots=True)
class StreamCard:
    """A prepared folder's ``card.json``.

    ``vocabulary_size`` counts the tokens that there are; ``slices`` are named by index, and none where a source has
    none; ``split_bytes`` are the bytes of each split, separators included.
    """

    name: str
    fingerprint: str
    vocabulary_size: int
    slices: tuple[str, ...]
    split_bytes: Mapping[str, int]
    description: str

    def data_card(self, folder: Path) -> DataCard:
        """The card that the tracker records; its rows are bytes of text."""
        identity = f"{self.description}; rows are bytes"
        return DataCard(
            self.name, self.fingerprint, self.split_bytes, description=identity, size_bytes=bytes_below(folder)
        )


@dataclass(frozen=True, slots=True)
class TokenStream:
    """Tokens (n,) on a device; for each but the first, which none precedes, its bytes and its slice (n - 1,)."""

    tokens: Tensor
    sizes: np.ndarray
    slices: np.ndarray

    @property
    def size_bytes(self) -> int:
        """The bytes of all tokens but the first."""
        return int(self.sizes.sum())


Coder = tuple[Callable[[str], list[int]], Callable[[Sequence[int]], str]]
"""Text to tokens, and tokens to text."""


def prepare_streams(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder of the streams for these settings, made from the source as it is now. Raises DataError."""
    vocabulary_size = int(settings["vocabulary_size"])
    if 0 < vocabulary_size <= BYTES:
        raise WorkloadError(f"vocabulary_size {vocabulary_size}: allowed are 0, for bytes, and more than {BYTES}")
    text = lazy.call("experiments.data.source_text:load_source_text", data, cache, progress)
    folder = _folder(cache, text.fingerprint, settings)
    if not folder.is_dir():
        chosen = text.without_duplicates() if settings["deduplicate"] else text
        with whole_folder(folder) as partial:
            _write(partial, chosen, vocabulary_size, progress)
    return folder


def prepared_streams(run: Run) -> Path:
    """The same folder for a run, without looking at the source again where it was prepared for its settings before.

    Where a study searches one of PREPARATION_KNOBS, the first trial with a value prepares it, and pays for that.
    Raises DataError where the source is no longer what the study started with.
    """
    fingerprint = run.data_card.fingerprint
    folder = _folder(run.cache, fingerprint, run.settings)
    if folder.is_dir():
        return folder
    made = prepare_streams(run.data, run.settings, run.cache, progress=print)
    if made != folder:
        raise DataError(f"the data are no longer those that the study started with, of fingerprint {fingerprint}")
    return made


def load_stream_card(folder: Path) -> StreamCard:
    """Read ``card.json``."""
    fields = json.loads((folder / "card.json").read_text())
    return StreamCard(**{**fields, "slices": tuple(fields["slices"])})


def load_tokens(
    folder: Path,
    split: str,
    device: torch.device,
    *,
    share: float = 1.0,
    first_bytes: int = 0,
    as_bytes: bool = False,
) -> Tensor:
    """The tokens (n,) that the first ``share`` of a split's bytes, and at most ``first_bytes`` (0: all), hold whole.

    Memory-mapped, so that processes share the pages. ``as_bytes`` gives bytes though there are tokens.
    """
    in_tokens = (folder / f"{split}-tokens.npy").exists() and not as_bytes
    # "c" (copy on write) rather than "r": torch warns of arrays that it could not write to.
    tokens = np.load(folder / f"{split}-{'tokens' if in_tokens else 'bytes'}.npy", mmap_mode="c")
    total = int(np.load(folder / f"{split}-documents.npy")[:, 0].sum())
    limit = min(round(share * total), first_bytes or total)
    if limit < total:
        count = limit
        if in_tokens:
            sizes = np.load(folder / "token-bytes.npy")
            count = int(np.searchsorted(np.cumsum(sizes[tokens[1:]]), limit, side="right"))
        tokens = tokens[: count + 1]
    return torch.from_numpy(tokens).to(device)


def load_stream(
    folder: Path, split: str, device: torch.device, *, first_bytes: int = 0, as_bytes: bool = False
) -> TokenStream:
    """The same of a split, with what each token counts for."""
    tokens = load_tokens(folder, split, device, first_bytes=first_bytes, as_bytes=as_bytes)
    documents = np.load(folder / f"{split}-documents.npy")
    in_bytes = tokens.dtype == torch.uint8
    sizes = np.ones(BYTES, dtype=np.int32) if in_bytes else np.load(folder / "token-bytes.npy")
    slices = np.repeat(documents[:, 2].astype(np.int32), documents[:, 0 if in_bytes else 1])
    return TokenStream(tokens, sizes[tokens[1:].cpu().numpy()], slices[: len(tokens) - 1])


def text_coder(folder: Path, vocabulary_size: int) -> Coder:
    """What cuts text into the tokens of a vocabulary of this size and joins them again; ``folder`` has its file."""
    if vocabulary_size == BYTES:
        return lambda text: list(text.encode("utf-8", "replace")), lambda tokens: bytes(tokens).decode(
            "utf-8", "replace"
        )
    coder: Coder = lazy.call("experiments.data.byte_pairs:text_coder", folder / TOKENIZER)
    return coder


def spread_texts(folder: Path, split: str, limit: int, size_bytes: int) -> list[str]:
    """At most ``limit`` pieces of about ``size_bytes`` of a split, evenly spread; each begins where a line does."""
    whole = np.load(folder / f"{split}-bytes.npy", mmap_mode="r")
    count = max(1, min(limit, len(whole) // (2 * size_bytes)))
    pieces = []
    for part in np.array_split(whole, count):
        text = bytes(part).decode("utf-8", "ignore").replace("\0", "\n")
        start = text.find("\n", 0, len(text) // 2) + 1
        pieces.append(text[start:].lstrip("\n")[:size_bytes])
    return [piece for piece in pieces if piece.strip()]


def _write(folder: Path, text: SourceText, vocabulary_size: int, progress: Callable[[str], None]) -> None:
    slices = sorted({document.slice for of in text.splits.values() for document in of})
    index = {name: number for number, name in enumerate(slices)}
    texts = {split: [document.text for document in text.splits[split]] for split in SPLITS}
    counts: Mapping[str, np.ndarray] = {}
    if vocabulary_size:
        progress(f"learning a vocabulary of {vocabulary_size:,} tokens from {len(texts['train']):,} training texts")
        counts = lazy.call("experiments.data.byte_pairs:write_tokens", folder, texts, vocabulary_size)
    split_bytes = {}
    for split in SPLITS:
        written = [np.frombuffer(each.encode() + SEPARATOR, dtype=np.uint8) for each in texts[split]]
        sizes = np.array([len(each) for each in written], dtype=np.int64)
        np.save(folder / f"{split}-bytes.npy", np.concatenate([np.frombuffer(SEPARATOR, dtype=np.uint8), *written]))
        of_slice = np.array([index[document.slice] for document in text.splits[split]], dtype=np.int64)
        np.save(folder / f"{split}-documents.npy", np.stack([sizes, counts.get(split, sizes), of_slice], axis=1))
        split_bytes[split] = int(sizes.sum())
    size = len(np.load(folder / "token-bytes.npy")) if vocabulary_size else BYTES
    named = tuple(slices) if len(slices) > 1 else ()
    card = StreamCard(text.name, text.fingerprint, size, named, split_bytes, text.description)
    (folder / "card.json").write_text(json.dumps(asdict(card), indent=2))


def _folder(cache: Path, fingerprint: str, settings: Settings) -> Path:
    relevant = {name: settings[name] for name in PREPARATION_KNOBS}
    identity = json.dumps({"version": PREPARATION_VERSION, "text": fingerprint, **relevant}, sort_keys=True)
    return cache / f"streams-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
