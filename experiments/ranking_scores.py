"""How well a classifier's probabilities rank examples: what counts where one class is rare.

All handle ties: examples of equal probability are indistinguishable.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracker.records import Direction

RANKING_METRICS: Mapping[str, Direction] = {
    "balanced_accuracy": Direction.MAXIMIZE,
    "auroc": Direction.MAXIMIZE,
    "recall_at_precision": Direction.MAXIMIZE,
}
"""What ``ranking_scores`` returns."""

PRECISION_FLOOR = 0.9


def ranking_scores(
    probabilities: np.ndarray, labels: np.ndarray, positive: int | None = None, precision_floor: float = PRECISION_FLOOR
) -> dict[str, float]:
    """The RANKING_METRICS of probabilities (examples, classes) and labels (examples,).

    ``recall_at_precision`` is that of the class ``positive``, or the mean over all classes where it is None; ``auroc``
    with more than two classes is the mean over the classes, each against the rest. Classes that no example is of, or
    all are, have none of these and are left out; at least two classes must be there.
    """
    present = np.unique(labels)
    ranked = present if probabilities.shape[1] > 2 else present[-1:]  # of two, either gives the same area
    recalled = present if positive is None else [positive]
    recalls = [recall_at_precision(probabilities[:, each], labels == each, precision_floor) for each in recalled]
    return {
        "balanced_accuracy": balanced_accuracy(probabilities.argmax(axis=1), labels),
        "auroc": float(np.mean([auroc(probabilities[:, each], labels == each) for each in ranked])),
        "recall_at_precision": float(np.mean(recalls)),
    }


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes of the share of each that is found (Brodersen et al. 2010, doi:10.1109/ICPR.2010.764).

    Chance is 1 / classes however rare a class is; classes without an example are left out.
    """
    sizes = np.bincount(labels)
    found = np.bincount(labels[predicted == labels], minlength=len(sizes))
    return float(np.mean(found[sizes > 0] / sizes[sizes > 0]))


def auroc(scores: np.ndarray, positives: np.ndarray) -> float:
    """The area under the receiver operating characteristic; ``positives`` (examples,) is True where one is positive.

    It is the probability that a positive example scores higher than a negative one, ties counting half (Hanley and
    McNeil 1982, doi:10.1148/radiology.143.1.7063747); 0.5 is chance. Both kinds of examples are needed.
    """
    _, tie, tied = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(tied) - (tied - 1) / 2)[tie]  # from 1; the mean one of those that are tied
    count = int(positives.sum())
    above = rank[positives].sum() - count * (count + 1) / 2
    return float(above / (count * (len(scores) - count)))


def recall_at_precision(scores: np.ndarray, positives: np.ndarray, floor: float = PRECISION_FLOOR) -> float:
    """The largest share of the positives that a threshold finds with a precision of at least ``floor``.

    0 where no threshold is that precise. The threshold is chosen on the same examples that it is measured on, so the
    figure is a little better than what a threshold that is fixed beforehand will reach.
    """
    descending = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[descending])), len(scores) - 1)  # all that are tied, or none
    found = np.cumsum(positives[descending])[ends]
    precise = found / (ends + 1) >= floor
    return float(found[precise].max(initial=0) / positives.sum())
