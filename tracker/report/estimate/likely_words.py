"""What a study is likely to cost, in words, for callers that must not load training code.

Imports nothing heavy. The estimate is imported by its name: it loads no training code either, but modules that it
shares with what does are refused to the dashboard (import-linter follows imports inside of functions too).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from tracker.store.home import Home
from tracker.study.document import StudyDocument

_ESTIMATE, _SENTENCES = "tracker.report.estimate.estimate", "tracker.report.estimate.sentences"


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
    estimate, sentences = (importlib.import_module(name) for name in (_ESTIMATE, _SENTENCES))
    found = estimate.estimate_cost(document, home)
    likely = found.likely
    if likely is None:
        return LikelyWords("", found.grounds.sentence)
    return LikelyWords(
        sentences.money(likely.outlay.spend_usd, found.unit),
        found.grounds.sentence,
        sentences.trials_and_time(found, likely),
        sentences.TRAINING_COLUMNS,
        sentences.training_rows(found, likely),
        (*found.remarks, sentences.confidence_sentence()),
    )
