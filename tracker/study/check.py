"""Checks a study file whole: a StudySpec, or all that is wrong with it at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracker.errors import StudyFileError, did_you_mean
from tracker.records import BOOKED_METRICS, Direction, Market, QualityMetric, SettingValue
from tracker.study.costs import CostTerms, term_problems
from tracker.study.document import StudyDocument
from tracker.study.domains import Choices, Domain, parse_domain
from tracker.study.keys import TABLE_KEYS, TOP_KEYS, names
from tracker.study.knobs import COMMON_KNOBS, Knob
from tracker.study.report_table import ReportTable, report_problems, report_table
from tracker.study.spec import (
    ANY_DATA_KEY,
    COSTS,
    ENGINES,
    MOST_OBJECTIVES,
    STRATEGIES,
    Budget,
    EngineSpec,
    Limit,
    PricingSpec,
    SearchSpec,
    StudySpec,
    WorkloadDescription,
)
from tracker.study.study_name import name_problem
from tracker.study.tags import tag_problems
from tracker.study.toml_file import TomlProblems

_TABLES = tuple(TABLE_KEYS)
_TOP = (*TOP_KEYS, *_TABLES)
_LEAST_GROWTH = 0.001
"""Of the hypervolume: where a budget has dollars, a study does not spend them for less."""


def check_study(document: StudyDocument, description: WorkloadDescription | str) -> StudySpec:
    """The study that ``document`` describes; ``description`` is its workload's, or why there is none.

    Raises StudyFileError with every problem, each with its place and the nearest valid name.
    """
    return _Checker(document, description).spec()


class _Checker:
    """Collects problems while it reads, to report all at once."""

    def __init__(self, document: StudyDocument, description: WorkloadDescription | str) -> None:
        self._document = document
        self._problems = TomlProblems(document.source, document.text)
        if isinstance(description, str):
            self._problem("command" if "command" in document.content else "workload", description)
            self._description = None
        else:
            self._description = description

    def spec(self) -> StudySpec:
        content = self._document.content
        self._only("", content, _TOP)
        tables = {name: self._table(name) for name in _TABLES}
        name = self._name(content.get("name"))
        seed = self._value("seed", content.get("seed", 0), Knob("int", 0, "", low=0, high=2**31 - 1))
        self._reference(content)
        quality = self._quality(tables["quality"])
        strategy = self._value(
            "strategy", content.get("strategy", STRATEGIES[0]), Knob("str", None, "", choices=STRATEGIES)
        )
        limits = self._limits(tables["limits"])
        budget = self._budget(tables["budget"])
        search = self._search(tables["search"], quality, budget)
        report = self._report(tables["report"], quality, [*search.objectives, *(each.metric for each in limits)])
        pricing = self._pricing(tables["pricing"])
        costs = self._costs(tables["costs"])
        engine = self._engine(tables["engine"])
        settings, space = self._settings(tables["settings"], tables["space"])
        last_step = self._last_step(tables["quality"].get("last_step"), settings, space)
        self._data(tables["data"])
        self._tags(tables["tags"])
        self._smoke(tables["smoke"])
        if strategy == "grid":
            self._grid(space)
        if self._problems or self._description is None:
            raise StudyFileError(self._document.source, self._problems.found)
        workload = str(self._document.workload)
        return StudySpec(
            name,
            workload,
            seed,
            quality,
            budget,
            pricing,
            costs,
            settings,
            space,
            tables["data"],
            self._description,
            strategy,
            search,
            limits,
            last_step,
            tables["tags"],
            report,
            engine,
        )

    def _problem(self, path: str, message: str) -> None:
        self._problems.add(path, message)

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
        if name is None:
            self._problem("name", "missing; every study has a name")
        elif problem := name_problem(name):
            self._problem("name", problem)
        return str(name)

    def _reference(self, content: Mapping[str, Any]) -> None:
        if problem := self._document.workload_problem:
            self._problem(*problem)
        if "folder" in content and "command" not in content:
            self._problem("folder", "a folder is where a command runs, and there is none; name files by their paths")
        self._value("folder", content.get("folder", "."), Knob("str", None, ""))

    def _quality(self, table: Mapping[str, Any]) -> QualityMetric:
        self._only("quality", table, names("quality"))
        metrics = self._description.metrics if self._description else {}
        metric = table.get("metric")
        if metric is None:
            self._problem("quality.metric", "missing; name the metric that quality is measured by")
        elif not isinstance(metric, str) or metric in BOOKED_METRICS:
            said = "the tracker measures this itself" if metric in BOOKED_METRICS else "not a metric's name"
            self._problem("quality.metric", f"{metric!r}: {said}; name one that training reports")
        elif metrics and metric not in metrics:
            self._problem("quality.metric", f"the workload reports no '{metric}'; {did_you_mean(metric, metrics)}")
        if self._description and not metrics and "direction" not in table:
            allowed = "'maximize' or 'minimize'"
            self._problem("quality.direction", f"missing; the workload does not say it, so the study must: {allowed}")
        direction = table.get("direction", metrics.get(str(metric), Direction.MAXIMIZE))
        if direction not in list(Direction):
            self._problem("quality.direction", f"{direction!r}; {did_you_mean(str(direction), Direction)}")
            direction = Direction.MAXIMIZE
        return QualityMetric(str(metric), Direction(direction))

    def _last_step(
        self, named: Any, settings: Mapping[str, SettingValue], space: Mapping[str, Domain]
    ) -> int | str | None:
        """Where trainings end: a step, or the knob whose value it is."""
        path, kind = "quality.last_step", "a whole number of at least 1"
        if named is None or self._description is None:
            return None
        if not isinstance(named, str):
            if _is_step(named):
                return int(named)
            self._problem(path, f"{named!r} is neither {kind} nor the name of a knob that has one")
            return None
        knobs = {**self._description.knobs, **COMMON_KNOBS}
        if named not in knobs:
            self._problem(path, f"there is no knob '{named}'; {did_you_mean(named, knobs)}")
            return None
        if named in space:
            domain = space[named]
            given = domain.values if isinstance(domain, Choices) else [domain.low, domain.step or 1]
            whole = all(map(_is_step, given)) and (isinstance(domain, Choices) or domain.step or domain.integer)
            shown = _listed(domain.values) if isinstance(domain, Choices) else f"{domain.low:g} to {domain.high:g}"
        else:
            value = settings.get(named, knobs[named].default)
            whole, shown = _is_step(value), "no value" if value is None else repr(value)
        if not whole:
            self._problem(path, f"the knob '{named}' has {shown}; the last step is {kind}")
        return named

    def _budget(self, table: Mapping[str, Any]) -> Budget:
        self._only("budget", table, names("budget"))
        usd, trials = table.get("usd"), table.get("trials")
        if usd is not None and (Knob("float", None, "").problem(usd) or usd <= 0):
            self._problem("budget.usd", f"{usd!r} is not a number of dollars above 0")
        if trials is not None:
            self._value("budget.trials", trials, Knob("int", None, "", low=1))
        seconds = {key: table.get(key) for key in ("wall_seconds", "trial_seconds")}
        for key, value in seconds.items():
            if value is not None and (Knob("float", None, "").problem(value) or value <= 0):
                self._problem(f"budget.{key}", f"{value!r} is not a number of seconds above 0")
        if usd is None and trials is None and seconds["wall_seconds"] is None:
            self._problem("budget", "a study needs an end: give usd, trials, wall_seconds or several")
        return Budget(usd, trials, seconds["wall_seconds"], seconds["trial_seconds"])

    def _search(self, table: Mapping[str, Any], quality: QualityMetric, budget: Budget) -> SearchSpec:
        self._only("search", table, names("search"))
        objectives = self._objectives(table.get("objectives"), quality)
        sampler = self._value("search.sampler", table.get("sampler", "TPESampler"), Knob("str", None, ""))
        options, reference = table.get("options", {}), table.get("reference", {})
        if not isinstance(options, dict):
            self._problem("search.options", f"{options!r} is not a table of the sampler's keyword arguments")
        if not isinstance(reference, dict):
            self._problem("search.reference", f"{reference!r} is not a table with a number for some of the objectives")
            reference = {}
        self._only("search.reference", reference, tuple(objectives))
        for name in reference.keys() & objectives.keys():
            problem = Knob("float", None, "").problem(reference[name])
            if problem or (name in COSTS and reference[name] <= 0):
                self._problem(f"search.reference.{name}", problem or f"{reference[name]!r} is not above 0")
        predictions, gigabytes = table.get("predictions", 1_000_000), table.get("disk_limit_gb", 10.0)
        self._value("search.predictions", predictions, Knob("int", None, "", low=1))
        if Knob("float", None, "").problem(gigabytes) or gigabytes <= 0:
            self._problem("search.disk_limit_gb", f"{gigabytes!r} is not a number of gigabytes above 0")
            gigabytes = 10.0
        least_growth = table.get("least_growth", 0.0 if budget.usd is None else _LEAST_GROWTH)
        self._value("search.least_growth", least_growth, Knob("float", None, "", low=0, high=1))
        return SearchSpec(objectives, sampler, options, reference, predictions, gigabytes * 1e9, least_growth)

    def _objectives(self, names: Any, quality: QualityMetric) -> Mapping[str, Direction]:
        """Names with their directions: quality, what the workload reports, and costs, of which less is better."""
        objectives = {quality.name: quality.direction}
        if names is None:
            return {**objectives, "price_usd": Direction.MINIMIZE}
        metrics = self._description.metrics if self._description else {}
        if not isinstance(names, list):
            self._problem("search.objectives", f"{names!r} is not a list of names")
            names = []
        for place, entry in enumerate(names):
            path = f"search.objectives[{place}]"
            given = entry if isinstance(entry, dict) else {"metric": entry}
            self._only(path, given, ("metric", "direction"))
            name, direction = given.get("metric"), given.get("direction")
            known = {**metrics, **dict.fromkeys(COSTS, Direction.MINIMIZE), **objectives}
            if not isinstance(name, str) or (name not in known and (metrics or name in BOOKED_METRICS)):
                self._problem(path, f"no run reports {name!r}; {did_you_mean(str(name), known)}")
            elif direction is not None and direction not in list(Direction):
                self._problem(f"{path}.direction", f"{direction!r}; {did_you_mean(str(direction), Direction)}")
            elif direction is None and name not in known:
                example = f'{{ metric = "{name}", direction = "maximize" }}'
                self._problem(path, f"the workload does not say which way '{name}' gets better; write {example}")
            else:
                objectives[name] = Direction(direction or known[name])
        if self._problems:
            return objectives
        if not 2 <= len(objectives) <= MOST_OBJECTIVES:
            named = ", ".join(objectives)
            self._problem(
                "search.objectives", f"{named}: {len(objectives)} objectives; allowed: 2 to {MOST_OBJECTIVES}"
            )
        elif not objectives.keys() & set(COSTS):
            self._problem("search.objectives", f"none of them is a cost; allowed: {', '.join(COSTS)}")
        return objectives

    def _limits(self, table: Mapping[str, Any]) -> tuple[Limit, ...]:
        metrics = self._description.metrics if self._description else {}
        limits = []
        for metric, bounds in table.items():
            path = f"limits.{metric}"
            known = (*metrics, "peak_memory_bytes")
            if metric not in known and (metrics or metric in (*BOOKED_METRICS, *COSTS)):
                self._problem(path, f"no run reports '{metric}' as a metric; {did_you_mean(metric, known)}")
            if not isinstance(bounds, dict) or not bounds:
                self._problem(path, f"{bounds!r} is not a table with min, max or both, such as {{ min = 0.6 }}")
                continue
            self._only(path, bounds, ("min", "max"))
            for key in bounds.keys() & {"min", "max"}:
                self._value(f"{path}.{key}", bounds[key], Knob("float", None, ""))
            low, high = bounds.get("min"), bounds.get("max")
            if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
                self._problem(path, f"min {low:g} is above max {high:g}: nothing can keep it")
            limits.append(Limit(metric, low, high))
        return tuple(limits)

    def _report(self, table: Mapping[str, Any], quality: QualityMetric, needed: Sequence[str]) -> ReportTable | None:
        if table and "command" not in self._document.content:
            self._problem("report", "it says how a command reports, and there is none; training code calls run.report")
        measured = {*COSTS, *BOOKED_METRICS}
        problems = list(report_problems(table, quality.name, [name for name in needed if name not in measured]))
        for key, problem in problems:
            self._problem(f"report.{key}".rstrip("."), problem)
        return None if problems else report_table(table)

    def _engine(self, table: Mapping[str, Any]) -> EngineSpec:
        self._only("engine", table, names("engine"))
        default = EngineSpec()
        knobs = {
            "name": Knob("str", default.name, "", choices=ENGINES),
            "address": Knob("str", default.address, ""),
            "allow_open": Knob("bool", default.allow_open, ""),
            "states": Knob("str", default.states, ""),
        }
        values = {key: self._value(f"engine.{key}", table.get(key, knob.default), knob) for key, knob in knobs.items()}
        if values["name"] == default.name and (given := table.keys() - {"name"}):
            key = min(given)
            self._problem(f"engine.{key}", 'only of a cluster; name = "ray" uses one')
        if (states := values["states"]) and "://" not in str(states):
            self._problem(
                "engine.states", f"{states!r} is no URL; give one such as s3://bucket/folder or file:///folder"
            )
        return EngineSpec(**values)

    def _smoke(self, table: Mapping[str, Any]) -> None:
        if self._description is None:
            return
        knobs = {**self._description.knobs, **COMMON_KNOBS, "trials": Knob("int", None, "", low=1)}
        self._only("smoke", table, (*knobs, *names("smoke")))
        if isinstance(data := table.get("data", {}), dict):
            self._data(data, "smoke.data")
        else:
            self._problem("smoke.data", f"{data!r} is not a table")
        for name in table.keys() & knobs.keys():
            self._value(f"smoke.{name}", table[name], knobs[name])

    def _grid(self, space: Mapping[str, Domain]) -> None:
        for name, domain in space.items():
            if math.isinf(domain.size):
                every = "strategy 'grid' tries every value; give a list, or a range of whole numbers or with a step"
                self._problem(f"space.{name}", every)

    def _pricing(self, table: Mapping[str, Any]) -> PricingSpec:
        self._only("pricing", table, names("pricing"))
        market = table.get("market", Market.ON_DEMAND)
        if market not in list(Market):
            self._problem("pricing.market", f"{market!r}; {did_you_mean(str(market), Market)}")
            market = Market.ON_DEMAND
        skus = {device: table.get(f"sku_{device}", "auto") for device in ("cpu", "cuda")}
        for device, sku in skus.items():
            self._value(f"pricing.sku_{device}", sku, Knob("str", "auto", ""))
        texts = {key: table.get(key, "") for key in ("region", "prices", "country")}
        for key, text in texts.items():
            self._value(f"pricing.{key}", text, Knob("str", "", ""))
        return PricingSpec(Market(market), skus, **{key: str(text) for key, text in texts.items()})

    def _costs(self, table: Mapping[str, Any]) -> CostTerms:
        problems = term_problems(table)
        for key, problem in problems.items():
            self._problem(f"costs.{key}", problem)
        return CostTerms(**{key: value for key, value in table.items() if key not in problems})

    def _tags(self, table: Mapping[str, Any]) -> None:
        for key, problem in tag_problems(table).items():
            self._problem(f"tags.{key}".rstrip("."), problem)

    def _settings(
        self, settings: Mapping[str, Any], space: Mapping[str, Any]
    ) -> tuple[Mapping[str, SettingValue], Mapping[str, Domain]]:
        if self._description is None:
            return {}, {}
        knobs = {**self._description.knobs, **COMMON_KNOBS}
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
        for name, knob in self._description.knobs.items():
            if knob.kind == "any" and knob.default is None and name not in {**settings, **space}:
                said = f"{{{name}}} has no value; give it one under [settings] or search it in [space]"
                self._problem("command", f"{said} (a brace of the shell's own is written twice)")
        self._nodes(settings, domains)
        if not space and self._table("budget").get("trials") != 1:
            one = "or train what [settings] say by budget.trials = 1"
            self._problem("space", f"nothing to search; give at least one knob a list or a range, {one}")
        return dict(settings), domains

    def _nodes(self, settings: Mapping[str, Any], space: Mapping[str, Domain]) -> None:
        """Every number of nodes must divide every number of processes: a search combines them as it likes."""
        if self._problems:
            return
        path = "space.nodes" if "nodes" in space else "settings.nodes"
        nodes, processes = (_wholes(settings.get(name, 1), space.get(name)) for name in ("nodes", "processes"))
        if max(nodes) > 1 and "command" in self._document.content:
            self._problem(path, f"a command trains on one machine; {max(nodes)} nodes are for training code")
        for several, each in itertools.product(nodes, processes):
            if each % several:
                said = f"{several} nodes and {each} processes: each node has as many of the trial's processes"
                self._problem(path, f"{said}, so processes is {several} or a multiple of it")
                return

    def _data(self, table: Mapping[str, Any], path: str = "data") -> None:
        if self._description is not None and ANY_DATA_KEY not in self._description.data_options:
            self._only(path, table, tuple(self._description.data_options))


def _wholes(fixed: Any, domain: Domain | None) -> list[int]:
    """What a knob of whole numbers may be in a study, the first thousand of a range."""
    if domain is None:
        return [int(fixed)]
    if isinstance(domain, Choices):
        return [int(value) for value in domain.values]
    return [int(domain.at(index)) for index in range(min(1000, int(domain.size)))]


def _is_step(value: object) -> bool:
    """Whether it is a whole number of at least 1, as 600 and 600.0 are."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 and value == value // 1


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(repr, values))
