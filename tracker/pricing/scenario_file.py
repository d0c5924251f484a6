"""Reading a scenario from a TOML file.

name = "H100 price war"
include = ["spot.toml"]       # applied first, in this order; paths are relative to this file
market = "spot"               # which rates are taken: market, region, as_of, sku
as_of = 2024-03-01

[[change]]                    # what is changed about them
accelerator = "H100"          # whom it concerns: provider, accelerator, sku, market; none is everybody
factor = 0.6                  # or usd_per_hour, usd_per_accelerator_hour, decline_per_year with until

[costs]                       # assumptions of the study, replaced
interruptions_per_hour = 0.2
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.errors import ScenarioError, did_you_mean
from tracker.pricing.scenario import PARTS, RateChange, Scenario, compose
from tracker.records import CostPart, Market
from tracker.study.costs import term_problems
from tracker.study.knobs import Knob
from tracker.study.toml_file import TomlProblems, day_problem, read_toml

_TEXT = Knob("str", "", "")
_AMOUNTS: Mapping[str, Knob] = {
    "factor": Knob("float", None, "", low=0.0, high=1e6),
    "usd_per_hour": Knob("float", None, "", low=1e-9, high=1e6),
    "usd_per_accelerator_hour": Knob("float", None, "", low=1e-9, high=1e6),
    "decline_per_year": Knob("float", None, "", low=-10.0, high=0.9999),
}
_CHANGE: Mapping[str, Knob] = {
    "part": Knob("str", CostPart.COMPUTE, "", choices=PARTS),
    "provider": _TEXT,
    "accelerator": _TEXT,
    "sku": _TEXT,
    "market": Knob("str", "", "", choices=tuple(Market)),
    **_AMOUNTS,
}
_DAYS = ("since", "until")
_TOP: Mapping[str, Knob] = {
    "name": _TEXT,
    "market": Knob("str", "", "", choices=tuple(Market)),
    "region": _TEXT,
    "sku": _TEXT,
}
_KEYS = (*_TOP, "as_of", "include", "change", "costs")


def read_scenario(path: Path) -> Scenario:
    """The scenario in the file at ``path``, what it includes composed before it.

    Raises ScenarioError with every problem of a file, each with its line, for one that changes nothing and for
    one that includes itself (with the whole circle); RequestError where a file cannot be read.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> Scenario:
    here = path.resolve()
    if here in above:
        circle = " → ".join(each.name for each in (*above[above.index(here) :], here))
        raise ScenarioError(f"scenario file '{path}' includes itself: {circle}")
    content, text = read_toml(path, "scenario file", lambda reason: ScenarioError(f"{path}: {reason}"))
    problems = TomlProblems(str(path), text)
    _check_top(content, problems)
    changes = [
        RateChange(**entry)
        for index, entry in enumerate(problems.entries(content, "change"))
        if _is_right(entry, index, problems)
    ]
    included = _included(content.get("include", []), problems)
    if problems:
        raise ScenarioError(str(problems))
    own = Scenario(
        name=content.get("name", path.stem),
        market=Market(content["market"]) if "market" in content else None,
        region=content.get("region"),
        as_of=content.get("as_of"),
        sku=content.get("sku"),
        changes=tuple(changes),
        terms=content.get("costs", {}),
        sources=(str(path),),
    )
    whole = compose([*(_read(path.parent / name, (*above, here)) for name in included), own])
    if whole.is_empty:
        raise ScenarioError(f"{path}: changes nothing; give at least one of: {', '.join(_KEYS[1:])}")
    return whole


def _check_top(content: Mapping[str, Any], problems: TomlProblems) -> None:
    for key, value in content.items():
        if key not in _KEYS:
            problems.add(key, f"unknown key; {did_you_mean(key, _KEYS)}")
        elif key in _TOP and (problem := _TOP[key].problem(value)):
            problems.add(key, problem)
    if "as_of" in content and (problem := day_problem(content["as_of"])):
        problems.add("as_of", problem)
    costs = content.get("costs", {})
    if not isinstance(costs, dict):
        problems.add("costs", f"{costs!r} is not a table; write [costs] and its keys below it")
        return
    for key, problem in term_problems(costs).items():
        problems.add(f"costs.{key}", problem)


def _is_right(entry: Mapping[str, Any], index: int, problems: TomlProblems) -> bool:
    if not problems.check_entry("change", entry, _CHANGE, _DAYS, index):
        return False
    if problem := _inconsistency(entry):
        problems.add("change", problem, index)
    return not problem


def _inconsistency(entry: Mapping[str, Any]) -> str:
    """What is wrong with a change whose values are right each by itself; "" where nothing is."""
    amounts = [name for name in _AMOUNTS if name in entry]
    part = entry.get("part", CostPart.COMPUTE)
    if len(amounts) != 1:
        given = f"{', '.join(amounts)} are given" if amounts else "nothing is given"
        return f"{given}; a change has exactly one of: {', '.join(_AMOUNTS)}"
    if amounts[0].startswith("usd_") and part != CostPart.COMPUTE:
        return f"a new rate is one of compute; for {part} give factor or decline_per_year"
    if entry.get("factor") == 0 and part == CostPart.COMPUTE:
        return "factor is 0, and a rate is above 0; allowed: above 0"
    if amounts[0] == "decline_per_year":
        if "until" not in entry:
            return "decline_per_year needs until, the day up to which it goes on"
        if part not in (CostPart.COMPUTE, "energy") and "since" not in entry:
            return f"the decline of {part} needs since, the day from which it goes on"
        if "since" in entry and entry["since"] >= entry["until"]:
            return f"until {entry['until']} is not after since {entry['since']}"
    elif stray := [day for day in _DAYS if day in entry]:
        return f"{stray[0]} belongs to decline_per_year only"
    return ""


def _included(names: Any, problems: TomlProblems) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        problems.add("include", f"{names!r} is not a list of file names")
        return []
    return names
