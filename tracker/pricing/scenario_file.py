"""Reading a scenario from a TOML file, or from a text like one.

name = "H100 price war"
include = ["spot.toml"]       # applied first, in this order; paths are relative to this file
market = "spot"               # which rates are taken: market, region, as_of, sku
as_of = 2024-03-01

[[change]]                    # what is changed about them
accelerator = "H100"          # which machines: provider, accelerator, sku, market; none is everybody
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

_AMOUNTS: Mapping[str, Knob] = {
    "factor": Knob("float", None, "what the amount is multiplied by", low=0.0, high=1e6),
    "usd_per_hour": Knob("float", None, "a new rate of the whole machine", low=1e-9, high=1e6),
    "usd_per_accelerator_hour": Knob("float", None, "a new rate of one of its accelerators", low=1e-9, high=1e6),
    "decline_per_year": Knob("float", None, "the share by which it falls each year", low=-10.0, high=0.9999),
}
CHANGE_KEYS: Mapping[str, Knob] = {
    "part": Knob("str", CostPart.COMPUTE, "the part of the price that changes", choices=PARTS),
    "provider": Knob("str", "", "only this provider's machines"),
    "accelerator": Knob("str", "", "only machines with this accelerator"),
    "sku": Knob("str", "", "only this machine"),
    "market": Knob("str", "", "only machines bought in this way", choices=tuple(Market)),
    **_AMOUNTS,
}
CHANGE_DAYS: Mapping[str, str] = {
    "since": "the day that a decline starts; without it, the day of the rate",
    "until": "the day that a decline is worked out for",
}
_TOP: Mapping[str, Knob] = {
    "name": Knob("str", "", "what results call it; without it, the file's name"),
    "market": Knob("str", "", "take the rates of this market", choices=tuple(Market)),
    "region": Knob("str", "", "take the rates of this region"),
}
SCENARIO_KEYS: Mapping[str, str] = {
    **{name: knob.help for name, knob in _TOP.items()},
    "sku": "bill runs as this machine, or one of a list of machines, one for each kind of device",
    "as_of": "take the rates of this day, such as 2024-03-01",
    "include": "a list of scenario files to apply first",
    "change": "changes of rates or parts, each a [[change]] with the keys below",
    "costs": "a table that replaces assumptions about costs, as a study's [costs]",
}
"""What a scenario file may have, each with its meaning."""


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
        raise ScenarioError(f"{source}: changes nothing; give at least one of: {', '.join(tuple(SCENARIO_KEYS)[1:])}")
    return scenario


def _check_top(content: Mapping[str, Any], problems: TomlProblems) -> None:
    for key, value in content.items():
        if key not in SCENARIO_KEYS:
            problems.add(key, f"unknown key; {did_you_mean(key, SCENARIO_KEYS)}")
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
    if not problems.check_entry("change", entry, CHANGE_KEYS, tuple(CHANGE_DAYS), index):
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
