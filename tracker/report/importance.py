"""Which knobs drive quality and price, with confidence intervals.

A random forest (Breiman 2001, Machine Learning 45) learns the outcome of a trial from its knobs. A knob's importance is
how much worse the forest predicts held-out trials once that knob's values are permuted (Breiman 2001; Fisher, Rudin and
Dominici 2019, JMLR 20, "model reliance"). Half of that loss over the variance of the outcome is the knob's total
effect, the share of the variance that it drives alone and in interaction with other knobs (Gregorutti, Michel and
Saint-Pierre 2017, Statistics and Computing 27, for independently drawn knobs); shares may sum to more than one. This is
repeated for several random splits of the trials; the 95 % interval is the corrected resampled t of Nadeau and Bengio
(2003, Machine Learning 52), because the splits share trials.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.frontier.student_t import t_quantile
from tracker.report.knob_levels import is_numeric, knobs_of
from tracker.report.tables import trial_checkpoints
from tracker.report.words import percent, several
from tracker.store.run_table import StudyTable

LEAST_TRIALS = 8
"""The least number of trials: a quarter of fewer is too small to evaluate on."""
MOST_TRIALS = 1000
"""More trials are sampled: a thousand show what matters."""
EPOCHS = "epochs reached"
"""How far a trial was trained: not a knob, but its effect must not be attributed to one."""
HELD_OUT = 0.25
COLUMNS = ["knob", "share", "low", "high"]
_SPLITS = 10
_TREES = 40
_TREE_TRIALS = 300
_DONORS = 5
_CATEGORIES = 12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """The importances for one outcome (``target``: "quality" or "price", by its logarithm).

    ``shares``: one row a knob, the largest share first: knob, share (of the outcome's variance, about 0 to 1), low and
    high (its 95 % interval). Empty where nothing can be claimed; ``sentence`` gives the reason, or the result.
    ``explained`` is the share of the variance that all knobs together explain in held-out trials, with its interval;
    NaN where it was not computed.
    """

    target: str
    shares: pd.DataFrame
    sentence: str
    explained: tuple[float, float, float] = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class KnobImportance:
    """Both outcomes, from ``trials`` of the ``known`` trials with a checkpoint."""

    trials: int
    known: int
    quality: Importance
    price: Importance

    @property
    def sample_sentence(self) -> str:
        """A sentence about the sample; "" where all trials were used."""
        if self.trials == self.known:
            return ""
        return f"From a random sample of {self.trials:,} of {several(self.known, 'trial')}."


def knob_importance(table: StudyTable, seed: int = 0) -> KnobImportance:
    """The importance of each searched knob for quality and for the logarithm of price, at trials' last checkpoints.

    Where trials were trained for different numbers of epochs, that is a separate column, EPOCHS. A knob ``seed`` is
    left out. Takes a few seconds for a large study; equal for equal tables and ``seed``.
    """
    points = trial_checkpoints(table)
    lasts = points[points["last"].to_numpy(dtype=np.bool_) & (points["price_usd"] > 0)]
    known = len(lasts)
    if known > MOST_TRIALS:
        lasts = lasts.sample(MOST_TRIALS, random_state=seed)
    knobs = knobs_of(table)
    settings = table.settings.loc[lasts["run"], knobs]
    if lasts["epoch"].nunique() > 1 and not any(_same(settings[name], lasts["epoch"]) for name in knobs):
        settings = settings.assign(**{EPOCHS: lasts["epoch"].to_numpy()})
    outcomes = {"quality": lasts["quality"].to_numpy(np.float64), "price": np.log(lasts["price_usd"].to_numpy())}
    found = {name: importance(settings, outcome, name, seed) for name, outcome in outcomes.items()}
    return KnobImportance(len(lasts), known, **found)


def importance(settings: pd.DataFrame, outcome: Floats, target: str, seed: int = 0) -> Importance:
    """Which of ``settings`` (a row per trial, a column per knob) drive ``outcome`` (shape [trials], finite)."""
    nothing = pd.DataFrame(columns=COLUMNS)
    columns = {str(name): _encoded(settings[name]) for name in settings if settings[name].nunique(dropna=False) > 1}
    if len(outcome) < LEAST_TRIALS:
        has = "1 trial has" if len(outcome) == 1 else f"{len(outcome)} trials have"
        return Importance(
            target, nothing, f"{has} a checkpoint; {LEAST_TRIALS} are needed to say what drives {target}."
        )
    if not columns:
        return Importance(target, nothing, "Every trial has the same settings, so no knob can be compared.")
    if float(np.ptp(outcome)) <= 1e-12 * float(np.abs(outcome).max()):
        return Importance(target, nothing, f"The {target} of every trial is the same, so no knob drives it.")
    losses, explained = _resampled(columns, outcome, seed)
    test, train = _split_sizes(len(outcome))
    whole = corrected_interval(explained, test / train)
    if not whole[1] > 0:
        return Importance(target, nothing, _nothing_sure(target, len(outcome), whole), whole)
    rows = [(knob, *corrected_interval(losses[:, at], test / train)) for at, knob in enumerate(columns)]
    shares = pd.DataFrame(rows, columns=COLUMNS).sort_values("share", ascending=False, kind="stable")
    return Importance(target, shares.reset_index(drop=True), _found(target, shares, whole), whole)


def corrected_interval(values: Floats, overlap: float) -> tuple[float, float, float]:
    """The mean over resampled splits and its 95 % interval (Nadeau and Bengio 2003, section 5.2).

    ``overlap`` is the size of the test part over that of the training part.

    >>> [round(value, 3) for value in corrected_interval(np.array([1.0, 2.0, 3.0]), 1 / 3)]
    [2.0, -1.513, 5.513]
    """
    count, mean = len(values), float(values.mean())
    half = t_quantile(count - 1) * math.sqrt((1 / count + overlap) * float(values.var(ddof=1)))
    return mean, mean - half, mean + half


def _resampled(columns: dict[str, Floats], outcome: Floats, seed: int) -> tuple[Floats, Floats]:
    """Per split: the share that each knob drives (shape [splits, knobs]), and that all explain (shape [splits])."""
    # scikit-learn takes a second to import: other pages and commands must not wait for it.
    forests: Any = importlib.import_module("sklearn.ensemble")
    generator = np.random.default_rng(seed)
    trials, variance = len(outcome), float(outcome.var())
    inputs = np.concatenate(list(columns.values()), axis=1)
    ends = np.cumsum([each.shape[1] for each in columns.values()])
    groups = [slice(end - each.shape[1], end) for end, each in zip(ends, columns.values(), strict=True)]
    held_out, _ = _split_sizes(trials)
    losses, explained = [], []
    for split in range(_SPLITS):
        order = generator.permutation(trials)
        test, train = order[:held_out], order[held_out:]
        draw = min(len(train), _TREE_TRIALS)
        forest = forests.RandomForestRegressor(_TREES, min_samples_leaf=2, max_samples=draw, random_state=seed + split)
        forest.fit(inputs[train], outcome[train])
        whole = np.repeat(inputs[test], _DONORS, axis=0)
        asked = [inputs[test]]
        for group in groups:
            switched = whole.copy()
            switched[:, group] = inputs[generator.integers(trials, size=len(whole)), group]
            asked.append(switched)
        predicted = np.split(forest.predict(np.concatenate(asked)), np.cumsum([len(each) for each in asked])[:-1])
        error = float(((predicted[0] - outcome[test]) ** 2).mean())
        switched_errors = [((each - np.repeat(outcome[test], _DONORS)) ** 2).mean() for each in predicted[1:]]
        losses.append((np.array(switched_errors) - error) / (2 * variance))
        explained.append(1 - error / variance)
    return np.array(losses), np.array(explained)


def _split_sizes(trials: int) -> tuple[int, int]:
    """The number of trials to test on, and to train on."""
    held_out = max(2, round(trials * HELD_OUT))
    return held_out, trials - held_out


def _encoded(values: pd.Series[Any]) -> Floats:
    """A knob as columns of numbers, shape [trials, columns]: a number as it is (NaN where a trial has none), else one
    column for each of its most frequent values."""
    if is_numeric(values):
        return pd.to_numeric(values).to_numpy(dtype=np.float64)[:, None]
    names = values.map(str)
    frequent = names.value_counts().index[:_CATEGORIES]
    return np.stack([(names == name).to_numpy(dtype=np.float64) for name in frequent], axis=1)


def _same(setting: pd.Series[Any], epochs: pd.Series[int]) -> bool:
    return [str(value) for value in setting] == [str(value) for value in epochs]


def _nothing_sure(target: str, trials: int, whole: tuple[float, float, float]) -> str:
    share, low, high = (percent_of(value) for value in whole)
    return (
        f"From {several(trials, 'trial')} the knobs do not reliably explain the {target} of held-out trials "
        f"({share} of its variance, 95 % interval {low} to {high}), so no knob is ranked."
    )


def _found(target: str, shares: pd.DataFrame, whole: tuple[float, float, float]) -> str:
    sure = shares[shares["low"] > 0]
    explained = f"All knobs together explain {percent_of(whole[0])} of the {target}'s variance in held-out trials"
    if sure.empty:
        return f"{explained}; no single knob has a certain effect."
    certain = [f"{row['knob']} {percent_of(row['share'])}" for row in sure.head(3).to_dict("records")]
    return f"{explained}. Certain effects: {', '.join(certain)}."


def percent_of(share: float) -> str:
    """A share that may be below 0, in whole per cent.

    >>> percent_of(0.423), percent_of(-0.05)
    ('42 %', '-5 %')
    """
    return percent(share) if share >= 0 else f"{share * 100:.0f} %"
