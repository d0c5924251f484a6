"""The cost terms of a study: every assumption with its name, its default and the default's source.

A study sets them in its ``[costs]`` table, a scenario in its own. The source of a default is a reference, or the
word "assumed" and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tracker.errors import did_you_mean
from tracker.study.knobs import Knob

_SHARED_MACHINE = "assumed: a study keeps its machine running from trial to trial"
_DATA_AT_HAND = "assumed: the data are at hand and paid for"


def _term(default: float | bool, help_: str, source: str, low: float = 0.0, high: float | None = None) -> Any:
    metadata = {"default": default, "help": help_, "source": source, "low": low, "high": high}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class CostTerms:
    """The assumptions by which a usage becomes a price.

    Amounts in USD; a GB is 2**30 bytes, as clouds count, and a month 730 hours.
    """

    increment_seconds: float = _term(
        0.0, "each attempt's time is billed in whole steps of this length; 0 bills what was used", _SHARED_MACHINE
    )
    minimum_seconds: float = _term(0.0, "each attempt is billed for at least this long", _SHARED_MACHINE)
    startup_billed: bool = _term(True, "the time before training begins is billed", "AWS, Google Cloud, Azure do")
    idle_billed: bool = _term(
        False, "what an attempt leaves unused of its machine is billed to it: whole machines", _SHARED_MACHINE
    )
    interruptions_per_hour: float = _term(
        0.05, "spot machines are taken away this often", "assumed: sellers publish bands by month, no rate", high=10.0
    )
    checkpoint_seconds: float = _term(
        600.0, "an interrupted spot attempt goes back to its last checkpoint, made this often", "assumed", 1.0, 86_400.0
    )
    restart_seconds: float = _term(
        60.0, "an interrupted spot attempt takes this long to be back", "assumed", high=86_400.0
    )
    acquisition_usd_per_sample: float = _term(0.0, "buying or collecting one sample", _DATA_AT_HAND)
    acquisition_usd_per_gb: float = _term(0.0, "buying, collecting or transferring one GB of data", _DATA_AT_HAND)
    cleaning_usd_per_sample: float = _term(0.0, "cleaning one sample", _DATA_AT_HAND)
    cleaning_usd_per_gb: float = _term(0.0, "cleaning one GB of data", _DATA_AT_HAND)
    labelling_usd_per_sample: float = _term(0.0, "labelling one sample", _DATA_AT_HAND)
    labelling_usd_per_gb: float = _term(0.0, "labelling one GB of data", _DATA_AT_HAND)
    storage_usd_per_gb_month: float = _term(
        0.023, "keeping one GB of data, checkpoints or models for a month", "Amazon S3 Standard, us-east-1, list price"
    )
    keep_months: float = _term(
        0.0,
        "data and every trial's model are priced as kept this long; only the frontier's models are: an upper bound",
        "assumed: nothing is kept",
        high=1200.0,
    )
    maintenance_share: float = _term(
        0.0, "upkeep and upgrades, as a share of compute", "assumed: a seller's rate includes the upkeep", high=10.0
    )
    maintenance_usd_per_month: float = _term(
        0.0, "upkeep and upgrades of a whole machine for a month, billed by time and share", "assumed: none"
    )

    @property
    def changed(self) -> dict[str, float | bool]:
        """The terms that differ from their defaults."""
        return {
            each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) != each.default
        }


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is known of one term: what it may be, its default and its meaning (``knob``); the default's source."""

    knob: Knob
    source: str


ASSUMPTIONS: Mapping[str, Assumption] = {
    each.name: Assumption(
        Knob(
            "bool" if isinstance(each.metadata["default"], bool) else "float",
            each.metadata["default"],
            each.metadata["help"],
            None if isinstance(each.metadata["default"], bool) else each.metadata["low"],
            each.metadata["high"],
        ),
        each.metadata["source"],
    )
    for each in fields(CostTerms)
}
"""Every term by its name."""


def term_problems(table: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with each key of a ``[costs]`` table, by key; empty where nothing is."""
    problems = {}
    for name, value in table.items():
        if name not in ASSUMPTIONS:
            problems[name] = f"unknown key; {did_you_mean(name, ASSUMPTIONS)}"
        elif problem := ASSUMPTIONS[name].knob.problem(value):
            problems[name] = problem
    return problems
