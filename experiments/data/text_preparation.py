"""From a corpus to token arrays: cleaning, stop words, a vocabulary learnt on the training split.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from experiments import lazy
from experiments.data.corpus import SPLITS, Corpus
from experiments.data.files import whole_folder
from experiments.data.token_arrays import TokenizedCorpus, save_card, save_texts
from tracker.records import Settings
from tracker.training.workload import PredictionTexts

DOCSTRINGS = "docstrings"

_PUNCTUATION = re.compile(r"[^\w\s]|_")


def load_corpus(data: Mapping[str, Any], cache: Path, progress: Callable[[str], None]) -> Corpus:
    """The corpus that a study's ``[data]`` table names. Raises DataError."""
    source = str(data.get("source", DOCSTRINGS))
    corpus: Corpus
    if source == DOCSTRINGS:
        distribution = [str(data["distribution"])] if "distribution" in data else []
        corpus = lazy.call("experiments.data.docstrings:load_docstrings", cache, progress, *distribution)
    else:
        corpus = lazy.call("experiments.data.labelled_text:load_labelled_text", data, cache, progress)
    return corpus


def prediction_texts(data: Mapping[str, Any], cache: Path, limit: int) -> PredictionTexts:
    """The first ``limit`` texts of the test split as their source has them, with their classes. Raises DataError."""
    corpus = load_corpus(data, cache, lambda _: None)
    test = corpus.splits["test"].first(limit)
    answers = tuple(corpus.classes[label] for label in test.labels)
    return PredictionTexts(test.texts, answers, "test", corpus.fingerprint)


def clean(text: str, settings: Settings) -> str:
    """Lower case; punctuation made blank, or kept; stop words (scikit-learn's English list) left out, or kept."""
    text = text.lower()
    if not settings["keep_punctuation"]:
        text = _PUNCTUATION.sub(" ", text)
    words = text.split()
    if settings["remove_stop_words"]:
        words = [word for word in words if word not in ENGLISH_STOP_WORDS]
    return " ".join(words)


def learn_vocabulary(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-pair vocabulary (Sennrich et al. 2016, arXiv:1508.07909) of at most ``size`` tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    # Words end at white space and around punctuation, where any was kept.
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]"]  # in this order: token_arrays.PADDING is 0, UNKNOWN is 1
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, limit_alphabet=1000, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer_of(path: Path, settings: Settings) -> Callable[[Sequence[str]], list[list[int]]]:
    """What cuts texts into tokens as they were cut for the training with these settings."""
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: [each.ids for each in tokenizer.encode_batch_fast([clean(text, settings) for text in texts])]


def write_tokens(corpus: Corpus, settings: Settings, folder: Path, progress: Callable[[str], None]) -> None:
    """Fill ``folder`` with the token arrays of ``corpus``; its training split may be cut already."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # it would turn itself off, and say so, in a forked process
    splits = dict(corpus.with_texts(lambda text: clean(text, settings)).splits)
    if settings["deduplicate"]:
        splits["train"] = splits["train"].distinct()
    progress(f"learning a vocabulary from {len(splits['train']):,} training texts")
    tokenizer = learn_vocabulary(splits["train"].texts, int(settings["vocabulary_size"]))
    with whole_folder(folder) as partial:
        for split in SPLITS:
            progress(f"cutting {len(splits[split]):,} {split} texts into tokens")
            tokens = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(splits[split].texts))]
            save_texts(partial, split, tokens, splits[split].labels)
        tokenizer.save(str(partial / "tokenizer.json"))
        save_card(
            partial,
            TokenizedCorpus(
                name=corpus.name,
                fingerprint=corpus.fingerprint,
                classes=corpus.classes,
                vocabulary_size=tokenizer.get_vocab_size(),
                rows={split: len(splits[split]) for split in SPLITS},
                description=corpus.description,
            ),
        )
