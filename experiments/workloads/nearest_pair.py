"""The cheap reference: the target of the training pair whose source is nearest by TF-IDF.

Imported only where it is measured (see experiments.lazy).
"""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.pair_arrays import BEGIN, TokenPairs, load_pair_card, load_pairs, prepared_pairs
from experiments.data.token_arrays import TokenizedTexts
from experiments.translation_scores import text_scores
from tracker.training.run import Run

CPU = torch.device("cpu")
ROWS_AT_ONCE = 256


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data, and ``threads``.

    A text that is looked up has no probability. The losses are those of the simplest model that has one: how frequent
    each token is in the training targets, whatever the source.
    """
    settings, folder = run.settings, prepared_pairs(run)
    card = load_pair_card(folder)
    used = max(1, round(float(settings["train_share"]) * card.rows["train"]))
    pairs = load_pairs(folder, "train", CPU, settings, used)
    validation = load_pairs(folder, "validation", CPU, settings, int(settings["validation_pairs"]))
    test = load_pairs(folder, "test", CPU, settings, int(settings["test_pairs"]))
    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(settings["threads"])):
        nearest = Nearest(pairs, card.vocabulary_size)
        seconds = time.perf_counter() - begin
        with run.evaluating():
            found = nearest.texts(validation)
            losses = (frequency_loss(pairs, of, card.vocabulary_size) for of in (pairs, validation))
            scores = text_scores(found, validation.texts)
        run.report(1, **dict(zip(("training_loss", "validation_loss"), losses, strict=True)), **scores)
        with run.evaluating():
            begin = time.perf_counter()
            found = nearest.texts(test)
            test_seconds = time.perf_counter() - begin
            scores = text_scores(found, test.texts)
    run.conclude(
        test_chrf=scores["chrf"],
        test_bleu=scores["bleu"],
        samples_per_second=len(pairs) / seconds,
        predictions_per_second=len(test) / test_seconds,
    )


class Nearest:
    """Finds training pairs by the cosine of the TF-IDF vectors of their sources, over the tokens of the vocabulary."""

    def __init__(self, pairs: TokenPairs, vocabulary_size: int) -> None:
        self.pairs, self.vocabulary_size = pairs, vocabulary_size
        self.weights = TfidfTransformer(sublinear_tf=True)
        self.sources = self.weights.fit_transform(_counts(pairs.source, vocabulary_size)).T.tocsc()

    def texts(self, pairs: TokenPairs) -> list[str]:
        """For each pair, the target text of the training pair with the nearest source; of equal ones the first."""
        asked = self.weights.transform(_counts(pairs.source, self.vocabulary_size))
        found: list[str] = []
        for start in range(0, asked.shape[0], ROWS_AT_ONCE):
            nearness = (asked[start : start + ROWS_AT_ONCE] @ self.sources).toarray()
            found.extend(self.pairs.texts[index] for index in nearness.argmax(axis=1))
        return found


def frequency_loss(train_pairs: TokenPairs, pairs: TokenPairs, vocabulary_size: int) -> float:
    """Mean cross-entropy of the target tokens of ``pairs``, by the counts of ``train_pairs``, each plus one."""
    seen, asked = (_target_counts(each, vocabulary_size) for each in (train_pairs, pairs))
    return float(-(asked * np.log((seen + 1) / (seen + 1).sum())).sum() / asked.sum())


def _counts(texts: TokenizedTexts, vocabulary_size: int) -> scipy.sparse.csr_matrix:
    """How often each token is in each text: (texts, vocabulary)."""
    lengths = texts.host_lengths.numpy()
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return scipy.sparse.coo_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, _tokens(texts))), shape=(len(lengths), vocabulary_size)
    ).tocsr()


def _target_counts(pairs: TokenPairs, vocabulary_size: int) -> np.ndarray:
    """How often each token is to be predicted; BEGIN is given and not counted."""
    counts = np.bincount(_tokens(pairs.target), minlength=vocabulary_size)
    counts[BEGIN] = 0
    return counts


def _tokens(texts: TokenizedTexts) -> np.ndarray:
    """The tokens of all texts, each cut to its length."""
    lengths, starts = texts.host_lengths.numpy(), texts.starts.numpy()
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    tokens: np.ndarray = texts.tokens.numpy()[np.repeat(starts, lengths) + positions]
    return tokens
