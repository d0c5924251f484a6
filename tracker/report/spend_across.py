"""Who spent what on what, over all studies of a home."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tracker.errors import PriceBookError, RequestError, ScenarioError, did_you_mean
from tracker.pricing.currency import USD, ExchangeRate
from tracker.pricing.money_unit import MoneyUnit, money_unit
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.records import CostPart
from tracker.report import words
from tracker.report.charges import TAG, charges_table
from tracker.report.plain import plain, plain_rows
from tracker.report.repricing import priced_study_table
from tracker.runner.account import BESIDE
from tracker.runner.study_lookup import studies_of
from tracker.runner.study_reading import warn
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

BY: Mapping[str, str] = {
    "study": "the study",
    "user": "who ran it",
    "month": "the calendar month (UTC)",
    "sku": "the machine that it is billed as",
    "market": "how the machine is bought",
    "region": "the region of the rate",
    "node": "the machine of a cluster that it ran on",
    "part": "data, compute, storage or maintenance",
    "role": "trial, baseline, preparation or repeat",
}
"""What spend can be grouped by, besides tag:NAME for your own tags."""
TAG_PREFIX = "tag:"


@dataclass(frozen=True)
class Spend:
    """The spend of studies, grouped by ``by``: names of BY, or tag:NAME.

    ``studies`` are the studies with their charges (report.charges), cut at ``since`` where that is given. Amounts of
    different bases (billed, repriced, …) stay apart: a sum of estimates and of measured dollars is neither.
    ``missing`` names studies that could not be read, "" where all could.
    """

    by: tuple[str, ...]
    studies: tuple[tuple[StudyTable, pd.DataFrame], ...]
    since: date | None
    scenario: Scenario | None
    currency: ExchangeRate
    missing: str = ""

    @cached_property
    def charges(self) -> pd.DataFrame:
        """The charges of all studies, one below the other; "" for a tag that a study does not have."""
        both = pd.concat([charges for _, charges in self.studies], ignore_index=True)
        return both.fillna(dict.fromkeys(self.tags, ""))

    @property
    def tags(self) -> list[str]:
        """The columns of tags that any of the studies has."""
        names = dict.fromkeys(str(name) for _, charges in self.studies for name in charges)
        return [name for name in names if name.startswith(TAG)]

    @cached_property
    def bases(self) -> dict[str, str]:
        """The bases that amounts are of, and the column of ``table`` that each has."""
        return {basis: f"{re.sub('[^a-z]+', '_', basis)}_usd" for basis in sorted(set(self.charges["basis"]))}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a group: the names of ``by``, studies, runs, attempts, machine_hours, and a column of each basis.

        By falling cost, months in their order. Money is in USD.
        """
        charges = _by_machine(self.charges) if "node" in self.by else self.charges
        groups = charges.assign(
            attempt=charges.groupby(["run_id", "attempt"]).ngroup(),
            machine_hours=charges["machine_hours"].where(charges["part"] == CostPart.COMPUTE, 0.0),
            **{column: charges["usd"].where(charges["basis"] == basis, 0.0) for basis, column in self.bases.items()},
        ).groupby([charges[_column(name)].rename(name) for name in self.by])
        counted = {"studies": "study", "runs": "run_id", "attempts": "attempt"}
        counts = groups[list(counted.values())].nunique().set_axis(list(counted), axis=1)
        sums = groups[["machine_hours", *self.bases.values()]].sum()
        found: pd.DataFrame = pd.concat([counts, sums], axis=1).reset_index()
        if self.by[0] == "month":
            return found
        cost = found[list(self.bases.values())].sum(axis=1)
        return found.iloc[np.argsort(-cost.to_numpy(), kind="stable")].reset_index(drop=True)

    @cached_property
    def total_usd(self) -> dict[str, float]:
        """What was spent of each basis."""
        return {basis: float(self.table[column].sum()) for basis, column in self.bases.items()}

    @cached_property
    def unit(self) -> MoneyUnit:
        """The unit that amounts are shown in: by what each study cost."""
        return money_unit([charges["usd"].sum() for _, charges in self.studies], self.currency)

    @property
    def period(self) -> tuple[datetime, datetime]:
        """From when to when the charges are."""
        first, last = self.charges["started_at"].min(), self.charges["ended_at"].max()
        return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)

    @property
    def notices(self) -> list[str]:
        """Why studies were read from their events in place of MLflow, and what is missing; none where neither holds."""
        return list(dict.fromkeys(filter(None, [*(table.notice for table, _ in self.studies), self.missing])))

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of the amounts, a sentence each."""
        sentences = []
        if self.since is not None:
            sentences.append(f"since {self.since} (UTC); runs in progress at that time count by the time after it")
        if self.scenario is not None:
            name = f"scenario {self.scenario.name}" if self.scenario.name else "scenario"
            sentences.append(f"{name}: {'; '.join(self.scenario.sentences) or 'nothing changed'}")
        if len(self.bases) > 1:
            sentences.append(f"{', '.join(self.bases)} amounts are of different kinds and are never summed")
        if self.currency.code != USD.code:
            sentences.append(self.currency.sentence)
        return sentences

    @property
    def sentence(self) -> str:
        """The totals in words."""
        amounts = [f"{basis} {words.money(usd, self.unit)}" for basis, usd in self.total_usd.items()]
        studies = "1 study" if len(self.studies) == 1 else f"{len(self.studies):,} studies"
        return f"{', '.join(amounts)} in {studies}, {words.several(self.charges['run_id'].nunique(), 'run')}"

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe; money in USD."""
        return {
            "by": list(self.by),
            "since": None if self.since is None else self.since.isoformat(),
            "scenario": None if self.scenario is None else plain(self.scenario.document),
            "studies": [table.study for table, _ in self.studies],
            "groups": plain_rows(self.table),
            "total_usd": self.total_usd,
        }


def spend_across(
    home: Home,
    by: Sequence[str] = ("study",),
    since: date | None = None,
    scenario: Scenario = AS_BILLED,
    currency: str = USD.code,
) -> Spend:
    """The spend of all studies of a home, grouped by ``by``, from the day ``since`` on.

    Raises RequestError where there is no study, nothing was charged since then, or ``by`` is not known; and what
    ``priced_study_table`` raises, with the study's name.
    """
    _check_names(by)
    if since is not None and since > datetime.now(UTC).date():
        raise RequestError(f"--since {since} is in the future; today is {datetime.now(UTC).date()} (UTC)")
    studies = studies_of(home)
    names = studies.names
    warn(studies.notice)
    if not names:
        raise RequestError(f"there are no studies in '{home.path}' yet; tracker run makes one")
    tables = [_table_of(home, name, scenario, currency) for name in sorted(names)]
    rate = _one_rate(tables)
    charges = [(table, charges_table(table)) for table in tables]
    last = max((each["ended_at"].max() for _, each in charges if len(each)), default=None)
    if since is not None:
        charges = [(table, _since(each, since)) for table, each in charges]
    kept = tuple((table, each) for table, each in charges if len(each))
    if not kept:
        when = "no study has a run yet" if last is None else f"the last charge was on {_day(last)}"
        raise RequestError(f"nothing was charged{f' since {since}' if since else ''}: {when}")
    spend = Spend(tuple(by), kept, since, None if scenario.is_empty else scenario, rate, studies.notice)
    _check_tags(by, spend.tags)
    return spend


def parse_by(text: str) -> tuple[str, ...]:
    """Names from a list with commas, each once. Raises RequestError for one that is not known.

    >>> parse_by("user, tag:team")
    ('user', 'tag:team')
    """
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    _check_names(names)
    return names


def _check_names(by: Sequence[str]) -> None:
    if not by:
        raise RequestError(f"--by names nothing; there are {', '.join(BY)} and {TAG_PREFIX}NAME")
    for name in by:
        if name not in BY and not name.startswith(TAG_PREFIX):
            raise RequestError(f"--by '{name}' is not known; {did_you_mean(name, [*BY, f'{TAG_PREFIX}NAME'])}")


def _check_tags(by: Sequence[str], known: Iterable[str]) -> None:
    own = [column.removeprefix(TAG) for column in known]
    for name in by:
        tag = name.removeprefix(TAG_PREFIX)
        if tag != name and tag not in own:
            sentences = did_you_mean(tag, own) if own else "none has any; give them under [tags] in the study's file"
            raise RequestError(f"--by '{name}': no study has a tag '{tag}'; {sentences}")


def _column(name: str) -> str:
    return f"{TAG}{name.removeprefix(TAG_PREFIX)}" if name.startswith(TAG_PREFIX) else name


def _table_of(home: Home, name: str, scenario: Scenario, currency: str) -> StudyTable:
    try:
        return priced_study_table(home, name, scenario, currency)
    except (PriceBookError, ScenarioError) as error:
        raise type(error)(f"study '{name}': {error}") from None


def _one_rate(tables: Sequence[StudyTable]) -> ExchangeRate:
    """The exchange rate of all; a sum in two would be in neither."""
    by_rate = {table.currency.usd: table for table in tables}
    if len(by_rate) > 1:
        sentences = ", ".join(f"'{table.study}' at ${rate:g}" for rate, table in by_rate.items())
        raise RequestError(f"studies have different rates of {tables[0].currency.code} ({sentences}); show it in USD")
    return tables[0].currency


def _since(charges: pd.DataFrame, since: date) -> pd.DataFrame:
    """The charges after the start of a day; one under way then by its time after it."""
    begin = datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()
    charges = charges[((charges["ended_at"] > begin) | (charges["started_at"] >= begin)).to_numpy()]
    started, ended = charges["started_at"], charges["ended_at"]
    share = np.where(started < begin, (ended - begin) / (ended - started).where(ended > started, 1.0), 1.0)
    return charges.assign(
        started_at=started.clip(lower=begin), usd=charges["usd"] * share, machine_hours=charges["machine_hours"] * share
    )


def _by_machine(charges: pd.DataFrame) -> pd.DataFrame:
    """The charges of attempts on several machines, divided evenly: they have as much of each, at one rate."""
    nodes = charges["node"].str.split(BESIDE)
    share = 1.0 / (charges["node"].str.count(re.escape(BESIDE)) + 1)
    divided = charges.assign(node=nodes, usd=charges["usd"] * share, machine_hours=charges["machine_hours"] * share)
    return divided.explode("node", ignore_index=True)


def _day(seconds: float) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()
