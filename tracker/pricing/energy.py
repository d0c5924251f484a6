"""The energy that a usage took and the CO2 of that electricity: measured, estimated or unavailable, and labelled so.

Estimates are thermal design power × time × utilisation, from three tables in which every row has its source:
``data/chips.csv``, ``data/grid_carbon.csv`` and ``data/regions.csv``. A chip that is not in the table has no
estimate: a guess for an unknown chip would look like a figure.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tracker.errors import PriceBookError, did_you_mean
from tracker.records import EnergySource, Usage

JOULES_PER_KWH = 3.6e6
ASSUMED_ACCELERATOR_UTILISATION = 1.0
"""The share of its design power that a reserved accelerator draws where nobody measured it. Assumed: an upper bound."""

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules and where they come from; ``joules`` is None exactly where ``source`` is UNAVAILABLE."""

    joules: float | None
    source: EnergySource

    @property
    def kwh(self) -> float | None:
        """Kilowatt-hours: joules / 3.6e6; None where there is no figure."""
        return None if self.joules is None else self.joules / JOULES_PER_KWH


@dataclass(frozen=True, slots=True)
class Chip:
    """A CPU or an accelerator: its thermal design power in watts, and where that is from.

    ``threads`` are the hardware threads of the whole CPU; 0 for an accelerator.
    """

    name: str
    tdp_watts: float
    threads: int
    source: str


@dataclass(frozen=True, slots=True)
class CarbonIntensity:
    """Grams of CO2-equivalent per kWh of electricity that a country generated in ``year``, and where that is from."""

    country: str  # ISO 3166 alpha-3
    name: str
    grams_per_kwh: float
    year: int
    source: str


UNAVAILABLE = Energy(None, EnergySource.UNAVAILABLE)


def energy_of(usage: Usage, *, cpu_model: str, accelerator: str = "") -> Energy:
    """The energy of one attempt, in joules.

    A figure that the usage has is kept with its label; without one it is estimated from thermal design power (TDP):

    - on a CPU: TDP × cores / threads × wall × utilisation, where utilisation is CPU seconds / (cores × wall); that
      is TDP × CPU seconds / threads. ``cpu_model`` is the name that the processor gives (records.Hardware).
      Memory, disks and the idle draw of the chip are not in it.
    - with accelerators: TDP × accelerators × wall × ASSUMED_ACCELERATOR_UTILISATION, an upper bound; the host's
      share is not in it, as it is not in what the accelerator's own counter measures. ``accelerator`` is the price
      book's name, or the driver's where the book has none.

    Unavailable where the chip is not in the table. Sources: data/chips.csv, one a row. Raises nothing.
    """
    if usage.energy_joules is not None and usage.energy_source is not EnergySource.UNAVAILABLE:
        return Energy(usage.energy_joules, usage.energy_source)
    if usage.accelerators:
        chip = tdp_of_accelerator(accelerator)
        busy_seconds = usage.accelerators * usage.wall_seconds * ASSUMED_ACCELERATOR_UTILISATION
    else:
        chip = cpu_chip(cpu_model)
        busy_seconds = usage.cpu_seconds / chip.threads if chip else 0.0
    return Energy(chip.tdp_watts * busy_seconds, EnergySource.ESTIMATED) if chip else UNAVAILABLE


@cache
def tdp_of_accelerator(name: str) -> Chip | None:
    """The accelerator that the price book calls ``name``, or its driver; None where the table has none. Raises nothing.

    Source: data/chips.csv. A name that stands for a module and a card (A100-80GB) has the module's, higher power.
    """
    rows = (row for row in _rows("chips.csv") if row["kind"] == "accelerator")
    return next((_chip(row) for row in rows if row["name"] == name or _matches(row, name)), None)


@cache
def cpu_chip(model: str) -> Chip | None:
    """The CPU whose pattern is in ``model``, as /proc/cpuinfo gives it; None where the table has none. Raises nothing.

    Source: data/chips.csv. A virtual machine that hides its CPU ("Intel Xeon Processor @ 2.80GHz") has none.
    """
    rows = (row for row in _rows("chips.csv") if row["kind"] == "cpu")
    return next((_chip(row) for row in rows if _matches(row, model)), None)


def country_of(provider: str, region: str) -> str | None:
    """The country (ISO 3166 alpha-3) that a cloud's region is in; None where the table has it not. Raises nothing.

    Source: data/regions.csv, for aws, azure and gcp.
    """
    return _countries().get((provider.casefold(), region.casefold()))


def grams_per_kwh(country: str) -> CarbonIntensity:
    """The carbon intensity of a country's electricity, in grams of CO2-equivalent per kWh over a whole year.

    ``country`` is its alpha-3 code or its name in the table, in any case. Raises PriceBookError for any other, with the
    nearest name. Source: data/grid_carbon.csv (Ember and Our World in Data).
    """
    given = country.strip()
    known = _intensities()
    if given.casefold() in known:
        return known[given.casefold()]
    is_code = len(given) <= 3
    names = {each.country if is_code else each.name for each in known.values()}
    nearest = did_you_mean(given.upper() if is_code else given, names)
    raise PriceBookError(f"no carbon intensity of country {country!r}; {nearest}")


def co2_grams(kwh: float, country: str) -> float:
    """Grams of CO2-equivalent of ``kwh`` kilowatt-hours from the grid of ``country``: kWh × grams per kWh.

    The data centre's cooling and losses (PUE) are not in it. Raises PriceBookError where ``grams_per_kwh`` does.
    """
    return kwh * grams_per_kwh(country).grams_per_kwh


@cache
def _rows(name: str) -> tuple[Mapping[str, str], ...]:
    with (_DATA / name).open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _matches(row: Mapping[str, str], name: str) -> bool:
    return bool(row["pattern"]) and re.search(row["pattern"], name, re.IGNORECASE) is not None


def _chip(row: Mapping[str, str]) -> Chip:
    return Chip(row["name"], float(row["tdp_watts"]), int(row["threads"] or 0), row["source"])


@cache
def _countries() -> Mapping[tuple[str, str], str]:
    return {(row["provider"], row["region"]): row["country"] for row in _rows("regions.csv")}


@cache
def _intensities() -> Mapping[str, CarbonIntensity]:
    """Every intensity, by its country's code and by its name."""
    intensities = [
        CarbonIntensity(row["country"], row["name"], float(row["grams_per_kwh"]), int(row["year"]), row["source"])
        for row in _rows("grid_carbon.csv")
    ]
    return {name.casefold(): each for each in intensities for name in (each.country, each.name)}
