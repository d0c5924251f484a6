"""The search's decisions about a trial, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd

from tracker.errors import RequestError, StoreError
from tracker.pricing.money_unit import MoneyUnit
from tracker.report import words
from tracker.runner.decisions import FILE_NAME, DecisionColumns, Decisions
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

_ACTIONS = {
    "begin": "started",
    "continue": "continued without a pause",
    "pause": "paused",
    "move": "moved",
    "resume": "resumed",
    "stop": "stopped",
    "end": "ended",
}


def decisions_document(home: Home, name: str, trial: int) -> dict[str, Any]:
    """The document of ``tracker why NAME TRIAL --json``: the decisions about a trial, in order.

    Raises StudyNotFoundError, StoreError, and RequestError where the study has no such trial.
    """
    folder = folder_of(home, name)
    document = folder.document()
    decisions = Decisions(folder.path / FILE_NAME).of(trial)
    if not decisions:
        trials = sorted(int(path.name) for path in folder.trials.glob("*") if path.name.isdecimal())
        there = f"0 to {trials[-1]}" if trials else "none yet"
        reason = "was run before decisions were recorded" if trial in trials else f"does not exist; its trials: {there}"
        raise RequestError(f"study '{name}': trial {trial} {reason}")
    quality = document.content.get("quality", {}).get("metric", "quality")
    return {"study": name, "trial": trial, "quality": quality, "decisions": decisions}


def decision_sentences(document: Mapping[str, Any], unit: MoneyUnit) -> Iterator[str]:
    """The decisions of a document as lines, each with its numbers below; amounts of money in ``unit``."""
    for decision in document["decisions"]:
        at = datetime.fromtimestamp(decision["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        yield f"{at}  #{document['trial']} {_ACTIONS.get(decision['action'], decision['action'])}: {decision['why']}"
        for line in _number_lines(decision["numbers"], document["quality"], partial(words.money, unit=unit)):
            yield f"    {line}"


def _number_lines(numbers: Mapping[str, Any], quality: str, usd: Callable[[float], str]) -> Iterator[str]:
    """A decision's numbers as sentences, as far as it has them."""
    if (left := numbers.get("left_usd")) is not None:
        yield f"{usd(left)} was left to spend"
    if (price := numbers.get("price_usd")) is not None:
        yield f"it had cost {usd(price)}"
    if (step := numbers.get("expected_usd")) is not None:
        until = numbers.get("until_usd")
        to = (
            "train to its end" if until is None else f"train until it costs {usd(until)}" if until else "one checkpoint"
        )
        yield f"the step: {to}, {f'expected to take {usd(step)}' if step else 'at an unknown price'}"
    if (expected := numbers.get(f"expected_{quality}")) is not None:
        likely = f"{words.quality(numbers['likely_from'])} to {words.quality(numbers['likely_to'])}"
        yield (
            f"forecast: {quality} {words.quality(expected)} (nine in ten: {likely}) after epoch "
            f"{numbers['at_epoch']:.0f}, at {usd(numbers['price_then_usd'])}"
        )
    if (gain := numbers.get("expected_gain")) is not None:
        yield (
            f"expected to add {gain:.3g} to the hypervolume of {numbers['hypervolume']:.4g}: "
            f"{numbers['expected_gain_per_usd']:.4g} a dollar"
        )
    if "next_best" in numbers:
        other = "a new trial" if numbers["next_best"] is None else f"#{numbers['next_best']}"
        yield f"next best: {other}, {numbers['next_best_gain_per_usd']:.4g} a dollar"


def decisions_about(table: StudyTable) -> pd.DataFrame | None:
    """What the search decided about the trials of a study (DecisionColumns.latest); None where it is not kept here."""
    if table.home is None:
        return None
    try:
        return DecisionColumns(Home(table.home).study(table.study) / FILE_NAME).latest()
    except StoreError:
        return None
