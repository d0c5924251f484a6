"""What the name of a metric says of it: which way it is better."""

from __future__ import annotations

import re

from tracker.records import Direction

_FALLING = re.compile(
    r"loss|error|bits|perplexity|gap|seconds|bytes|latency|usd|energy|joules"
    r"|(?:^|[^a-z])(?:mae|mse|rmse|wer|cer|nll|err|ppl|fid|bpb|bpc)(?:$|[^a-z])"
)
_RISING = re.compile(
    r"(?:^|[^a-z])(?:acc|accuracy|f1|auc|auroc|bleu|rouge\w*|precision|recall|map|iou|r2|score|reward)(?:$|[^a-z])"
)


def likely_direction(metric: str) -> Direction:
    """Losses, errors, times and sizes are better when lower; anything else when higher."""
    return Direction.MINIMIZE if _FALLING.search(metric.lower()) else Direction.MAXIMIZE


def stated_direction(metric: str) -> Direction | None:
    """The direction that a name says without a doubt; None where it says neither, or both.

    >>> [stated_direction(name) for name in ("val/loss", "test_accuracy", "hits", "accuracy_gap")]
    [<Direction.MINIMIZE: 'minimize'>, <Direction.MAXIMIZE: 'maximize'>, None, None]
    """
    falls, rises = _FALLING.search(metric.lower()), _RISING.search(metric.lower())
    return None if bool(falls) == bool(rises) else likely_direction(metric)
