"""Which attempt has which cores and GPUs: a ledger shared by all studies of a user on one machine.

A core or a GPU is a file that its holder has locked; the system releases it when the holder dies. The file of its
first core says how much memory it has for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from tracker.engine.node import Needs, Node
from tracker.pricing.price_point import PricePoint
from tracker.training.span import Part, Span


@dataclass(frozen=True, slots=True)
class Reservation:
    """Cores (CPU numbers), GPUs (their indices) and memory that belong to one attempt while it runs.

    They are those of ``node``, which is billed as ``price_point``; both are None for the machine of the coordinator,
    which the study's plan has the rate of. ``token`` names the reservation to the node, "" where there is none.
    ``others`` are those on further machines, of the same rate, for an attempt on several.
    """

    cores: tuple[int, ...]
    accelerators: tuple[int, ...] = ()
    node: Node | None = None
    price_point: PricePoint | None = None
    token: str = ""
    others: tuple[Reservation, ...] = ()
    memory_bytes: int = 0

    @property
    def holds(self) -> Needs:
        """What it has of its machine."""
        return Needs(len(self.cores), len(self.accelerators), memory_bytes=self.memory_bytes)

    @property
    def span(self) -> Span | None:
        """The machines of an attempt on several; None for one."""
        if not self.others or self.node is None:
            return None
        places = (self, *self.others)
        parts = (Part(each.node.node_id, each.cores, each.accelerators, each.token) for each in places if each.node)
        return Span(tuple(parts), self.node.address)


class Reservations:
    """Reserves ``cores`` (CPU numbers) and ``accelerators`` (GPU indices), each for one holder at a time.

    ``memory_bytes`` is what all holders of the machine may have for themselves together.
    """

    def __init__(self, cores: Sequence[int], accelerators: Sequence[int], memory_bytes: float = math.inf) -> None:
        self.cores = tuple(sorted(cores))
        self.accelerators = tuple(sorted(accelerators))
        self.memory_bytes = memory_bytes
        self._held: dict[str, IO[str]] = {}
        self._folder = Path(tempfile.gettempdir()) / f"tracker-reservations-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def take(self, cores: int, accelerators: int = 0, memory_bytes: int = 0) -> Reservation | None:
        """Reserve that many cores and GPUs, and memory; None where they are not all free."""
        with self._alone():
            if memory_bytes and memory_bytes > self.memory_bytes - self._taken_memory_bytes():
                return None
            reservation = self._take(cores, accelerators)
            if memory_bytes and reservation is not None:
                file = self._held[f"core-{reservation.cores[0]}"]
                file.write(str(memory_bytes))
                file.flush()
                reservation = replace(reservation, memory_bytes=memory_bytes)
            return reservation

    def _take(self, cores: int, accelerators: int) -> Reservation | None:
        taken_cores = self._lock([f"core-{number}" for number in self.cores], cores)
        gpus = self._lock([f"gpu-{number}" for number in self.accelerators], accelerators)
        if len(taken_cores) < cores or len(gpus) < accelerators:
            self._unlock([*taken_cores, *gpus])
            return None
        numbers = [int(name.rpartition("-")[2]) for name in (*taken_cores, *gpus)]
        return Reservation(tuple(numbers[:cores]), tuple(numbers[cores:]))

    def give_back(self, reservation: Reservation) -> None:
        """Free a reservation."""
        gpus = [f"gpu-{number}" for number in reservation.accelerators]
        self._unlock([*(f"core-{number}" for number in reservation.cores), *gpus])

    def give_all_back(self) -> None:
        """Free every reservation."""
        self._unlock(list(self._held))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else takes anything meanwhile: whoever looks at a core's memory has its file locked for a moment."""
        with (self._folder / "memory").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # also of a process that was forked meanwhile

    def _taken_memory_bytes(self) -> int:
        """The memory that holders have for themselves: studies of this process, and others."""
        taken = 0
        for path in self._folder.glob("core-*"):
            if path.name in self._held or _is_locked(path):
                with contextlib.suppress(ValueError):  # it has none
                    taken += int(path.read_text())
        return taken

    def _lock(self, names: Sequence[str], count: int) -> list[str]:
        """Lock up to ``count`` of these; the names of those that were free."""
        locked: list[str] = []
        for name in names:
            if len(locked) == count:
                break
            if name in self._held:
                continue
            file = (self._folder / name).open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                file.truncate(0)
                self._held[name] = file
                locked.append(name)
        return locked

    def _unlock(self, names: Sequence[str]) -> None:
        for name in names:
            self._held.pop(name).close()


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
