"""Writing a scenario as TOML, so that it reads back equal."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from tracker.errors import RequestError, ScenarioError
from tracker.pricing.scenario import Scenario


def scenario_toml(scenario: Scenario) -> str:
    """The scenario as the text of a file, which reads back equal; its ``sources`` are left out.

    Whatever it included is written out in it.
    """
    parts = ["\n".join(f"{key} = {_toml(value)}" for key, value in _head(scenario).items())]
    parts += [
        "\n".join(["[[change]]", *(f"{key} = {_toml(value)}" for key, value in each.items())])
        for each in _changes(scenario)
    ]
    if scenario.terms:
        parts.append("\n".join(["[costs]", *(f"{key} = {_toml(value)}" for key, value in scenario.terms.items())]))
    return "\n\n".join(filter(None, parts)) + "\n"


def compact_scenario_toml(scenario: Scenario) -> str:
    """The same in few characters, a line a key, as a link carries it; "" where nothing is changed."""
    if scenario.is_empty:
        return ""
    lines = [f"{key}={_toml(value)}" for key, value in _head(scenario).items() if (key, value) != ("name", "")]
    if scenario.changes:
        lines.append(f"change=[{','.join(map(_inline, _changes(scenario)))}]")
    return "\n".join([*lines, f"costs={_inline(scenario.terms)}"] if scenario.terms else lines)


def write_scenario(scenario: Scenario, path: Path, *, replace: bool = False) -> None:
    """Write a scenario to ``path``, whole or not at all, its folder made if need be.

    Raises ScenarioError for one that changes nothing, which no reader would take; RequestError where there is such a
    file already and it is not to be replaced, and where it cannot be written.
    """
    if scenario.is_empty:
        raise ScenarioError(f"scenario {scenario.name or path.stem!r} changes nothing, so there is nothing to write")
    text = scenario_toml(scenario)
    if path.exists() and not replace:
        raise RequestError(f"scenario file '{path}' is there already; choose another name, or replace it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    except OSError as error:
        raise RequestError(f"scenario file '{path}' cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except (OSError, UnicodeEncodeError) as error:
        raise RequestError(f"scenario file '{path}' cannot be written: {error}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(partial).unlink()


def _head(scenario: Scenario) -> dict[str, Any]:
    """What stands above the tables of a file."""
    given = {"market": scenario.market, "region": scenario.region, "as_of": scenario.as_of}
    head = {"name": scenario.name, **{key: value for key, value in given.items() if value is not None}}
    return {**head, "sku": scenario.skus} if scenario.skus else head


def _changes(scenario: Scenario) -> list[dict[str, Any]]:
    """Of each change what differs from saying nothing."""
    return [
        {each.name: value for each in fields(change) if (value := getattr(change, each.name)) != each.default}
        for change in scenario.changes
    ]


def _inline(table: Mapping[str, Any]) -> str:
    return "{" + ",".join(f"{key}={_toml(value)}" for key, value in table.items()) + "}"


def _toml(value: bool | float | str | date | Sequence[str]) -> str:
    """A value as TOML has it; a text's escapes are JSON's and, of what JSON lets stand, that of DEL."""
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, Sequence) else repr(value)
