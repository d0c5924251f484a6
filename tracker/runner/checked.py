"""The checks of `tracker run` for callers that must not load training code: they run in a child process.

Imports nothing heavy: the checks themselves, and their imports, are in ``checking``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tracker.engine.forkserver import Forkserver
from tracker.records import Hardware
from tracker.study.document import StudyDocument
from tracker.study.knobs import Knob

_CHECKS = "tracker.runner.checking"


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate at which work on a device of this machine is billed."""

    device: str
    sku: str
    market: str
    usd_per_hour: float  # of the whole machine
    since: str  # ISO date of the rate


@dataclass(frozen=True, slots=True)
class Bound:
    """An upper bound of a study's cost: a sentence, and USD where it is a figure."""

    sentence: str
    usd: float | None


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, and why torch.compile fails on it: "" where it works, None where it was not tried."""

    hardware: Hardware
    compile_problem: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of the checks: ``problems``, one line each with its place; empty where the study can run.

    ``knobs`` are those of the workload and of the machine, which the study may set or search; empty where the workload
    cannot be loaded. The rest is filled where there is no problem: ``bounds`` of the cost, and ``notes``, sentences.
    """

    problems: tuple[str, ...] = ()
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    machine: Machine | None = None
    rates: tuple[Rate, ...] = ()
    notes: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()

    @property
    def most_usd(self) -> float | None:
        """The lowest of the bounds in USD; None without one."""
        return min((bound.usd for bound in self.bounds if bound.usd is not None), default=None)


def warm_up() -> None:
    """Start the process that checks run in, without waiting for it."""
    Forkserver().warm_up()


def check(document: StudyDocument, home: str, machine: Machine | None = None) -> Checked:
    """Check a study as `tracker run` does before it spends anything: file, training code, machine, prices, name.

    ``machine`` is the result of an earlier check; it saves inspecting the machine again, which takes seconds. Raises
    WorkFailedError where the training code ends the process that it is loaded in.
    """
    return Forkserver().call(_check, document, home, machine)


def _check(document: StudyDocument, home: str, machine: Machine | None) -> Checked:
    found: Checked = importlib.import_module(_CHECKS).checked(document, home, machine)
    return found
