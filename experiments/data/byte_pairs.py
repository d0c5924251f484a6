"""A vocabulary of byte pairs, which writes any text and loses none: learning one, and cutting texts with it.

Imported only where a study asks for tokens rather than bytes (see experiments.lazy).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PIECE_CHARACTERS = 100_000
"""Longer texts are cut, after a line, into pieces of about so many: several cores share them."""

NUL = "Ā"
"""How the alphabet of byte-level vocabularies (Radford et al. 2019, GPT-2) writes the byte 0."""


def write_tokens(folder: Path, splits: Mapping[str, Sequence[str]], size: int) -> dict[str, np.ndarray]:
    """Learn a vocabulary on the training texts and write tokenizer.json, token-bytes.npy and SPLIT-tokens.npy.

    The tokens of each text, with the separator after it, for each split.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # it would turn itself off, and say so, in a forked process
    tokenizer = learn_byte_pairs(splits["train"], size)
    tokenizer.save(str(folder / "tokenizer.json"))
    np.save(folder / "token-bytes.npy", bytes_of_tokens(tokenizer))
    separator = np.array([separator_token(tokenizer)], dtype=np.int32)
    counts = {}
    for split, texts in splits.items():
        cut = cut_texts(tokenizer, texts)
        np.save(
            folder / f"{split}-tokens.npy", np.concatenate([separator, *(p for each in cut for p in (each, separator))])
        )
        counts[split] = np.array([len(each) + 1 for each in cut], dtype=np.int64)
    return counts


def learn_byte_pairs(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-pair vocabulary (Sennrich et al. 2016, arXiv:1508.07909) of at most ``size`` tokens, all bytes in it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def separator_token(tokenizer: Tokenizer) -> int:
    """The token of the byte 0, which stands between documents."""
    return int(tokenizer.token_to_id(NUL))


def bytes_of_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """How many bytes each token stands for: int32, by token."""
    names = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return np.array([len(name) for name, _ in names], dtype=np.int32)  # one character of the alphabet for each byte


def cut_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """The tokens of each text, int32."""
    pieces = [(number, piece) for number, text in enumerate(texts) for piece in _pieces(text)]
    found: list[list[np.ndarray]] = [[] for _ in texts]
    encodings = tokenizer.encode_batch_fast([piece for _, piece in pieces])
    for (number, _), encoding in zip(pieces, encodings, strict=True):
        found[number].append(np.array(encoding.ids, dtype=np.int32))
    return [np.concatenate(each) for each in found]


def text_coder(path: Path) -> tuple[Callable[[str], list[int]], Callable[[Sequence[int]], str]]:
    """Text to tokens, and tokens to text, by the vocabulary saved at ``path``."""
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: list(tokenizer.encode(text).ids), lambda tokens: str(tokenizer.decode(list(tokens)))


def _pieces(text: str) -> list[str]:
    pieces, begin = [], 0
    while begin < len(text):
        end = text.find("\n", begin + PIECE_CHARACTERS) + 1 or len(text)
        pieces.append(text[begin:end])
        begin = end
    return pieces
