"""The host of a whole machine: it takes all its cores and GPUs, and says what the machine is."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tracker.engine.forkserver import Forkserver
from tracker.engine.host import Host
from tracker.engine.messages import Key
from tracker.records import Hardware


@dataclass(frozen=True, slots=True)
class Hello:
    """What a machine is; its clock, in seconds since 1970; the cores and GPUs of each attempt that runs there."""

    hardware: Hardware
    time: float
    running: tuple[tuple[Key, int, int], ...]


class NodeHost(Host):
    """A host with everything that its machine has."""

    def __init__(self) -> None:
        self._hardware = Forkserver().call(_hardware)
        super().__init__(accelerators=range(self._hardware.accelerator_count))

    def hello(self) -> Hello:
        """What the machine is, and what runs there."""
        running = [
            (each.key, len(each.request.cores), len(each.request.accelerators))
            for each in list(self._attempts.values())
            if not each.ended
        ]
        return Hello(self._hardware, time.time(), tuple(running))


def _hardware() -> Hardware:
    """Only the child imports torch."""
    from tracker.training.hardware import describe_hardware

    return describe_hardware()
