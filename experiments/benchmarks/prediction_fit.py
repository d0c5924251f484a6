"""Fitting the coefficients of predictions on pairs of published throughputs, and their 90 % ranges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from experiments.benchmarks.throughput_pairs import Pairs
from tracker.prediction.speed import COEFFICIENTS, FITTED, PAIRS, Coefficients, Pair, pair_classes, shift, speed_ups

HUBER = 0.1
"""From this error of a log speed-up on, an error counts by its size and not by its square."""
COVERED = 0.90
FEWEST = 30
"""Pairs of one class in one source from which a range is taken."""
ONE_SOURCE = 2.0
"""The least factor of a class that only one source tells of, as its bias cannot be seen."""
MOST_THERE = 4
"""Of more trainings that were measured on the target, no more is learnt."""
_START = (0.5, 0.5, 0.4, np.log(0.08), np.log(0.8))
_NO_RANGES: Mapping[Pair, float] = dict.fromkeys(Pair, 1.0)


def fit(pairs: Pairs) -> Coefficients:
    """Fit exponents by Huber's loss, every source with the same weight; ranges by sources left out."""
    fitted = _exponents(pairs)
    known, blind = (ranges(pairs, left_out_errors(pairs, hidden)) for hidden in (False, True))
    blind = {pair: max(factor, known[pair]) for pair, factor in blind.items()}
    return replace(fitted, factors=known, blind_factors=blind, measured_factors=measured_factors(pairs))


def _exponents(pairs: Pairs) -> Coefficients:
    counts = pairs.rows.groupby("source")["log_speed_up"].transform("size").to_numpy(dtype=np.float64)
    weights = np.sqrt(counts.mean() / counts)
    truth = pairs.rows["log_speed_up"].to_numpy()

    def errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((log_predictions(pairs, _made(values)) - truth) * weights, dtype=np.float64)

    return _made(least_squares(errors, _START, loss="huber", f_scale=HUBER).x)


def _made(values: NDArray[np.float64]) -> Coefficients:
    peak, bandwidth, power, half, slope = map(float, values)
    return Coefficients(
        peak, bandwidth, power, float(np.exp(half)), float(np.exp(slope)), _NO_RANGES, _NO_RANGES, (1.0,)
    )


def log_predictions(pairs: Pairs, coefficients: Coefficients, *, blind: bool = False) -> NDArray[np.float64]:
    """The predicted log speed-ups [n]; ``blind`` without what is known of utilisation."""
    mfu = np.full(len(pairs), np.nan) if blind else pairs.mfu
    found = speed_ups(pairs.origin, pairs.target, mfu, coefficients)
    return np.asarray(np.log(found.ratio), dtype=np.float64)


def left_out_errors(pairs: Pairs, blind: bool = False) -> NDArray[np.float64]:
    """The errors of log speed-ups [n], truth minus prediction, each predicted without its own source."""
    errors = np.zeros(len(pairs))
    sources = pairs.rows["source"].to_numpy()
    for source in np.unique(sources):
        of_it = sources == source
        others = _exponents(pairs.take(~of_it)) if not of_it.all() else _exponents(pairs)
        truth = pairs.rows["log_speed_up"].to_numpy()[of_it]
        errors[of_it] = truth - log_predictions(pairs.take(of_it), others, blind=blind)
    return errors


def ranges(pairs: Pairs, errors: NDArray[np.float64]) -> dict[Pair, float]:
    """The 90 % factor of each class: halfway, in logarithms, between that of its worst source and their mean.

    Of all sources together it covered too little of sources left out, of the worst alone too much. A class that fewer
    than two sources tell of has at least ONE_SOURCE.
    """
    classes, sources = pair_classes(pairs.origin, pairs.target, pairs.mfu), pairs.rows["source"].to_numpy()
    found = {}
    for number, pair in enumerate(PAIRS):
        of_class = [np.abs(errors[(classes == number) & (sources == source)]) for source in np.unique(sources)]
        widths = [float(np.quantile(each, COVERED)) for each in of_class if len(each) >= FEWEST]
        between = float(np.exp((max(widths) + np.mean(widths)) / 2)) if widths else ONE_SOURCE
        found[pair] = between if len(widths) > 1 else max(ONE_SOURCE, between)
    return found


def measured_factors(pairs: Pairs) -> tuple[float, ...]:
    """The factor that covers 90 % where 1, 2, … MOST_THERE other trainings of the study were measured on both chips.

    Which ones is drawn; of the worst source with enough pairs, and never above that for fewer trainings.
    """
    rows = pairs.rows.assign(error=left_out_errors(pairs))
    draw, factors = np.random.default_rng(0), list[float]()
    for there in range(1, MOST_THERE + 1):
        found: dict[str, list[float]] = {}
        for (source, *_), group in rows.groupby(["source", "study", "gpu_s", "gpu_t"]):
            errors = group["error"].to_numpy()
            for at in range(len(errors) if len(errors) > there else 0):
                others = draw.choice(np.delete(errors, at), there, replace=False)
                found.setdefault(str(source), []).append(abs(errors[at] - shift(others)))
        worst = [float(np.exp(np.quantile(each, COVERED))) for each in found.values() if len(each) >= FEWEST]
        factors.append(min([max(worst), *factors[-1:]]) if worst else ONE_SOURCE)
    return tuple(factors)


def _figures(fitted: Coefficients) -> dict[str, float]:
    return {name: getattr(fitted, name) for name in FITTED}


def write_coefficients(fitted: Coefficients, pairs: Pairs) -> None:
    """Write what the tracker predicts by, with what it was fitted on."""
    document = {
        "command": "python -m experiments.benchmarks.prediction --fit",
        "pairs": len(pairs),
        "sources": sorted(pairs.rows["source"].unique()),
        **{name: round(value, 4) for name, value in _figures(fitted).items()},
        "factors": {str(pair): round(factor, 2) for pair, factor in fitted.factors.items()},
        "blind_factors": {str(pair): round(factor, 2) for pair, factor in fitted.blind_factors.items()},
        "measured_factors": [round(factor, 2) for factor in fitted.measured_factors],
    }
    COEFFICIENTS.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
