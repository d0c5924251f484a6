"""The sides of a comparison: studies, or groups of studies that are the same but for the seed."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.errors import RequestError, StudyNotFoundError, TrackerError
from tracker.pricing.currency import USD
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.records import Role
from tracker.report.repricing import priced_study_table
from tracker.report.tables import trial_checkpoints
from tracker.report.words import several
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

FEWEST_SIDES, MOST_SIDES = 2, 8


@dataclass(frozen=True, eq=False)
class Side:
    """One side: its name, its studies, and what each study's file said; {} where that is not known any more."""

    name: str
    tables: tuple[StudyTable, ...]
    descriptions: tuple[Mapping[str, Any], ...]

    @property
    def studies(self) -> tuple[str, ...]:
        """The names of its studies."""
        return tuple(table.study for table in self.tables)


def side_of(home: Home, table: StudyTable) -> Side:
    """One study as a side."""
    return Side(table.study, (table,), (_description(home, table.study),))


def read_sides(
    home: Home, given: Sequence[str | Sequence[str]], scenario: Scenario = AS_BILLED, currency: str = USD.code
) -> tuple[Side, ...]:
    """Read what is compared: each a study's name, or several as a sequence or with commas between them.

    A name with a comma in it is that study's, where there is one. Raises RequestError for a number other than two to
    eight and for a study that is given twice, StudyNotFoundError, and what ``priced_study_table`` raises.
    """
    groups = [_tables(home, each, scenario, currency) for each in given]
    names = _side_names([[table.study for table in tables] for tables in groups])
    descriptions = [tuple(_description(home, table.study) for table in tables) for tables in groups]
    sides = tuple(Side(*each) for each in zip(names, groups, descriptions, strict=True))
    check_sides(sides)
    return sides


def trials_usd(table: StudyTable) -> float:
    """What a study spent on its trials in USD: without preparation, baselines and repeats, which search nothing."""
    return float(table.runs.loc[(table.runs["role"] == Role.TRIAL).to_numpy(), "price_usd"].sum())


def check_sides(sides: Sequence[Side]) -> None:
    """Raises RequestError where the sides cannot be compared: says which has what."""
    if not FEWEST_SIDES <= len(sides) <= MOST_SIDES:
        raise RequestError(
            f"{several(len(sides), 'side')} given: "
            f"{FEWEST_SIDES} to {MOST_SIDES} studies, or groups with commas, can be compared"
        )
    tables = [table for side in sides for table in side.tables]
    names = [table.study for table in tables]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise RequestError(f"study '{twice[0]}' is given twice: compared with itself, nothing can differ")
    qualities = {(table.quality.name, str(table.quality.direction)): table.study for table in reversed(tables)}
    if len(qualities) > 1:
        listed = "; ".join(f"'{study}' has {name} ({way})" for (name, way), study in reversed(qualities.items()))
        raise RequestError(f"studies of different qualities cannot be compared: {listed}")
    for table in tables:
        if trials_usd(table) <= 0:
            raise RequestError(f"study '{table.study}' has spent nothing on trials yet: no dollars to compare at")
        if trial_checkpoints(table).empty:
            raise RequestError(f"no trial of study '{table.study}' has reached a checkpoint yet: nothing to compare")


def _tables(home: Home, given: str | Sequence[str], scenario: Scenario, currency: str) -> tuple[StudyTable, ...]:
    if not isinstance(given, str):
        return tuple(priced_study_table(home, name, scenario, currency) for name in given)
    try:
        return (priced_study_table(home, given, scenario, currency),)
    except StudyNotFoundError:
        names = [name for name in map(str.strip, given.split(",")) if name]
        if len(names) < 2:
            raise
    return tuple(priced_study_table(home, name, scenario, currency) for name in names)


def _side_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """What each side is called: its study, or what its studies' names begin with; all different.

    >>> _side_names([["base-1", "base-2"], ["new"], ["a", "b", "c"]])
    ['base (2 studies)', 'new', 'a and 2 more']
    """
    names: list[str] = []
    for studies in groups:
        shared = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*studies, strict=False))
        common = "".join(letters[0] for letters in shared).rstrip(" -_.:/0123456789")
        name = studies[0]
        if len(studies) > 1:
            name = f"{common} ({len(studies)} studies)" if common else f"{studies[0]} and {len(studies) - 1} more"
        names.append(name if name not in names else ", ".join(studies))
    return names


def _description(home: Home, name: str) -> Mapping[str, Any]:
    with contextlib.suppress(TrackerError):
        return folder_of(home, name).document().content
    return {}
