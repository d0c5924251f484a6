"""Texts about the repeats of a frontier."""

from __future__ import annotations

from functools import partial
from typing import Any

from tracker.report.repeats import repeat_runs
from tracker.report.tables import confirmation_document, confirmed_frontier_table
from tracker.report.words import money, percent, quality, several
from tracker.store.run_table import StudyTable


def confirmation_sentences(table: StudyTable) -> list[str]:
    """Sentences about a frontier's repeats; empty where the study has none."""
    document = confirmation_document(table)
    if document is None:
        return []
    usd = partial(money, unit=table.unit)
    sentences = [_counted(document, table)]
    if document["completed"]:
        sentences.append(
            "mean and 95 % interval are of the repeats alone where a point has two or more, because its own measurement"
            " was selected for being high; the scatter of single runs is pooled over points as far as they agree"
        )
    points = confirmed_frontier_table(table)
    if "tied_with" in points and points["tied_with"].notna().any():
        sentences.append(
            "a point that is tied with a cheaper one cannot be distinguished from it: buy the cheaper, unless more"
            " seeds separate them"
        )
    sentences += [
        f"{_name(row)} is off the frontier as measured, and on it with a probability of"
        f" {percent(row['probability_on_frontier'])}: {quality(row['quality_mean'])} for {usd(row['price_mean_usd'])},"
        f" {'measured once' if row['repeats'] == 0 else 'by its repeats'}"
        for row in document["contenders"]
    ]
    return sentences


def _counted(document: dict[str, Any], table: StudyTable) -> str:
    runs = repeat_runs(table)
    lost = document["repeats"] - document["completed"]
    no_evidence = f", {lost} of them no evidence: they did not complete" if lost else ""
    trials = several(int(runs["trial"].nunique()), "trial")
    spent = money(document["spend_usd"], table.unit)
    return f"{several(document['repeats'], 'repeat')} of {trials} cost {spent}{no_evidence}"


def _name(row: dict[Any, Any]) -> str:
    return f"#{row['trial']} e{row['epoch']}"
