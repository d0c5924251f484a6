"""The basic records: settings, usage, checkpoints, attempts, prices. Units are in the names.

Everything here is a frozen value without behaviour beyond simple derivations, so that any layer may
hold it and any process may send it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

SettingValue = bool | int | float | str
Settings = Mapping[str, SettingValue]
"""One choice of hyperparameters, precision and hardware together, by knob name."""


class TrialState(StrEnum):
    """The state of a trial. The last four are final for its current attempt."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"  # ended early on purpose: the budget, a person, the search
    FAILED = "failed"  # the training raised an error
    KILLED = "killed"  # the process vanished: a signal, out of memory, a power cut


class Role(StrEnum):
    """The role of a run in its study."""

    TRIAL = "trial"
    BASELINE = "baseline"  # a cheap reference
    PREPARATION = "preparation"  # of the data, once
    REPEAT = "repeat"  # of a trial that is on the frontier, with another seed

    @property
    def trains_settings(self) -> bool:
        """Whether it trains a choice of settings, as the workload's own training code does."""
        return self in (Role.TRIAL, Role.REPEAT)


class Direction(StrEnum):
    """Which way a quality metric gets better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class Market(StrEnum):
    """How a machine is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    ON_PREM = "on_prem"


class CostPart(StrEnum):
    """The four cost parts of a price; each is shown separately."""

    DATA = "data"  # acquired, cleaned, labelled
    COMPUTE = "compute"  # device time; the electricity of own hardware
    STORAGE = "storage"  # of data, checkpoints and models
    MAINTENANCE = "maintenance"  # upkeep and upgrades


class PriceBasis(StrEnum):
    """What a price was worked out from; sums of different bases are never made without saying so."""

    BILLED = "billed"  # the usage that was metered, at the rate that was counted
    ESTIMATED = "estimated"  # from the timestamps of a run that was imported
    REPRICED = "repriced"  # a metered usage at other rates
    REPRICED_ESTIMATE = "repriced estimate"  # an estimated usage at other rates
    PREDICTED = "predicted"  # a usage on hardware where nothing was measured; never a run's own

    @property
    def repriced(self) -> PriceBasis:
        """That of the same usage at other rates."""
        return PriceBasis.REPRICED if self in (PriceBasis.BILLED, PriceBasis.REPRICED) else PriceBasis.REPRICED_ESTIMATE


STEADY_USAGE = (
    *("peak_memory_bytes", "startup_seconds"),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
)
"""The usage that prices depend on beside wall time; it is logged where it has changed."""

BOOKED_METRICS = (
    *("price_usd", "wall_seconds", "energy_joules", "billed_seconds", "machine_share"),
    *(f"{part}_usd" for part in CostPart),
    *STEADY_USAGE,
    *("cpu_seconds", "waiting_seconds", "peak_accelerator_memory_bytes"),
    *("train_seconds", "evaluation_seconds", "data_seconds", "saving_seconds"),
)
"""The metrics that the tracker itself measures and prices; training code reports none of these names."""


class EnergySource(StrEnum):
    """Where a figure in joules comes from; figures of different sources are never mixed silently."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """The study's measure of quality: a metric that every checkpoint reports, and its direction."""

    name: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt has used since it was requested: facts, never prices.

    ``cores`` and ``accelerators`` are what was reserved for the attempt, used or not.
    ``waiting_seconds`` is the time that the attempt's threads were ready to run but had no core,
    summed over threads (Linux run-queue delay); None where the system does not report it. ``startup_seconds``
    are those of the wall time before the training began, with what was evaluated, read and saved by then.

    ``acquired_samples`` and ``acquired_bytes`` are the data that the attempt brought in: those of the study's
    preparation, 0 for everything that trains on them. ``stored_bytes`` is what lay on disk for the attempt while
    it ran, ``kept_bytes`` the part of it that it made and left there.
    """

    wall_seconds: float
    cpu_seconds: float
    cores: int
    accelerators: int = 0
    peak_memory_bytes: int = 0
    peak_accelerator_memory_bytes: int = 0
    waiting_seconds: float | None = None
    energy_joules: float | None = None
    energy_source: EnergySource = EnergySource.UNAVAILABLE
    startup_seconds: float = 0.0
    acquired_samples: int = 0
    acquired_bytes: int = 0
    stored_bytes: int = 0
    kept_bytes: int = 0


def added(earlier: Usage, later: Usage) -> Usage:
    """What two attempts at one trial used, one after the other.

    Times, energy and what was acquired add up; of memory and disk the larger counts. What is unknown of one is
    unknown of both, and energy is as good as the less good source of the two.
    """
    known = earlier.energy_joules is not None and later.energy_joules is not None
    measured = earlier.energy_source is later.energy_source is EnergySource.MEASURED
    waited = (earlier.waiting_seconds, later.waiting_seconds)
    return replace(
        later,
        wall_seconds=earlier.wall_seconds + later.wall_seconds,
        cpu_seconds=earlier.cpu_seconds + later.cpu_seconds,
        startup_seconds=earlier.startup_seconds + later.startup_seconds,
        waiting_seconds=None if None in waited else sum(seconds or 0.0 for seconds in waited),
        energy_joules=(earlier.energy_joules or 0.0) + (later.energy_joules or 0.0) if known else None,
        energy_source=(
            (EnergySource.MEASURED if measured else EnergySource.ESTIMATED) if known else EnergySource.UNAVAILABLE
        ),
        acquired_samples=earlier.acquired_samples + later.acquired_samples,
        acquired_bytes=earlier.acquired_bytes + later.acquired_bytes,
        peak_memory_bytes=max(earlier.peak_memory_bytes, later.peak_memory_bytes),
        peak_accelerator_memory_bytes=max(earlier.peak_accelerator_memory_bytes, later.peak_accelerator_memory_bytes),
        stored_bytes=max(earlier.stored_bytes, later.stored_bytes),
        kept_bytes=max(earlier.kept_bytes, later.kept_bytes),
    )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint of a run: its metrics, and the usage of its attempt up to then."""

    epoch: int
    metrics: Mapping[str, float]
    usage: Usage
    timestamp: float  # seconds since 1970, when it was reached
    evaluation_seconds: float = 0.0  # of its attempt up to then


@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """How an attempt's wall time divides; the phases add up to it.

    Starting (process, imports, data), training, evaluating, waiting for training data, writing states and files. What
    the training code does not keep apart is training: its seconds are no less than those that the device took. Unlike
    in Usage, what is evaluated, read or saved before the training begins is no start-up.
    """

    startup_seconds: float = 0.0
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    data_seconds: float = 0.0
    saving_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One process that worked on a trial, from its event log."""

    number: int
    state: TrialState
    started_at: float  # seconds since 1970, when it was asked for
    usage: Usage
    checkpoints: tuple[Checkpoint, ...] = ()
    phases: PhaseSeconds = PhaseSeconds()
    summary: Mapping[str, float] = field(default_factory=dict)  # test_accuracy, parameters, flops, …
    reason: str = ""  # one word for a state other than completed
    message: str = ""  # that reason in a sentence
    ended_at: float | None = None
    saved_epoch: int | None = None  # after which a state was saved last
    kept_epoch: int | None = None  # where its machine was lost: the epoch of the state that is left, 0 for none
    notes: tuple[str, ...] = ()  # sentences for the person who runs the study


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a usage by part, with everything needed to audit it."""

    data_usd: float
    compute_usd: float
    storage_usd: float
    maintenance_usd: float
    sku: str
    region: str
    market: Market
    usd_per_hour: float  # the whole machine's rate
    share: float  # the share of the machine that was billed: its dominant share
    billed_seconds: float
    source: str
    effective_from: str  # ISO date of the rate

    @property
    def usd(self) -> float:
        """The whole price: the sum of its parts."""
        return self.data_usd + self.compute_usd + self.storage_usd + self.maintenance_usd


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a workload's data is: recorded by fingerprint, size and schema only.

    ``size_bytes`` is what the prepared data take on disk; 0 where unknown.
    """

    name: str
    fingerprint: str
    rows: Mapping[str, int]  # by split
    classes: int = 0
    description: str = ""
    size_bytes: int = 0

    @property
    def words(self) -> str:
        """The data in a line; "" for a workload without a description."""
        rows = ", ".join(f"{count:,} {split}" for split, count in self.rows.items())
        about = " ".join((self.description or self.name).split())
        return "; ".join(filter(None, [about, rows and f"rows: {rows}"]))


TRIAL_MEMORY_SHARE = 0.9
"""The share of a machine's memory that trials may take: the rest is for the system, and for what looks after them."""


def trial_memory_bytes(memory_bytes: int) -> int:
    """The memory that trials may take of a machine that has so much."""
    return math.ceil(TRIAL_MEMORY_SHARE * memory_bytes)


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine and its capabilities. ``precisions`` maps a device to those that were tried successfully."""

    system: str
    cpu_model: str
    architecture: str  # x86_64 or arm64
    cores: int  # logical CPUs that this process may use
    memory_bytes: int
    accelerator: str = ""  # the name in the price book: H100, A100-80GB, …; "" without one
    accelerator_count: int = 0
    accelerator_memory_bytes: int = 0
    torch_version: str = ""
    precisions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that training can use here, the CPU always among them."""
        return ("cpu", "cuda") if self.accelerator_count else ("cpu",)

    @property
    def trial_memory_bytes(self) -> int:
        """The memory that trials may take here."""
        return trial_memory_bytes(self.memory_bytes)

    @property
    def label(self) -> str:
        """The machine in a few words, as runs are tagged with it."""
        gpu = f" + {self.accelerator_count} × {self.accelerator}" if self.accelerator_count else ""
        return f"{self.cpu_model}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB{gpu}"


_NOTABLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Behind:
    """How far MLflow is behind: how many values it lacks, and for how many seconds the oldest of them has waited."""

    entries: int
    seconds: float

    @property
    def is_notable(self) -> bool:
        """Whether it is further behind than it always is for a moment."""
        return self.seconds >= _NOTABLE_SECONDS
