"""Measuring what an attempt uses: wall time, CPU time, memory, energy.

Wall time runs from the moment that the coordinator asked for the attempt, so that starting a process,
importing and loading data are all paid for. Every probe is read only at checkpoints and heartbeats.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tracker.pricing.energy import energy_of
from tracker.records import DataCard, EnergySource, PhaseSeconds, Usage
from tracker.training.descendants import Descendants, run_queue_seconds
from tracker.training.energy_counters import energy_counter
from tracker.training.phase_clock import PhaseClock


@dataclass(frozen=True, slots=True)
class Moment:
    """What an attempt had used at a moment, ``timestamp`` in seconds since 1970."""

    timestamp: float
    usage: Usage
    evaluation_seconds: float


class Meter:
    """Measures this process, and those below it, from ``asked_steady`` (a reading of time.monotonic) on.

    All processes of a machine share that clock. It is never set, and stands still while the machine is suspended.
    ``accelerators`` are the indices of the GPUs in use, none for the CPU alone; ``data_bytes`` what the data that it
    reads take on disk, ``kept_files`` the folder of the files that it makes and leaves. ``cpu_model`` and
    ``accelerator_model`` are what energy is estimated by where no counter can be read (pricing.energy).

    An attempt on several ``machines`` is measured on the first alone. Each has as many of its cores, GPUs and
    processes, which train equal shares of every batch, so CPU time, waiting, memory and the data on disk are taken to
    be as much on each: usage has what the first one used, times ``machines``. Energy is estimated then, never measured.
    """

    def __init__(
        self,
        *,
        asked_steady: float,
        cores: int,
        accelerators: Sequence[int] = (),
        data_bytes: int = 0,
        kept_files: Path | None = None,
        cpu_model: str = "",
        accelerator_model: str = "",
        machines: int = 1,
    ) -> None:
        self._asked_steady = asked_steady
        self.clock = PhaseClock(self.wall_seconds, on_gpu=bool(accelerators))
        """Divides the wall time."""
        self._cores = cores
        self._accelerators = tuple(accelerators)
        self._machines = machines
        self._energy = energy_counter(cores, accelerators) if machines == 1 else None
        self._descendants = Descendants()
        self._most_memory_below_bytes = 0
        # What this process did before is not the attempt's: a child may have imported a lot by then.
        self._cpu_seconds_before = self._cpu_seconds = _cpu_seconds() + self._descendants.look().cpu_seconds
        self._waiting_seconds_before = run_queue_seconds() or 0.0
        self._data_bytes = data_bytes
        self._kept_files = kept_files
        self._acquired: DataCard | None = None
        self._last_wall_seconds = 0.0  # of the latest moment that was asked for
        self._looked_at: Moment | None = None  # for moments before it
        self._ended: tuple[Usage, PhaseSeconds] | None = None
        self._ended_at = 0.0
        self._estimate = partial(energy_of, cpu_model=cpu_model, accelerator=accelerator_model)

    def wall_seconds(self) -> float:
        """Seconds since the attempt was requested."""
        return max(0.0, time.monotonic() - self._asked_steady)

    def acquired(self, card: DataCard) -> None:
        """Record the data that the attempt has prepared: they count as acquired and kept."""
        self._acquired = card

    def phases(self) -> PhaseSeconds:
        """How the wall time so far divides."""
        return self.clock.phases() if self._ended is None else self._ended[1]

    def usage(self) -> Usage:
        """What this process, its threads and the processes below it have used since the meter was made.

        Memory is the most that one process ever had, or that those below this one had together at any look.
        """
        if self._ended is not None:
            return self._ended[0]
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        # In this order, what ends in between is missed and not counted twice; the next look has it.
        counted_seconds, living, waiting = _cpu_seconds(), self._descendants.look(), run_queue_seconds()
        self._most_memory_below_bytes = max(self._most_memory_below_bytes, living.memory_bytes)
        # What is below a child that ended without waiting for it is lost to the system's count.
        self._cpu_seconds = max(self._cpu_seconds, counted_seconds + living.cpu_seconds)
        if waiting is not None:
            waiting += self._descendants.waiting_seconds
        joules, machines = self._joules(), self._machines
        memory_bytes = max(own.ru_maxrss * 1024, children.ru_maxrss * 1024, self._most_memory_below_bytes)
        wall_seconds, card = self.wall_seconds(), self._acquired
        kept_bytes = bytes_below(self._kept_files) + (card.size_bytes if card else 0)
        usage = Usage(
            wall_seconds=wall_seconds,
            cpu_seconds=(self._cpu_seconds - self._cpu_seconds_before) * machines,
            cores=self._cores * machines,
            accelerators=len(self._accelerators) * machines,
            peak_memory_bytes=memory_bytes * machines,
            peak_accelerator_memory_bytes=_peak_accelerator_memory_bytes(self._accelerators),
            waiting_seconds=None if waiting is None else max(0.0, waiting - self._waiting_seconds_before) * machines,
            energy_joules=joules,
            energy_source=EnergySource.UNAVAILABLE if joules is None else EnergySource.MEASURED,
            startup_seconds=self.clock.startup_seconds if self.clock.is_ready else wall_seconds,
            acquired_samples=sum(card.rows.values()) if card else 0,
            acquired_bytes=card.size_bytes if card else 0,
            stored_bytes=self._data_bytes * machines + kept_bytes,
            kept_bytes=kept_bytes,
        )
        energy = self._estimate(usage)  # keeps what was measured
        return replace(usage, energy_joules=energy.joules, energy_source=energy.source)

    def end(self) -> None:
        """Stop measuring: usage and phases stay as they are from now on."""
        self._ended, self._ended_at, self._looked_at = (self.usage(), self.phases()), time.time(), None

    def moment(self, at: float | None = None) -> Moment:
        """What was used until now; with ``at``, seconds since 1970, until then: not before the last such moment.

        Of a moment before now only the wall time is known: the rest is as it was at a look since then.
        """
        if at is None:
            usage, self._looked_at = self.usage(), None
            self._last_wall_seconds = usage.wall_seconds
            return Moment(time.time(), usage, self.phases().evaluation_seconds)
        if self._looked_at is None or at > self._looked_at.timestamp:
            now = self._ended_at if self._ended is not None else time.time()
            self._looked_at = Moment(now, self.usage(), self.phases().evaluation_seconds)
        look = self._looked_at
        wall_seconds = look.usage.wall_seconds - max(0.0, look.timestamp - at)
        self._last_wall_seconds = min(look.usage.wall_seconds, max(self._last_wall_seconds, wall_seconds))
        usage = replace(look.usage, wall_seconds=self._last_wall_seconds)
        before_seconds = look.usage.wall_seconds - usage.wall_seconds
        return Moment(look.timestamp - before_seconds, usage, look.evaluation_seconds)

    def _joules(self) -> float | None:
        """Joules since the meter was made; None without a counter, and for good once a reading of it failed.

        A counter may wrap or be reset while it cannot be read; its later readings may then be too low.
        """
        if (counter := self._energy) is None:
            return None
        try:
            return counter.joules()
        except Exception:  # noqa: BLE001 - a driver fails in any way, and no figure is worth a training
            self._energy = None
            return None


def bytes_below(folder: Path | None) -> int:
    """The size of all files in a folder, which may not be there yet."""
    if folder is None:
        return 0
    sizes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # deleted meanwhile
                sizes += (Path(parent) / name).stat().st_size
    return sizes


def _cpu_seconds() -> float:
    """CPU seconds of this process, its threads and its finished children, since the process began."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _peak_accelerator_memory_bytes(accelerators: Sequence[int]) -> int:
    """The peak of this process on its own GPU; with several processes, each has about as much."""
    if not accelerators:
        return 0
    import torch  # the meter of a CPU run must not touch CUDA

    return int(torch.cuda.max_memory_allocated())
