"""A study file, checked: TOML in, StudySpec out, or all that is wrong with it at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.errors import RequestError, StudyFileError, did_you_mean
from tracker.records import Direction, Market, QualityMetric, SettingValue
from tracker.study.domains import Domain, parse_domain
from tracker.study.knobs import HARDWARE_KNOBS, Knob

_TABLES = ("quality", "budget", "pricing", "settings", "space", "data")
_TOP = ("name", "workload", "seed", *_TABLES)
_NAME_LIMIT_BYTES = 80


@dataclass(frozen=True, slots=True)
class WorkloadDescription:
    """What a study file can say about a workload: its knobs, metrics, data options and baselines."""

    knobs: Mapping[str, Knob]
    metrics: Mapping[str, Direction]
    data_options: Mapping[str, str]
    baselines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a study may use: dollars, trials, whichever is reached first; None is no limit."""

    usd: float | None = None
    trials: int | None = None


@dataclass(frozen=True, slots=True)
class PricingSpec:
    """How runs are billed: the market, and the SKU for each device ("auto": one like this machine)."""

    market: Market = Market.ON_DEMAND
    sku: Mapping[str, str] = field(default_factory=lambda: {"cpu": "auto", "cuda": "auto"})


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A whole study, as its file describes it."""

    name: str
    workload: str
    seed: int
    quality: QualityMetric
    budget: Budget
    pricing: PricingSpec
    settings: Mapping[str, SettingValue]
    space: Mapping[str, Domain]
    data: Mapping[str, Any]
    description: WorkloadDescription

    @property
    def default_settings(self) -> dict[str, SettingValue]:
        """A value for every knob of the workload that has one: the study's settings over the defaults."""
        knobs = self.description.knobs.items()
        return {name: knob.default for name, knob in knobs if knob.default is not None} | dict(self.settings)

    @property
    def fixed_settings(self) -> dict[str, SettingValue]:
        """What every trial gets: the default settings less what is searched."""
        return {name: value for name, value in self.default_settings.items() if name not in self.space}


@dataclass(frozen=True, slots=True)
class StudyDocument:
    """A study file as read, before it is checked; ``source`` and ``text`` serve the messages."""

    source: str
    content: Mapping[str, Any]
    text: str = ""

    @classmethod
    def read(cls, path: Path) -> StudyDocument:
        """Read a TOML file. Raises RequestError where there is none, StudyFileError where it is not TOML."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise RequestError(f"study file '{path}' cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise RequestError(f"study file '{path}' is not UTF-8 text") from None
        try:
            return cls(str(path), tomllib.loads(text), text)
        except tomllib.TOMLDecodeError as error:
            raise StudyFileError(str(path), [f"not valid TOML: {error}"]) from None

    def override(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        seed: int | None = None,
        budget_usd: float | None = None,
        trials: int | None = None,
    ) -> StudyDocument:
        """The same document with knobs fixed and values replaced; None leaves the file's value."""
        content = {key: dict(value) if isinstance(value, Mapping) else value for key, value in self.content.items()}
        for table, key, value in (
            ("", "name", name),
            ("", "seed", seed),
            ("budget", "usd", budget_usd),
            ("budget", "trials", trials),
            *(("settings", knob, value) for knob, value in (settings or {}).items()),
        ):
            place = content.setdefault(table, {}) if table else content
            if value is not None and isinstance(place, dict):
                place[key] = value
        if isinstance(space := content.get("space"), dict):
            content["space"] = {knob: domain for knob, domain in space.items() if knob not in (settings or {})}
        return StudyDocument(self.source, content, self.text)


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """Knobs and values from "knob=value" texts, each value as TOML reads it, else as text. Raises RequestError."""
    settings = {}
    for assignment in assignments:
        knob, equals, raw = assignment.partition("=")
        if not equals or not knob.strip():
            raise RequestError(f"--set '{assignment}' is not of the form knob=value")
        settings[knob.strip()] = _parse_value(raw.strip())
    return settings


def _parse_value(raw: str) -> object:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def check_study(document: StudyDocument, description: WorkloadDescription | str) -> StudySpec:
    """The study that ``document`` describes; ``description`` is its workload's, or why there is none.

    Raises StudyFileError with every problem, each with its place and the nearest valid name.
    """
    return _Checker(document, description).spec()


class _Checker:
    """Collects problems while it reads, so that all are told at once."""

    def __init__(self, document: StudyDocument, description: WorkloadDescription | str) -> None:
        self._document = document
        self._problems: list[str] = []
        if isinstance(description, str):
            self._problem("workload", description)
            self._description = None
        else:
            self._description = description

    def spec(self) -> StudySpec:
        content = self._document.content
        self._only("", content, _TOP)
        tables = {name: self._table(name) for name in _TABLES}
        name = self._name(content.get("name"))
        seed = self._value("seed", content.get("seed", 0), Knob("int", 0, "", low=0, high=2**31 - 1))
        quality = self._quality(tables["quality"])
        budget = self._budget(tables["budget"])
        pricing = self._pricing(tables["pricing"])
        settings, space = self._settings(tables["settings"], tables["space"])
        self._data(tables["data"])
        if self._problems or self._description is None:
            raise StudyFileError(self._document.source, self._problems)
        workload = str(content["workload"])
        return StudySpec(
            name, workload, seed, quality, budget, pricing, settings, space, tables["data"], self._description
        )

    def _problem(self, path: str, message: str) -> None:
        line = _line_of(self._document.text, path)
        self._problems.append(f"{f'line {line}, ' if line else ''}{path}: {message}")

    def _only(self, table: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
        for key in given:
            if key not in allowed:
                self._problem(f"{table}.{key}".lstrip("."), f"unknown key; {did_you_mean(key, allowed)}")

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self._document.content.get(name, {})
        if isinstance(table, dict):
            return table
        self._problem(name, f"{table!r} is not a table; write [{name}] and its keys below it")
        return {}

    def _value(self, path: str, value: Any, knob: Knob) -> Any:
        if problem := knob.problem(value):
            self._problem(path, problem)
        return value

    def _name(self, name: Any) -> str:
        if not isinstance(name, str) or not name.strip():
            self._problem("name", f"{name!r} is not a name" if name is not None else "missing; every study has a name")
        elif len(name.encode()) > _NAME_LIMIT_BYTES or not name.isprintable():
            self._problem("name", f"{name!r} is not a printable text of at most {_NAME_LIMIT_BYTES} bytes")
        return str(name)

    def _quality(self, table: Mapping[str, Any]) -> QualityMetric:
        self._only("quality", table, ("metric", "direction"))
        metrics = self._description.metrics if self._description else {}
        metric = table.get("metric")
        if metric is None:
            self._problem("quality.metric", "missing; name the metric that quality is measured by")
        elif self._description and metric not in metrics:
            self._problem("quality.metric", f"the workload reports no '{metric}'; {did_you_mean(str(metric), metrics)}")
        direction = table.get("direction", metrics.get(str(metric), Direction.MAXIMIZE))
        if direction not in list(Direction):
            self._problem("quality.direction", f"{direction!r}; {did_you_mean(str(direction), Direction)}")
            direction = Direction.MAXIMIZE
        return QualityMetric(str(metric), Direction(direction))

    def _budget(self, table: Mapping[str, Any]) -> Budget:
        self._only("budget", table, ("usd", "trials"))
        usd, trials = table.get("usd"), table.get("trials")
        if usd is not None and (problem := Knob("float", None, "").problem(usd) or ("" if usd > 0 else "not above 0")):
            self._problem("budget.usd", f"{usd!r} is not a number of dollars above 0 ({problem})")
        if trials is not None:
            self._value("budget.trials", trials, Knob("int", None, "", low=1))
        if usd is None and trials is None:
            self._problem("budget", "a study needs an end: give usd, trials or both")
        return Budget(usd, trials)

    def _pricing(self, table: Mapping[str, Any]) -> PricingSpec:
        self._only("pricing", table, ("market", "sku_cpu", "sku_cuda"))
        market = table.get("market", Market.ON_DEMAND)
        if market not in list(Market):
            self._problem("pricing.market", f"{market!r}; {did_you_mean(str(market), Market)}")
            market = Market.ON_DEMAND
        skus = {device: table.get(f"sku_{device}", "auto") for device in ("cpu", "cuda")}
        for device, sku in skus.items():
            self._value(f"pricing.sku_{device}", sku, Knob("str", "auto", ""))
        return PricingSpec(Market(market), skus)

    def _settings(
        self, settings: Mapping[str, Any], space: Mapping[str, Any]
    ) -> tuple[Mapping[str, SettingValue], Mapping[str, Domain]]:
        if self._description is None:
            return {}, {}
        knobs = {**self._description.knobs, **HARDWARE_KNOBS}
        self._only("settings", settings, tuple(knobs))
        self._only("space", space, tuple(knobs))
        for name in settings.keys() & space.keys():
            self._problem(f"space.{name}", "also under [settings]; a knob is either fixed or searched")
        for name in settings.keys() & knobs.keys():
            self._value(f"settings.{name}", settings[name], knobs[name])
        domains: dict[str, Domain] = {}
        for name in [name for name in space if name in knobs]:
            domain, problems = parse_domain(space[name], knobs[name])
            for problem in problems:
                self._problem(f"space.{name}", problem)
            if domain is not None:
                domains[name] = domain
        if not space:
            self._problem("space", "nothing to search; give at least one knob a list or a range")
        return dict(settings), domains

    def _data(self, table: Mapping[str, Any]) -> None:
        if self._description is not None:
            self._only("data", table, tuple(self._description.data_options))


def _line_of(text: str, path: str) -> int | None:
    """The line (from 1) where the value at ``path``, or failing that its table, stands in a TOML text."""
    table, _, key = path.rpartition(".")
    here, table_line = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            here = header[1].strip()
            if here == path:
                return number
            table_line = number if here == table else table_line
        elif here == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return table_line
