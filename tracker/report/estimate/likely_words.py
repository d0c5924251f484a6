"""What a study is likely to cost, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.report.estimate.estimate import PROBE_HINT, estimate_cost
from tracker.report.estimate.sentences import (
    TRAINING_COLUMNS,
    confidence_sentence,
    money,
    training_rows,
    trials_and_time,
)
from tracker.store.home import Home
from tracker.study.document import StudyDocument


@dataclass(frozen=True, slots=True)
class LikelyWords:
    """The ``likely`` amount with its range, "" where nothing is known of it; ``grounds`` say what it rests on, or why
    there is none.

    ``buys`` is how many trainings it buys in how long; ``trainings`` are rows below ``columns``; ``notes`` come last.
    """

    likely: str
    grounds: str
    buys: str = ""
    columns: Sequence[str] = ()
    trainings: Sequence[tuple[str, ...]] = ()
    notes: Sequence[str] = ()


def likely_words(document: StudyDocument, home: Home) -> LikelyWords:
    """The estimate of a study from the past runs of a home. Raises TrackerError as ``estimate_cost`` does."""
    found = estimate_cost(document, home)
    likely = found.likely
    if likely is None:
        return LikelyWords("", found.grounds.sentence, notes=[PROBE_HINT])
    return LikelyWords(
        money(likely.outlay.spend_usd, found.unit),
        found.grounds.sentence,
        trials_and_time(found, likely),
        TRAINING_COLUMNS,
        training_rows(found, likely),
        (*found.remarks, confidence_sentence()),
    )
