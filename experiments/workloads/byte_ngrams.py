"""The cheap reference: how often each byte followed the bytes before it, on the same text as the Transformer.

Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from experiments.data.token_streams import TokenStream, prepared_streams
from experiments.stream_scores import StreamScores, stream_scores
from experiments.workloads.language_model import evaluation_stream, training_tokens
from tracker.training.run import Run

ORDER = 6  # the best of 4 to 8 on the validation split of the standard library
LARGEST_ORDER = 8
"""So many bytes fit into one number of 64 bits."""


def train(run: Run) -> None:
    """Count once and report one checkpoint. Of the settings it reads those of the data."""
    folder = prepared_streams(run)
    text = training_tokens(run, folder, as_bytes=True).cpu().numpy()
    validation = evaluation_stream(run, folder, "validation", as_bytes=True)
    run.ready()
    begin = time.perf_counter()
    model = ByteNgrams(text, ORDER)
    seconds = time.perf_counter() - begin
    with run.evaluating():
        training_loss = -np.log(model.probabilities(text[: len(validation.tokens)])).mean()  # of as much text
        scores = model.scores(validation)
    run.report(1, training_loss=training_loss, **scores.reported)
    with run.evaluating():
        test = model.scores(evaluation_stream(run, folder, "test", as_bytes=True))
    run.conclude(
        test_bits_per_byte=test.bits_per_byte,
        parameters=model.parameters,
        samples_per_second=len(text) / int(run.settings["context_length"]) / seconds,
        tokens_per_second=len(text) / seconds,
    )


class ByteNgrams:
    """Interpolated Witten-Bell smoothing of byte n-grams (Witten and Bell 1991, IEEE Trans. Inf. Theory 37(4)).

    With c(h) the times that the context h was seen, c(h w) those with w after it, T(h) the number of different bytes
    seen after it, and h' the context without its first byte:

        p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h)),

    and p(w | h') where h was never seen; below the empty context every byte has 1/256. (The form of Chen and Goodman
    1998, TR-10-98, section 2.5.)
    """

    def __init__(self, text: np.ndarray, order: int) -> None:
        """Count the n-grams of 1 to ``order`` bytes, at most LARGEST_ORDER, that end at any byte but the first."""
        self.order = order
        self._counts = []
        for grams in _grams(text, order):
            distinct, counts = np.unique(grams, return_counts=True)
            contexts, begins, kinds = np.unique(distinct >> np.uint64(8), return_index=True, return_counts=True)
            self._counts.append((distinct, counts, contexts, np.add.reduceat(counts, begins), kinds))

    @property
    def parameters(self) -> int:
        """Numbers that were counted."""
        return sum(len(counts) for _, counts, *_ in self._counts)

    def probabilities(self, text: np.ndarray) -> np.ndarray:
        """That of each byte but the first, given those before it: (len(text) - 1,)."""
        probability = np.full(len(text) - 1, 1 / 256)
        for grams, (distinct, counts, contexts, totals, kinds) in zip(
            _grams(text, self.order), self._counts, strict=True
        ):
            seen, known = _look_up(contexts, totals, grams >> np.uint64(8)), _look_up(distinct, counts, grams)
            different = _look_up(contexts, kinds, grams >> np.uint64(8))
            smoothed = (known + different * probability) / np.maximum(seen + different, 1)
            probability = np.where(seen > 0, smoothed, probability)
        return probability

    def scores(self, stream: TokenStream) -> StreamScores:
        """The scores on a text, each byte predicted from those before it."""
        nats = -np.log(self.probabilities(stream.tokens.cpu().numpy()))
        return stream_scores(stream, np.bincount(stream.slices, weights=nats))


def _grams(text: np.ndarray, order: int) -> Iterator[np.ndarray]:
    """For n from 1: the n bytes that end at each byte but the first, as a number whose last 8 bits are that byte.

    Bytes before the first are taken to be 0.
    """
    grams = np.zeros(len(text) - 1, dtype=np.uint64)
    for back in range(order):
        shifted = np.zeros(len(text), dtype=np.uint64)
        shifted[back:] = text[: len(text) - back]
        grams = grams | shifted[1:] << np.uint64(8 * back)
        yield grams


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 where there is none. ``keys`` are sorted."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
