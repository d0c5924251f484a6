"""Captions of the frontier chart: what it shows and what it leaves out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tracker.records import Role
from tracker.report.plane import Plane, study_plane
from tracker.report.words import money, several
from tracker.store.run_table import StudyTable


def frontier_caption(table: StudyTable) -> str:
    """The caption of a study's frontier chart; plain text."""
    return plane_caption(study_plane(table))


def plane_caption(plane: Plane) -> str:
    """The caption of a plane."""
    table, axes = plane.found.table, plane.axes
    trials = table.runs[table.runs["role"] == Role.TRIAL]
    reached = np.zeros(len(table.runs), dtype=np.bool_)
    reached[table.checkpoints["run"].to_numpy(dtype=np.int64)] = True
    unseen = ~pd.Series(reached, index=table.runs.index)[trials.index]
    failed = trials["state"].isin(["failed", "killed"])
    ends = "both price and quality" if axes.is_of_study(table) else "both of the figures shown"
    words = [
        "Every point is a checkpoint of a trial; #12 e3 is trial 12 after epoch 3.",
        f"The line connects the points that no other beats in {ends}; the others are grey.",
        _sampled(plane),
        _left_out(plane),
    ]
    if failed.any():
        lost = money(float(trials.loc[failed, "price_usd"].sum()), table.unit)
        undrawn = int((failed & unseen).sum())
        words.append(
            f"{several(int(failed.sum()), 'trial')} failed or were killed, {undrawn} without a checkpoint to draw;"
            f" the spend includes the {lost} that they cost."
        )
    if (unseen & ~failed).any():
        words.append(f"Not drawn, without a checkpoint yet: {several(int((unseen & ~failed).sum()), 'trial')}.")
    if not plane.intervals.empty:
        words.append("Whiskers show the mean of repeats and its 95 % interval; repeats are not points.")
    if table.limits:
        words.append("Hollow points are outside the study's limits and never on the line.")
    if axes.y_log and not plane.y_log:
        words.append("y is linear: it has figures at or below zero.")
    return " ".join(filter(None, words))


def _sampled(plane: Plane) -> str:
    shown = int((~plane.drawn["on_frontier"].astype(bool)).sum())
    if shown == plane.others:
        return ""
    return (
        f"Of {plane.others:,} points off the line, {shown:,} are drawn, one per spot with any;"
        " the line has all of its points."
    )


def _left_out(plane: Plane) -> str:
    count = plane.found.left_out
    if not count:
        return ""
    what = f"{plane.x_measure.name} or no {plane.found.metric}"
    return f"Not drawn: {several(count, 'checkpoint')} that have no {what} above zero." if count else ""
