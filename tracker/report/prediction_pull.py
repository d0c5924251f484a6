"""Trainings of the same study that were measured on both devices: what they say of a prediction's error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.prediction.speed import PAIRS, measured_share, shift
from tracker.prediction.step_times import MeasuredSteps, PredictedSteps, predict_on
from tracker.records import Role
from tracker.report.measured_steps import run_steps
from tracker.report.prediction_targets import Target
from tracker.store.run_table import StudyTable
from tracker.study.knobs import HARDWARE_KNOBS

_SAME_WORK = ("precision", "compile")
"""Knobs of the hardware that two runs must share to be the same training: steps take another time by them."""


@dataclass(frozen=True)
class Pull:
    """What was learnt for one target: of each trial there, how long its steps took over what others predict (log).

    ``residuals`` are rows with trial, trial_there, on, predicted_seconds and measured_seconds of an epoch's steps.
    """

    log_errors: tuple[float, ...] = ()
    residuals: list[dict[str, Any]] = field(default_factory=list)

    @property
    def trainings(self) -> int:
        """How many trainings were measured on both."""
        return len(self.log_errors)

    def applied(self, predicted: PredictedSteps) -> PredictedSteps:
        """The predictions, moved by what was measured; as they were without any.

        From an accelerator the range is narrower too, as it was on published pairs; from a processor it stays as wide.
        """
        if not self.log_errors:
            return predicted
        moved = np.exp(shift(np.array(self.log_errors)))
        width = np.sqrt(predicted.high / predicted.low)
        narrow = np.where(np.isin(predicted.basis, PAIRS), width ** measured_share(self.trainings), width)
        middle = np.sqrt(predicted.high * predicted.low)
        seconds, low, high = (each * moved for each in (predicted.seconds, middle / narrow, middle * narrow))
        return replace(predicted, seconds=seconds, low=np.minimum(low, seconds), high=np.maximum(high, seconds))


def pulls(table: StudyTable, targets: Sequence[Target]) -> list[Pull]:
    """One for each target: from pairs of trials with the same settings, of which one ran there and one elsewhere."""
    rows = np.flatnonzero((table.runs["role"] == Role.TRIAL).to_numpy()).astype(np.int64)
    measured = run_steps(table, rows).measured
    kinds = [each.accelerator for each in measured.sources]
    if len({kind and kind.name for kind in kinds}) < 2:
        return [Pull() for _ in targets]  # all trials ran on one kind of device
    epochs = table.checkpoints.groupby("run")["epoch"].max().reindex(rows).to_numpy(dtype=np.float64)
    an_epoch = measured.step_seconds / epochs
    alike = _same_training(table, rows)
    trials = table.runs["trial"].to_numpy(dtype=np.int64)[rows]
    return [_pull(target, trials, measured, an_epoch, epochs, alike) for target in targets]


def _same_training(table: StudyTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number of each run that is equal for runs that train the same, on whatever hardware."""
    left_out = set(HARDWARE_KNOBS) - set(_SAME_WORK)
    names = [name for name in table.settings if name not in left_out]
    keys = pd.Series([repr(values) for values in table.settings[names].take(rows).to_numpy().tolist()], dtype=object)
    return np.asarray(pd.factorize(keys)[0], dtype=np.int64)


def _pull(
    target: Target,
    trials: NDArray[np.int64],
    measured: MeasuredSteps,
    an_epoch: NDArray[np.float64],
    epochs: NDArray[np.float64],
    alike: NDArray[np.int64],
) -> Pull:
    if target.accelerator is None:
        return Pull()
    alone = [each.accelerator is target.accelerator and each.count == 1 for each in measured.sources]
    there = np.array(alone, dtype=bool)[measured.codes]
    predicted = predict_on(target.accelerator, measured).seconds / epochs
    errors: list[float] = []
    residuals: list[dict[str, Any]] = []
    for row in np.flatnonzero(there & (an_epoch > 0)):
        others = np.flatnonzero(~there & (alike == alike[row]) & (predicted > 0))
        if len(others):
            errors.append(float(np.log(an_epoch[row] / predicted[others]).mean()))
        residuals += [
            {
                "on": target.name,
                "trial": int(trials[other]),
                "trial_there": int(trials[row]),
                "predicted_seconds": float(predicted[other]),
                "measured_seconds": float(an_epoch[row]),
            }
            for other in others
        ]
    return Pull(tuple(errors), residuals)
