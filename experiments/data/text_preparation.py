"""From a corpus to token arrays: cleaning, stop words, a vocabulary learnt on the training split.

Imported only where there is something to prepare: the libraries used here take seconds to load, and a
trial must not wait for them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from experiments.data.corpus import SPLITS, Corpus
from experiments.data.docstrings import load_docstrings
from experiments.data.files import whole_file, whole_folder
from experiments.data.labelled_text import load_labelled_text
from experiments.data.token_arrays import TokenizedCorpus, digest, save_card, save_texts

DOCSTRINGS = "docstrings"

_PUNCTUATION = re.compile(r"[^\w\s]|_")


def load_corpus(data: Mapping[str, Any], cache: Path, progress: Callable[[str], None]) -> Corpus:
    """The corpus that a study's ``[data]`` table names. Raises DataError."""
    source = str(data.get("source", DOCSTRINGS))
    if source == DOCSTRINGS:
        return load_docstrings(cache, progress)
    columns = {key: str(data[key]) for key in ("text_column", "label_column", "split_column") if key in data}
    return load_labelled_text(Path(source), cache, **columns)


def clean(text: str, *, keep_punctuation: bool, remove_stop_words: bool) -> str:
    """Lower case; punctuation as blanks, or kept; stop words (scikit-learn's English list) left out or kept."""
    text = text.lower()
    if not keep_punctuation:
        text = _PUNCTUATION.sub(" ", text)
    words = text.split()
    if remove_stop_words:
        words = [word for word in words if word not in ENGLISH_STOP_WORDS]
    return " ".join(words)


def learn_vocabulary(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-pair vocabulary (Sennrich et al. 2016, arXiv:1508.07909) of at most ``size`` tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    # Words are cut at white space and around punctuation, where any was kept.
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="")
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]"], limit_alphabet=1000, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
