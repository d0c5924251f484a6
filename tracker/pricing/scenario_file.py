"""Reading a scenario from a TOML file, or from a text like one.

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

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.errors import ScenarioError, did_you_mean
from tracker.pricing.rate_change import PARTS, RateChange
from tracker.pricing.scenario import AS_BILLED, Scenario, compose
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
}
_KEYS = (*_TOP, "sku", "as_of", "include", "change", "costs")


def read_scenario(path: str | Path) -> Scenario:
    """The scenario in the file at ``path``, what it includes composed before it.

    Raises ScenarioError with every problem of a file, each with its line, for one that changes nothing and for
    one that includes itself (with the whole circle); RequestError where a file cannot be read.
    """
    return _read(Path(path), ())


def read_scenario_text(text: str, source: str = "scenario") -> Scenario:
    """The scenario that ``text`` describes as a file would; of nothing but blanks the one that changes nothing.

    ``source`` is what messages call it. It includes no files. Raises ScenarioError as ``read_scenario`` does.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{source}: not valid TOML: {error}") from None
    if "include" in content:
        raise ScenarioError(f"{source}, include: {content['include']!r} is for files; allowed: everything else of one")
    return _changing(_own(content, TomlProblems(source, text))[0], source) if content else AS_BILLED


def scenario_of(content: Mapping[str, Any]) -> tuple[Scenario, tuple[str, ...]]:
    """The scenario of what a file would say, and what is wrong with it, a sentence each.

    With problems the scenario is the one that changes nothing; nothing said is no problem here.
    """
    problems = TomlProblems("scenario", "")
    try:
        return _own(content, problems)[0], ()
    except ScenarioError as error:
        return AS_BILLED, problems.found or (str(error),)


def _read(path: Path, above: tuple[Path, ...]) -> Scenario:
    here = path.resolve()
    if here in above:
        circle = " → ".join(each.name for each in (*above[above.index(here) :], here))
        raise ScenarioError(f"scenario file '{path}' includes itself: {circle}")
    content, text = read_toml(path, "scenario file", lambda reason: ScenarioError(f"{path}: {reason}"))
    own, included = _own(content, TomlProblems(str(path), text), path.stem, str(path))
    return _changing(compose([*(_read(path.parent / name, (*above, here)) for name in included), own]), str(path))


def _own(
    content: Mapping[str, Any], problems: TomlProblems, name: str = "", source: str = ""
) -> tuple[Scenario, list[str]]:
    """What a file itself says, and the names of the files that it includes. Raises ScenarioError with all problems."""
    _check_top(content, problems)
    entries = enumerate(problems.entries(content, "change"))
    changes = [change for index, entry in entries if (change := _change(entry, index, problems))]
    included = _included(content.get("include", []), problems)
    if problems:
        raise ScenarioError(str(problems))
    scenario = Scenario(
        name=content.get("name", name),
        market=Market(content["market"]) if "market" in content else None,
        region=content.get("region"),
        as_of=content.get("as_of"),
        skus=_skus(content.get("sku", [])),
        changes=tuple(changes),
        terms=content.get("costs", {}),
        sources=(source,) if source else (),
    )
    return scenario, included


def _changing(scenario: Scenario, source: str) -> Scenario:
    if scenario.is_empty:
        raise ScenarioError(f"{source}: changes nothing; give at least one of: {', '.join(_KEYS[1:])}")
    return scenario


def _check_top(content: Mapping[str, Any], problems: TomlProblems) -> None:
    for key, value in content.items():
        if key not in _KEYS:
            problems.add(key, f"unknown key; {did_you_mean(key, _KEYS)}")
        elif key in _TOP and (problem := _TOP[key].problem(value)):
            problems.add(key, problem)
    if "as_of" in content and (problem := day_problem(content["as_of"])):
        problems.add("as_of", problem)
    if not _is_names(content.get("sku", [])) and not isinstance(content["sku"], str):
        problems.add("sku", f"{content['sku']!r} is neither a SKU nor a list of them")
    costs = content.get("costs", {})
    if not isinstance(costs, dict):
        problems.add("costs", f"{costs!r} is not a table; write [costs] and its keys below it")
        return
    for key, problem in term_problems(costs).items():
        problems.add(f"costs.{key}", problem)


def _change(entry: Mapping[str, Any], index: int, problems: TomlProblems) -> RateChange | None:
    """The change that an entry under [[change]] describes; None, and a problem, where it is wrong."""
    if not problems.check_entry("change", entry, _CHANGE, _DAYS, index):
        return None
    try:
        return RateChange(**entry)
    except ScenarioError as error:
        problems.add("change", str(error), index)
        return None


def _included(names: Any, problems: TomlProblems) -> list[str]:
    if not _is_names(names):
        problems.add("include", f"{names!r} is not a list of file names")
        return []
    return list(names)


def _skus(given: Any) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _is_names(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(name, str) and name for name in given)
