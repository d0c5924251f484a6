"""The table [report] of a study file: where a command that knows nothing of the tracker says what it reached.

By default the table has regular expressions on what the command prints; with ``tensorboard`` or ``csv`` it has tags or
columns of the logs in a folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tracker.errors import did_you_mean
from tracker.records import BOOKED_METRICS

LOGS = ("tensorboard", "csv")
_OWN_FOLDER = re.compile(r"\$\{?TRACKER_(ARTIFACTS|STATE)\b")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """How a command reports.

    ``where`` is what is read: what it prints, or the event files or csv logs in ``place``, a path from the command's
    folder in which ``$TRACKER_ARTIFACTS`` and such stand for their values. ``metrics`` are regular expressions with
    one group, tags, or columns, by the metric's name here; ``step`` is that of the step, "" for none.
    """

    where: Literal["printed", "tensorboard", "csv"]
    place: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    step: str = ""

    @property
    def one_at_a_time(self) -> bool:
        """Whether nobody could know which log is of which of two trials at once: csv logs in a folder that all share.

        An event file's name has the number of the process that writes it.
        """
        return self.where == "csv" and _OWN_FOLDER.match(self.place) is None


def report_table(given: Mapping[str, Any]) -> ReportTable | None:
    """What a [report] table without problems says; None for an empty one."""
    if not given:
        return None
    metrics = {name: str(value) for name, value in given.items() if name not in (*LOGS, "step")}
    step = str(given.get("step", ""))
    if "tensorboard" in given:
        return ReportTable("tensorboard", str(given["tensorboard"]), metrics, step)
    if "csv" in given:
        return ReportTable("csv", str(given["csv"]), metrics, step)
    return ReportTable("printed", "", metrics, step)


def report_problems(given: Mapping[str, Any], quality: str, needed: Collection[str]) -> Iterator[tuple[str, str]]:
    """The key and a sentence for each problem; the key "" is the table.

    ``needed`` are the metrics of the study's objectives and limits.
    """
    logs = [name for name in LOGS if name in given]
    for name, value in given.items():
        if not isinstance(value, str) or not value.strip():
            yield name, f"{value!r} is not a text"
        elif name in BOOKED_METRICS:
            yield name, "the tracker measures this itself"
        elif not logs and (problem := _expression_problem(value)):
            yield name, problem
    if len(logs) == 2:
        yield "csv", "there is a folder for tensorboard too; a command reports by one of the two"
    if logs == ["tensorboard"] and "step" in given:
        yield "step", "an event of TensorBoard's has its own step; leave this out"
    if given and not logs:
        named = [name for name in given if name != "step"]
        for metric in (quality, *sorted(set(needed) - {quality})):
            if metric not in named:
                said = "the study's quality" if metric == quality else "an objective or a limit of the study"
                yield "", f"no expression for '{metric}', {said}; {did_you_mean(metric, named)}"


def _expression_problem(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        return f"{text!r} is not a regular expression: {error}"
    if groups == 1:
        return ""
    advice = (
        "put parentheses around the number" if not groups else "write (?:…) for those around anything but the number"
    )
    return f"{text!r} has {groups or 'no'} group{'s' if groups > 1 else ''}; it takes one: {advice}"
