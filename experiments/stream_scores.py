"""How well a model predicts a text: in bits for each byte, whatever its tokens are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.data.token_streams import TokenStream
from tracker.records import Direction

SMALLEST_SLICE_BYTES = 5_000
"""Slices of less text are left out: a file or two would decide."""

STREAM_METRICS: Mapping[str, Direction] = {
    "bits_per_byte": Direction.MINIMIZE,
    "validation_loss": Direction.MINIMIZE,
    "training_loss": Direction.MINIMIZE,
    "worst_slice_bits_per_byte": Direction.MINIMIZE,
}
"""What every language model reports after each epoch."""


@dataclass(frozen=True, slots=True)
class StreamScores:
    """A model on a text.

    ``bits_per_byte`` is -log2 of the probability that it gives the text, over the text's bytes: comparable across
    vocabularies (Gao et al. 2020, The Pile, arXiv:2101.00027, section 3.1). ``loss`` is the mean cross-entropy of a
    token in nats. ``worst_slice_bits_per_byte`` is that of the slice it is worst on, and that of the whole text where
    no slice has SMALLEST_SLICE_BYTES.
    """

    bits_per_byte: float
    loss: float
    worst_slice_bits_per_byte: float

    @property
    def reported(self) -> dict[str, float]:
        """What is reported after an epoch, beside the training loss."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "validation_loss": self.loss,
            "worst_slice_bits_per_byte": self.worst_slice_bits_per_byte,
        }


def stream_scores(stream: TokenStream, nats_by_slice: np.ndarray) -> StreamScores:
    """The scores of a model that all tokens of each slice but the stream's first cost so many nats."""
    bytes_by_slice = np.bincount(stream.slices, weights=stream.sizes, minlength=len(nats_by_slice))
    nats = float(nats_by_slice.sum())
    bits_per_byte = nats / math.log(2) / stream.size_bytes
    counted = bytes_by_slice >= SMALLEST_SLICE_BYTES
    of_slices = nats_by_slice[counted] / math.log(2) / bytes_by_slice[counted]
    worst = float(of_slices.max()) if counted.any() else bits_per_byte
    return StreamScores(bits_per_byte, nats / len(stream.sizes), worst)
