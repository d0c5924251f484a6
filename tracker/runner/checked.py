"""The checks of `tracker run` for whoever must not load training code itself: made in a child process.

Imports nothing heavy: what is checked by, and what it imports, stands in ``checking``.
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
    """What work on a device of this machine is billed as."""

    device: str
    sku: str
    market: str
    usd_per_hour: float  # of the whole machine
    since: str  # ISO date of the rate


@dataclass(frozen=True, slots=True)
class Bound:
    """What a study costs at most, as far as one thing bounds it: a sentence, and USD where it says how much."""

    sentence: str
    usd: float | None


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, and why torch.compile does not work on it: "" where it does, None where it was not tried."""

    hardware: Hardware
    compile_problem: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of the checks: ``problems``, a line each with its place, none where the study can be run.

    ``knobs`` are those that the study may set or search, its workload's and the machine's; empty where the workload
    cannot be loaded. The rest is known where there is no problem: ``bounds``, of what it costs; ``notes``, sentences.
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
        """The lowest of the bounds; None where nothing bounds it."""
        return min((bound.usd for bound in self.bounds if bound.usd is not None), default=None)


def warm_up() -> None:
    """Begin to start what checks are made in, without waiting for it."""
    Forkserver().warm_up()


def check(document: StudyDocument, home: str, machine: Machine | None = None) -> Checked:
    """Check a study as `tracker run` does before it spends anything: file, training code, machine, prices, name.

    ``machine`` is what an earlier check found: it is not looked at again, which takes seconds. Raises WorkFailedError
    where the training code ends the process that it is loaded in.
    """
    return Forkserver().call(_check, document, home, machine)


def _check(document: StudyDocument, home: str, machine: Machine | None) -> Checked:
    found: Checked = importlib.import_module(_CHECKS).checked(document, home, machine)
    return found
