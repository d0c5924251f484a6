"""Counters of energy that hardware has: RAPL of the CPU packages, NVML of a GPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path


def energy_counter(cores: int, accelerators: Sequence[int]) -> NvmlEnergy | RaplEnergy | None:
    """The counter of an attempt's own energy; None where there is none that counts it alone."""
    if accelerators:
        return NvmlEnergy.find(accelerators)
    # RAPL counts the whole machine: what it says is an attempt's own only where the attempt has all cores.
    return RaplEnergy.find() if cores >= (os.cpu_count() or 1) else None


class RaplEnergy:
    """Joules of the CPU packages since the start, from Intel's RAPL counters under /sys/class/powercap.

    The counters wrap, which is undone here. Source: Linux, Documentation/power/powercap.
    """

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._last = [self._read(zone) for zone in zones]
        self._sum_microjoules = 0
        self._lock = threading.Lock()  # heartbeats and checkpoints read from two threads

    @classmethod
    def find(cls, powercap: Path = Path("/sys/class/powercap")) -> RaplEnergy | None:
        """The counter of every package, or None where there is none or one of them cannot be read.

        Other zones of that level (psys, a whole laptop) have the packages in them and would count them twice.
        """
        try:
            zones = sorted(powercap.glob("intel-rapl:?"))
            packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
            return cls(packages) if packages else None
        except (OSError, ValueError):
            return None

    def joules(self) -> float:
        """Joules since the counter was found. Raises OSError, ValueError where it cannot be read."""
        with self._lock:
            for index, zone in enumerate(self._zones):
                now = self._read(zone)
                wrapped = int((zone / "max_energy_range_uj").read_text()) if now < self._last[index] else 0
                self._sum_microjoules += now - self._last[index] + wrapped
                self._last[index] = now
            return self._sum_microjoules / 1e6

    @staticmethod
    def _read(zone: Path) -> int:
        return int((zone / "energy_uj").read_text())


class NvmlEnergy:
    """Joules of some GPUs since the start, from NVML's energy counters (Volta and newer)."""

    def __init__(self, nvml: object, handles: Sequence[object]) -> None:
        self._nvml = nvml
        self._handles = handles
        self._start_millijoules = self._read()

    @classmethod
    def find(cls, accelerators: Sequence[int]) -> NvmlEnergy | None:
        """The counters of the GPUs with these indices; None where one cannot be read."""
        try:
            import pynvml

            pynvml.nvmlInit()
            return cls(pynvml, [pynvml.nvmlDeviceGetHandleByIndex(index) for index in accelerators])
        except Exception:  # noqa: BLE001 - no library, no driver, an old chip: then there is no figure
            return None

    def joules(self) -> float:
        """Joules since the counter was found. Raises what the driver does, ValueError where it was reset."""
        now = self._read()
        if now < self._start_millijoules:
            raise ValueError("the counter was reset: the driver was reloaded")
        return (now - self._start_millijoules) / 1e3

    def _read(self) -> int:
        read = self._nvml.nvmlDeviceGetTotalEnergyConsumption  # type: ignore[attr-defined]
        return sum(int(read(handle)) for handle in self._handles)
