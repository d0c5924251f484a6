"""Rates of the user's own, from a TOML file: negotiated and internal ones, own hardware, exchange rates.

[[rate]]                        # what somebody agreed to
sku = "aws/p5.48xlarge"         # one of the book, or a new one with its machine
market = "reserved"
usd_per_hour = 31.0
effective_from = 2026-01-01
source = "contract 4711"

[[own]]                         # a server of one's own; its market is on_prem
sku = "lab/dgx"
like = "aws/p5.48xlarge"        # its machine, or accelerator, accelerator_count, vcpu, ram_gb, architecture
purchase_usd = 290000
power_kw = 10.2
effective_from = 2025-06-01
source = "invoice"

[[currency]]
code = "EUR"
usd = 1.16                      # dollars for one euro
on = 2026-11-01
source = "ECB reference rate"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tracker.errors import PriceBookError, did_you_mean
from tracker.pricing.currency import USD, ExchangeRate
from tracker.pricing.own_hardware import OWN_HARDWARE, OwnHardware
from tracker.pricing.price_point import ARCHITECTURES, PricePoint
from tracker.records import Market
from tracker.study.knobs import Knob
from tracker.study.toml_file import TomlProblems, line_of, read_toml

_MACHINE: Mapping[str, Knob] = {
    "architecture": Knob("str", "", "of its CPU", choices=ARCHITECTURES),
    "accelerator": Knob("str", "", "the accelerator's name, such as H100"),
    "accelerator_count": Knob("int", 0, "accelerators of the machine", low=0, high=1024),
    "accelerator_memory_gb": Knob("float", None, "memory of one accelerator in GiB", low=0.0),
    "vcpu": Knob("float", None, "virtual CPUs of the machine", low=0.0),
    "ram_gb": Knob("float", None, "memory of the machine in GiB", low=0.0),
}
_SOURCE = Knob("str", None, "where the figure is from; it stands beside every price")
_COMMON: Mapping[str, Knob] = {
    "sku": Knob("str", None, 'the machine, "provider/name": one of the price book or a new one'),
    "source": _SOURCE,
    "region": Knob("str", "", "the region that the rate holds in"),
    "like": Knob("str", "", "the SKU whose machine it is, in place of the keys that describe one"),
    **_MACHINE,
}
RATE_KEYS: Mapping[str, Mapping[str, Knob]] = {
    "rate": {
        **_COMMON,
        "market": Knob("str", Market.ON_DEMAND, "how the machine is bought", choices=tuple(Market)),
        "usd_per_hour": Knob("float", None, "the rate of the whole machine"),  # what it may be, the price point knows
    },
    "own": {**_COMMON, **{name: each.knob for name, each in OWN_HARDWARE.items()}},
    "currency": {
        "code": Knob("str", None, "three letters, such as EUR"),
        "source": _SOURCE,
        "usd": Knob("float", None, "dollars for one unit of the currency", low=1e-6, high=1e6),
    },
}
"""The tables of a file of the user's own rates; dates are RATE_DATES."""
_PERIOD: Mapping[str, str] = {
    "effective_from": "the first day that the rate holds",
    "effective_to": "the day after the last one; without it, until the next rate of the same SKU, region and market",
}
RATE_DATES: Mapping[str, Mapping[str, str]] = {
    "rate": _PERIOD,
    "own": _PERIOD,
    "currency": {"on": "the day of the exchange rate"},
}
NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "rate": ("sku", "usd_per_hour", "effective_from", "source"),
    "own": (
        "sku",
        "effective_from",
        "source",
        *(name for name, each in OWN_HARDWARE.items() if each.knob.default is None),
    ),
    "currency": ("code", "usd", "on", "source"),
}


@dataclass(frozen=True, slots=True)
class UserRates:
    """What a user's file holds."""

    points: tuple[PricePoint, ...] = ()
    exchange_rates: tuple[ExchangeRate, ...] = ()


def read_user_rates(path: Path, machines: Mapping[str, PricePoint]) -> UserRates:
    """The rates in the TOML file at ``path``; ``machines`` holds a price point of every SKU that is known already.

    Raises PriceBookError with every problem, each with its line; RequestError where the file cannot be read.
    """
    content, text = read_toml(path, "price file", lambda reason: PriceBookError(f"{path}: {reason}"))
    return _Reader(path, content, text, machines).read()


class _Reader:
    """Collects problems while it reads, to report all at once."""

    def __init__(self, path: Path, content: Mapping[str, Any], text: str, machines: Mapping[str, PricePoint]) -> None:
        self._path = path
        self._content = content
        self._text = text
        self._machines = machines
        self._problems = TomlProblems(str(path), text)

    def read(self) -> UserRates:
        for key in self._content:
            if key not in RATE_KEYS:
                self._problems.add(key, f"unknown table; {did_you_mean(key, RATE_KEYS)}")
        rates = [point for index, entry in self._entries("rate") if (point := self._rate(index, entry))]
        owned = [point for index, entry in self._entries("own") if (point := self._own(index, entry))]
        currencies = self._currencies()
        if self._problems:
            raise PriceBookError(str(self._problems))
        return UserRates((*rates, *owned), tuple(currencies))

    def _currencies(self) -> list[ExchangeRate]:
        rates: dict[tuple[str, date], ExchangeRate] = {}
        for index, entry in self._entries("currency"):
            code, day = str(entry["code"]).upper(), entry["on"]
            if not re.fullmatch(r"[A-Z]{3}", code) or code == USD.code:
                self._problems.add("currency.code", f"{code!r} is not a code of three letters, such as EUR", index)
            elif (code, day) in rates:
                self._problems.add("currency", f"a second rate of {code} on {day}", index)
            else:
                rates[code, day] = ExchangeRate(code, float(entry["usd"]), day, entry["source"])
        return list(rates.values())

    def _entries(self, table: str) -> list[tuple[int, Mapping[str, Any]]]:
        """The entries of [[table]] that are right in themselves, by their index."""
        entries = enumerate(self._problems.entries(self._content, table))
        return [(index, entry) for index, entry in entries if self._is_right(table, index, entry)]

    def _is_right(self, table: str, index: int, entry: Mapping[str, Any]) -> bool:
        right = self._problems.check_entry(table, entry, RATE_KEYS[table], tuple(RATE_DATES[table]), index)
        for key in NEEDED_KEYS[table]:
            if entry.get(key, "") == "":
                self._problems.add(f"{table}.{key}", "missing", index)
                right = False
        return right

    def _rate(self, index: int, entry: Mapping[str, Any]) -> PricePoint | None:
        market = Market(entry.get("market", Market.ON_DEMAND))
        return self._point("rate", index, entry, market=market, usd_per_hour=float(entry["usd_per_hour"]))

    def _own(self, index: int, entry: Mapping[str, Any]) -> PricePoint | None:
        hardware = OwnHardware(
            **{name: float(entry.get(name, each.knob.default)) for name, each in OWN_HARDWARE.items()}
        )
        assumed = [name for name in OWN_HARDWARE if name not in entry]
        listed = ", ".join(f"{name} {OWN_HARDWARE[name].knob.default}" for name in assumed)
        defaults = f" (defaults: {listed})" if listed else ""
        return self._point(
            "own",
            index,
            {**entry, "source": f"{entry['source']}{defaults}"},
            market=Market.ON_PREM,
            usd_per_hour=hardware.usd_per_hour,
            energy_usd_per_hour=hardware.energy_usd_per_hour,
            maintenance_usd_per_hour=hardware.maintenance_usd_per_hour,
        )

    def _point(self, table: str, index: int, entry: Mapping[str, Any], **rates: Any) -> PricePoint | None:
        machine = self._machine(table, index, entry)
        if machine is None:
            return None
        sku, line = str(entry["sku"]), line_of(self._text, table, index)
        try:
            return PricePoint(
                provider=sku.partition("/")[0],
                sku=sku,
                region=entry.get("region", ""),
                effective_from=entry["effective_from"],
                effective_to=entry.get("effective_to"),
                quality="user",
                date_kind="given by the user",
                source=entry["source"],
                licence="",
                place=f"{self._path.name}, line {line}",
                **machine,
                **rates,
            )
        except PriceBookError as error:
            self._problems.add(table, str(error).partition(": ")[2], index)
            return None

    def _machine(self, table: str, index: int, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """The machine's columns: of the SKU that ``like`` names, of a SKU that is known, or as the entry says."""
        given = {name: entry[name] for name in _MACHINE if name in entry}
        like = str(entry.get("like", entry["sku"]))
        known = self._machines.get(like)
        if known is None and "like" in entry:
            self._problems.add(f"{table}.like", f"unknown SKU {like!r}; {did_you_mean(like, self._machines)}", index)
            return None
        if known is None:
            if not (given.get("accelerator") or given.get("vcpu") or given.get("ram_gb")):
                hint = did_you_mean(like, self._machines)
                self._problems.add(
                    table, f"unknown SKU {like!r}; {hint}; a new one needs vcpu, ram_gb or accelerator", index
                )
                return None
            if not given.get("accelerator") and not given.get("architecture"):
                self._problems.add(table, f"{like} is new, without an accelerator: it needs architecture", index)
                return None
            blank = {name: knob.default for name, knob in _MACHINE.items()}
            return {**blank, **given, "spec_source": "given by the user"}
        columns = {name: getattr(known, name) for name in _MACHINE}
        if "like" not in entry and (differing := [name for name in given if given[name] != columns[name]]):
            self._problems.add(table, f"{like} is in the book with another {', '.join(differing)}; leave it out", index)
            return None
        return {**columns, **given, "spec_source": known.spec_source or "given by the user"}
