"""A study as its file describes it, once checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracker.records import BOOKED_METRICS, Direction, Market, QualityMetric, SettingValue
from tracker.study.costs import CostTerms
from tracker.study.domains import Domain
from tracker.study.knobs import Knob
from tracker.study.report_table import ReportTable

ANY_DATA_KEY = "*"
"""Among a workload's data options: a study's [data] table may have any keys besides those that it names."""


@dataclass(frozen=True, slots=True)
class WorkloadDescription:
    """What a study file can say about a workload: its knobs, metrics, data options and baselines."""

    knobs: Mapping[str, Knob]
    metrics: Mapping[str, Direction]
    data_options: Mapping[str, str]
    baselines: tuple[str, ...] = ()
    serves: bool = False
    """Whether its kept models can be served (training.workload.Predicts)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a study may use: dollars, trials, wall time, whichever is reached first; None is no limit.

    ``wall_seconds`` is how long the study's workers may be at work in all, not counting pauses between its runs;
    ``trial_seconds`` is what one attempt may take: one that hangs is ended then.
    """

    usd: float | None = None
    trials: int | None = None
    wall_seconds: float | None = None
    trial_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """What a metric must keep to for a checkpoint to count; None is no bound."""

    metric: str
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """The limit as a person says it.

        >>> Limit("recall", 0.6).words
        'recall of at least 0.6'
        """
        bounds = [f"at least {self.low:g}"] if self.low is not None else []
        bounds += [f"at most {self.high:g}"] if self.high is not None else []
        return f"{self.metric} of {' and '.join(bounds)}"

    @property
    def outside(self) -> float:
        """A value that misses the limit, by as much as its bound, or by 1 where that is less."""
        if self.low is not None:
            return self.low - max(abs(self.low), 1.0)
        return (self.high or 0.0) + max(abs(self.high or 0.0), 1.0)

    def excess(self, value: float) -> float:
        """By how much ``value`` misses the limit; 0 or less where it keeps it, infinite where it is no number."""
        if value != value:
            return float("inf")
        below = -float("inf") if self.low is None else self.low - value
        above = -float("inf") if self.high is None else value - self.high
        return max(below, above)


STRATEGIES = ("frontier", "optuna", "grid")
"""How a study spends: each dollar where it moves the frontier most, with trials paused and resumed; on full runs that
Optuna's sampler suggests; on a full run of every combination of the space's choices."""

COSTS = ("price_usd", "wall_seconds", "energy_joules", "prediction_usd")
"""The objectives that are measured and priced by the tracker: less is better. The last is the price of predictions."""
MOST_OBJECTIVES = 4


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """The configuration of the search.

    ``sampler`` is a class in optuna.samplers and ``options`` are its keyword arguments. ``objectives`` are what is to
    be good at once, by name, the study's quality first. ``reference`` has values to measure the hypervolume from, for
    some of them. ``predictions`` is how many the objective prediction_usd is the price of. States of paused trials
    take at most ``state_bytes`` on disk. The study ends where the hypervolume is expected to grow by less than
    ``least_growth`` of itself with the dollars left; never at 0.
    """

    objectives: Mapping[str, Direction]
    sampler: str = "TPESampler"
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)
    predictions: int = 1_000_000
    state_bytes: float = 10e9
    least_growth: float = 0.0


@dataclass(frozen=True, slots=True)
class PricingSpec:
    """How runs are billed: the market, and the SKU for each device ("auto": one like this machine).

    ``region`` "" is any; ``prices`` names a TOML file of rates of the user's own, "" for none; ``country`` is
    where the machine's electricity is from, "" for the region's country.
    """

    market: Market = Market.ON_DEMAND
    sku: Mapping[str, str] = field(default_factory=lambda: {"cpu": "auto", "cuda": "auto"})
    region: str = ""
    prices: str = ""
    country: str = ""


ENGINES = ("local", "ray")
"""Where attempts run: on this machine, or on those of a Ray cluster."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Where attempts run: one of ENGINES, and of a cluster its address, and whether it may have no token.

    ``states`` is the URL of a folder that all of its machines reach, for saved states; "" for the coordinator's disk.
    """

    name: str = ENGINES[0]
    address: str = "auto"
    allow_open: bool = False
    states: str = ""


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A whole study, as its file describes it."""

    name: str
    workload: str
    seed: int
    quality: QualityMetric
    budget: Budget
    pricing: PricingSpec
    costs: CostTerms
    settings: Mapping[str, SettingValue]
    space: Mapping[str, Domain]
    data: Mapping[str, Any]
    description: WorkloadDescription
    strategy: str
    search: SearchSpec
    limits: tuple[Limit, ...] = ()
    last_step: int | str | None = None
    """Where trainings end: a step, or the knob whose value it is; None where the study does not say it."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of a person's own, such as a team or a cost centre; see study.tags."""
    report: ReportTable | None = None
    """How a command reports that says it neither by JSON lines nor by MLflow."""
    engine: EngineSpec = field(default_factory=EngineSpec)

    @property
    def needed_metrics(self) -> frozenset[str]:
        """What training is to report in finite numbers: the study's quality, objectives and limits."""
        names = {self.quality.name, *self.search.objectives, *(limit.metric for limit in self.limits)}
        return frozenset(names) - {*COSTS, *BOOKED_METRICS}

    @property
    def default_settings(self) -> dict[str, SettingValue]:
        """A value for every knob of the workload that has one: the study's settings over the defaults."""
        knobs = self.description.knobs.items()
        return {name: knob.default for name, knob in knobs if knob.default is not None} | dict(self.settings)

    @property
    def fixed_settings(self) -> dict[str, SettingValue]:
        """What every trial gets: the default settings less what is searched."""
        return {name: value for name, value in self.default_settings.items() if name not in self.space}
