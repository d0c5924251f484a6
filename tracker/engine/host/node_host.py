"""The host of a machine of a cluster, which also says what the machine is."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from tracker.engine.forkserver import Forkserver
from tracker.engine.host.cloud import Sold, sold_as
from tracker.engine.host.host import Host
from tracker.records import Hardware


@dataclass(frozen=True, slots=True)
class Hello:
    """What a machine is, its clock, in seconds since 1970, and how its cloud sells it, None where none says so."""

    hardware: Hardware
    time: float
    sold: Sold | None = None


class NodeHost(Host):
    """A host with everything that its machine has."""

    def __init__(self) -> None:
        super().__init__()
        self._hardware: Hardware | None = None
        self._sold: Sold | None = None
        self._looking = threading.Lock()

    def hello(self) -> Hello:
        """What the machine is; the first time this takes as long as importing torch."""
        with self._looking:
            if self._hardware is None:
                self._hardware, self._sold = Forkserver().call(_hardware), sold_as()
        return Hello(self._hardware, time.time(), self._sold)


def _hardware() -> Hardware:
    """Only the child imports torch."""
    from tracker.training.hardware import describe_hardware

    return describe_hardware()
