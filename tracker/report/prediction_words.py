"""What predictions say beside their figures, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tracker.prediction.step_times import BOUND_BY_LAUNCHES, FROM_PROCESSOR, OTHER_PROCESSOR
from tracker.report.prediction_targets import Target
from tracker.report.predictions import surely_cheaper, trial_there
from tracker.report.words import money, several
from tracker.store.run_table import StudyTable

HEAD = (
    "predicted, not measured: likely, and the range that holds nine times in ten. Training steps alone are predicted; "
    "start-up, evaluation, saving and waiting for data stay as measured"
)
_BASES = {
    FROM_PROCESSOR: (
        "what was measured on a processor is predicted from its FLOPs, so ranges are wide; a start on a GPU is assumed "
        "to take 1 to 6 s more"
    ),
    OTHER_PROCESSOR: "another processor is taken to be as fast, within a factor of 2 that is assumed, not fitted",
}


def prediction_sentences(table: StudyTable, predictions: pd.DataFrame, targets: Sequence[Target]) -> list[str]:
    """What to know of predictions: what they rest on, whether an order is sure, what measuring would bring."""
    known = predictions[predictions["refused"] == ""]
    if known.empty:
        return _refusals(predictions)
    bases = [text for basis, text in _BASES.items() if (known["rests_on"] == basis).any()]
    blind = known["utilisation"].isna() & ~known["rests_on"].isin([*_BASES, BOUND_BY_LAUNCHES])
    if blind.any():
        bases.append("utilisation is not known without FLOPs (run.conclude(flops=…)), so ranges are wider")
    bases += _unphased(known) + _bound(known)
    idle = known["rests_on"] == "idle source"
    if idle.any():
        bases.append("utilisation below 6 %: the steps waited for the host, which a faster accelerator does not change")
    sure = [*_order(predictions), *_pulled(known), *_narrowing(table, predictions, targets)]
    return [HEAD, *bases, *sure, *_refusals(predictions)]


def _order(predictions: pd.DataFrame) -> list[str]:
    """Whether the cheapest is sure to be, for the first checkpoint that has two predictions or more."""
    for _, rows in predictions.groupby(["trial", "epoch"], sort=False):
        known = rows[rows["refused"] == ""].sort_values("price_usd")
        if len(known) < 2:
            continue
        first = str(known["on"].iloc[0])
        than = surely_cheaper(known)[first]
        rest = [str(name) for name in known["on"].iloc[1:] if name not in than]
        if not rest:
            return [f"{first} is the cheapest: its range overlaps with no other"]
        sure = f"{first} is cheaper than {_listed(than)}" if than else "no order is sure"
        return [f"{sure}; ranges overlap with {_listed(rest)}"]
    return []


def _unphased(known: pd.DataFrame) -> list[str]:
    trials = sorted(set(known.loc[~known["phased"].astype(bool), "trial"]))
    if not trials:
        return []
    which = ", ".join(map(str, trials[:8])) + (" …" if len(trials) > 8 else "")
    whose = f"trial {which}" if len(trials) == 1 else f"trials {which}"
    return [f"{whose}: what the time was spent on was not logged, so all of it is taken for training steps"]


def _bound(known: pd.DataFrame) -> list[str]:
    """Where launching takes longer than computing, a faster accelerator changes nothing."""
    bound = known["rests_on"] == BOUND_BY_LAUNCHES
    if not bound.any():
        return []
    if bound.all():
        return [
            "bound by launches everywhere: operations are too small for any of these to be faster. Rent the cheapest"
        ]
    names = _listed(list(dict.fromkeys(known.loc[bound, "on"])))
    return [f"bound by launches on {names}: operations are too small, so one that is faster would change nothing there"]


def _pulled(known: pd.DataFrame) -> list[str]:
    there = known[known["measured_there"] > 0].drop_duplicates("on")
    return [
        f"{row['on']}: moved by {several(row['measured_there'], 'training')} of this study that ran on both"
        for row in there.to_dict("records")
    ]


def _narrowing(table: StudyTable, predictions: pd.DataFrame, targets: Sequence[Target]) -> list[str]:
    """What the cheapest trial on the target that is likely the cheapest costs and brings."""
    likely = predictions[predictions["refused"] == ""].groupby("on")["price_usd"].min().sort_values()
    for target, (usd, factor) in zip(targets, trial_there(predictions, targets), strict=True):
        if usd is not None and factor is not None and target.name == likely.index[0]:
            low, high = f"{1 / factor:.2g}", f"{factor:.2g}"
            trial = f"one trial on {target.name}, about {money(usd, table.unit)}"
            return [f"{trial}, would narrow its range to {low} to {high} times the prediction"]
    return []


def _refusals(predictions: pd.DataFrame) -> list[str]:
    refused = predictions[predictions["refused"] != ""]
    found: dict[str, list[str]] = {}
    for row in refused.to_dict("records"):
        found.setdefault(f"trial {row['trial']} ({row['measured_on']}): {row['refused']}", []).append(str(row["on"]))
    return [f"not predicted on {_listed(list(dict.fromkeys(names)))}: {why}" for why, names in found.items()]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
