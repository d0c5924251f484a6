"""Fitting the coefficients of predictions on pairs of published throughputs, and their 90 % ranges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, minimize_scalar

from experiments.benchmarks.throughput_pairs import Pairs
from tracker.prediction.speed import COEFFICIENTS, FITTED, Coefficients, Spread, log_distance, shift, speed_ups

HUBER = 0.1
"""From this error of a log speed-up on, an error counts by its size and not by its square."""
COVERED = 0.90
FEWEST = 30
"""Pairs of one source from which a range is taken."""
MOST_THERE = 4
"""Of more trainings that were measured on the target, no more is learnt."""
_START = (0.5, 0.5, 0.4, np.log(0.08), np.log(0.8))
_FAR_OVER_NEAR = (0.01, 100.0)
"""Between these lies how much faster a range widens with distance than it is wide without any."""


def fit(pairs: Pairs) -> Coefficients:
    """Fit exponents by Huber's loss, every source with the same weight; ranges by sources left out."""
    known, blind = (spread(pairs, left_out_errors(pairs, hidden)) for hidden in (False, True))
    blind = Spread(max(known.near, blind.near), max(known.far, blind.far))
    return replace(_exponents(pairs), spread=known, blind_spread=blind, measured_shares=measured_shares(pairs, known))


def _exponents(pairs: Pairs) -> Coefficients:
    counts = pairs.rows.groupby("source")["log_speed_up"].transform("size").to_numpy(dtype=np.float64)
    weights = np.sqrt(counts.mean() / counts)
    truth = pairs.rows["log_speed_up"].to_numpy()

    def errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((log_predictions(pairs, _made(values)) - truth) * weights, dtype=np.float64)

    return _made(least_squares(errors, _START, loss="huber", f_scale=HUBER).x)


def _made(values: NDArray[np.float64]) -> Coefficients:
    peak, bandwidth, power, half, slope = map(float, values)
    nothing = Spread(0.0, 0.0)
    return Coefficients(peak, bandwidth, power, float(np.exp(half)), float(np.exp(slope)), nothing, nothing, (1.0,))


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


def spread(pairs: Pairs, errors: NDArray[np.float64]) -> Spread:
    """How wide ranges are by how far accelerators are apart.

    Its shape is the likeliest where errors are Laplace's, every source with the same weight. Its width is halfway
    between what covers the worst source and the mean of what covers each: of all sources together it covered too little
    of sources left out, of the worst alone too much.
    """
    apart, sources = log_distance(pairs.origin, pairs.target), pairs.rows["source"]
    weights = (1 / sources.groupby(sources).transform("size")).to_numpy()

    def loss(log_ratio: float) -> float:
        shape = np.hypot(1.0, np.exp(log_ratio) * apart)
        return float(
            np.log(np.average(np.abs(errors) / shape, weights=weights)) + np.average(np.log(shape), weights=weights)
        )

    ratio = float(np.exp(minimize_scalar(loss, bounds=np.log(_FAR_OVER_NEAR), method="bounded").x))
    scaled = np.abs(errors) / np.hypot(1.0, ratio * apart)
    near = halfway({str(source): scaled[(sources == source).to_numpy()] for source in sources.unique()})
    return Spread(near, ratio * near)


def halfway(sizes: Mapping[str, ArrayLike]) -> float:
    """Halfway between the largest COVERED quantile of the sources' ``sizes`` and their mean; NaN without enough."""
    found = [float(np.quantile(each, COVERED)) for each in map(np.asarray, sizes.values()) if len(each) >= FEWEST]
    return (max(found) + float(np.mean(found))) / 2 if found else float("nan")


def measured_shares(pairs: Pairs, known: Spread) -> tuple[float, ...]:
    """What is left of the logs of ranges where 1, 2, … MOST_THERE other trainings of the study were measured on both
    chips: their width that covers, over ``known``'s.

    Which ones is drawn. Never above that for fewer trainings; 1 where no source has enough.
    """
    widths = known.log_factors(log_distance(pairs.origin, pairs.target))
    rows = pairs.rows.assign(error=left_out_errors(pairs), width=widths)
    draw, shares = np.random.default_rng(0), list[float]()
    for there in range(1, MOST_THERE + 1):
        found: dict[str, list[float]] = {}
        for (source, *_), group in rows.groupby(["source", "study", "gpu_s", "gpu_t"]):
            errors, width = (group[name].to_numpy() for name in ("error", "width"))
            for at in range(len(errors) if len(errors) > there else 0):
                others = draw.choice(np.delete(errors, at), there, replace=False)
                found.setdefault(str(source), []).append(abs(errors[at] - shift(others)) / width[at])
        shares.append(float(np.fmin(halfway(found), shares[-1] if shares else 1.0)))
    return tuple(shares)


def _figures(fitted: Coefficients) -> dict[str, float]:
    return {name: getattr(fitted, name) for name in FITTED}


def _rounded(known: Spread) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(known).items()}


def write_coefficients(fitted: Coefficients, pairs: Pairs) -> None:
    """Write what the tracker predicts by, with what it was fitted on."""
    document = {
        "command": "python -m experiments.benchmarks.prediction --fit",
        "pairs": len(pairs),
        "sources": sorted(pairs.rows["source"].unique()),
        **{name: round(value, 4) for name, value in _figures(fitted).items()},
        **{name: _rounded(getattr(fitted, name)) for name in ("spread", "blind_spread")},
        "measured_shares": [round(share, 3) for share in fitted.measured_shares],
    }
    COEFFICIENTS.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
