"""Which machine a run of the past is billed as: by a mapping file, by an option, and by what the run logged itself.

[[map]]                     # the first that suits a run is taken
tag = "gpu"                 # or param, or user: what of the run is looked at; none of them suits every run
value = "A100*"             # a pattern as of a shell; without it, any value
sku = "aws/p4d.24xlarge"
share = "1/8"               # of the machine; without it, the accelerators that its system metrics saw, or all of it
market = "spot"             # on_demand without it
region = "us-east-1"
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

from tracker.errors import PriceBookError, RequestError
from tracker.pricing.cost import check_billable
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import Market, Settings
from tracker.study.knobs import Knob
from tracker.study.toml_file import TomlProblems, read_toml

MAP_KEYS: Mapping[str, Knob] = {
    "tag": Knob("str", "", "only runs with this tag"),
    "param": Knob("str", "", "only runs with this param"),
    "user": Knob("str", "", "only runs of this user, a pattern such as ada*"),
    "value": Knob("str", "*", "only where the tag or param is like this, a pattern such as A100*"),
    "sku": Knob("str", None, "the machine that they are billed as"),
    "share": Knob("any", "", 'of the machine, such as "1/8"; without it, what system metrics saw, or all of it'),
    "market": Knob("str", Market.ON_DEMAND, "how it was bought", choices=tuple(Market)),
    "region": Knob("str", "", "the region of the rate; without it, the provider's home region"),
}
"""What an entry of a mapping file may have, each with its meaning."""
_MOST_MACHINES = 10_000


@dataclass(frozen=True, slots=True)
class Machine:
    """What some runs are billed as: a share of a machine; None is what system metrics saw, or all of it."""

    sku: str
    share: Fraction | None = None
    market: Market = Market.ON_DEMAND
    region: str = ""


@dataclass(frozen=True, slots=True)
class MachineRule:
    """A machine and the runs that it is for, as an entry of a mapping file says."""

    machine: Machine
    tag: str = ""
    param: str = ""
    user: str = ""
    value: str = "*"

    def suits(self, settings: Settings, tags: Mapping[str, str], user: str) -> bool:
        """Whether it is for a run with these."""
        if self.user and not fnmatch.fnmatchcase(user, self.user):
            return False
        if self.tag and not fnmatch.fnmatchcase(tags.get(self.tag, "\0"), self.value):
            return False
        return not self.param or (self.param in settings and fnmatch.fnmatchcase(str(settings[self.param]), self.value))


@dataclass(frozen=True, slots=True)
class Billed:
    """What a run is billed at: a rate, and how many of the machine's cores and accelerators."""

    point: PricePoint
    cores: int
    accelerators: int


def parse_share(text: str) -> Fraction:
    """The share of a machine that a text says: "1/8", "0.5", or "2" for two machines. Raises RequestError."""
    try:
        share = Fraction(text.strip()).limit_denominator(1000)
    except (ValueError, ZeroDivisionError):
        raise RequestError(f"share '{text}' is none; write it as 1/8 or 0.125, or 2 for two machines") from None
    if not 0 < share <= _MOST_MACHINES:
        raise RequestError(f"share '{text}' is none; allowed: above 0 and at most {_MOST_MACHINES:,} machines")
    return share


def read_machine_rules(path: Path) -> tuple[MachineRule, ...]:
    """The rules of a mapping file, in their order. Raises RequestError with every problem, each with its line."""
    content, text = read_toml(path, "mapping file", lambda reason: RequestError(f"{path}: {reason}"))
    problems, rules = TomlProblems(str(path), text), []
    if unknown := sorted(content.keys() - {"map"}):
        problems.add(unknown[0], "unknown; a mapping file has [[map]] entries")
    for index, entry in enumerate(problems.entries(content, "map")):
        if problems.check_entry("map", entry, MAP_KEYS, (), index):
            try:
                rules.append(_rule(entry))
            except RequestError as error:
                problems.add("map", str(error), index)
    if not problems and not rules:
        problems.add("map", "there is no entry; write [[map]] and its keys below it")
    if problems:
        raise RequestError(str(problems))
    return tuple(rules)


def machine_rules(
    path: Path | None, sku: str | None, share: str | None, market: Market, region: str
) -> tuple[MachineRule, ...]:
    """The rules of a mapping file (None for none), and for the other runs the machine ``sku`` (None for none).

    Raises RequestError where neither is given.
    """
    rules = () if path is None else read_machine_rules(path)
    if sku is None:
        if share is not None:
            raise RequestError("--share is of a machine: give --sku with it")
        if not rules:
            raise RequestError(
                "what were the runs billed as? give --sku, such as aws/p4d.24xlarge (see `tracker prices list`), "
                "or --map FILE"
            )
        return rules
    machine = Machine(sku, None if share is None else parse_share(share), market, region)
    return (*rules, MachineRule(machine))


def _rule(entry: Mapping[str, object]) -> MachineRule:
    given = {name: str(value) for name, value in entry.items()}
    if not given.get("sku"):
        raise RequestError("no sku, such as aws/p4d.24xlarge")
    if "value" in given and ("tag" in given) == ("param" in given):
        raise RequestError("a value is that of a tag or of a param: give one of the two")
    share = parse_share(given["share"]) if given.get("share") else None
    machine = Machine(given["sku"], share, Market(given.get("market", Market.ON_DEMAND)), given.get("region", ""))
    return MachineRule(machine, **{name: given[name] for name in ("tag", "param", "user", "value") if name in given})


class Machines:
    """Finds what each run is billed as, by rules of which the first that suits is taken. ``book`` has the rates."""

    def __init__(self, rules: Sequence[MachineRule], book: PriceBook) -> None:
        self._rules = rules
        self._book = book
        self._points: dict[tuple[Machine, date], tuple[PricePoint, bool]] = {}
        self.earliest: dict[str, date] = {}
        """The SKUs whose rates begin after a run: it is billed at the first one, from this day on."""
        for rule in rules:
            self._check(rule.machine)

    def billed(
        self, name: str, settings: Settings, tags: Mapping[str, str], user: str, seen: int, on: date
    ) -> Billed | None:
        """What a run is billed at; None where no rule suits it.

        ``seen`` is how many accelerators its system metrics saw, ``on`` the day that it started. Raises RequestError
        where the machine has fewer, PriceBookError where it has no rate.
        """
        rule = next((rule for rule in self._rules if rule.suits(settings, tags, user)), None)
        if rule is None:
            return None
        machine, point = rule.machine, self._point(rule.machine, on)
        if seen > point.accelerator_count * max(machine.share or 1, 1):
            raise RequestError(
                f"run '{name}' saw {seen} GPUs, and {point.sku} has {point.accelerator_count or 'none'}: "
                "it cannot be that machine; give another --sku, or a share of more than one machine"
            )
        share = machine.share
        if share is None:
            share = Fraction(seen, point.accelerator_count) if seen else Fraction(1)
        return Billed(point, *_taken(point, share))

    def _check(self, machine: Machine) -> None:
        """Raises PriceBookError for an unknown SKU, region or market, RequestError for a share that cannot be."""
        offers = [row for row in self._book.history(machine.sku) if row.market == machine.market]
        point = offers[-1] if offers else self._book.point(machine.sku, machine.market, region=machine.region)
        accelerators = _taken(point, machine.share or Fraction(1))[1]
        check_billable(point, accelerators)

    def _point(self, machine: Machine, on: date) -> PricePoint:
        """The rate of that day, or where the book's rates begin later, the first one."""
        if (machine, on) not in self._points:
            try:
                found = self._book.point(machine.sku, machine.market, on, machine.region), False
            except PriceBookError:
                first = self._first(machine)
                if first is None or first <= on:
                    raise
                found = self._book.point(machine.sku, machine.market, first, machine.region), True
            self._points[machine, on] = found
        point, is_later = self._points[machine, on]
        if is_later:
            self.earliest[machine.sku] = point.effective_from
        return point

    def _first(self, machine: Machine) -> date | None:
        """The first day for which there is a rate of a machine, in its region or any."""
        rows = [row for row in self._book.history(machine.sku) if row.market == machine.market]
        for day in sorted({row.effective_from for row in rows}):
            try:
                self._book.point(machine.sku, machine.market, day, machine.region)
            except PriceBookError:
                continue
            return day
        return None


def _taken(point: PricePoint, share: Fraction) -> tuple[int, int]:
    """The cores and the accelerators that a share of a machine is. Raises RequestError where they are not whole."""
    if point.accelerator_count:
        accelerators = share * point.accelerator_count
        if accelerators.denominator != 1:
            raise RequestError(
                f"share {share} of {point.sku} would be {float(accelerators):g} of its {point.accelerator_count} "
                f"accelerators; allowed: whole ones, such as 1/{point.accelerator_count}"
            )
        return int(share * Fraction(point.vcpu or 0)), int(accelerators)
    cores = share * Fraction(point.vcpu or 0)
    if not cores or cores.denominator != 1:
        raise RequestError(
            f"share {share} of {point.sku} would be {float(cores):g} of its {point.vcpu or 0:g} vCPU; "
            f"allowed: whole ones, such as 1/{point.vcpu or 1:g}"
        )
    return int(cores), 0
