"""What a machine's coordinators have reserved of it and not used yet: each for a while, under a name of its own."""

from __future__ import annotations

import threading
import time

from tracker.engine.reservations import Reservation, Reservations
from tracker.errors import WorkFailedError


class Seats:
    """Reserves cores and GPUs of ``ledger``; safe from several threads."""

    def __init__(self, ledger: Reservations) -> None:
        self._ledger = ledger
        self._held: dict[str, tuple[Reservation, float]] = {}
        self._lock = threading.Lock()

    def take(
        self, token: str, cores: int, accelerators: int, hold_seconds: float, memory_bytes: int = 0
    ) -> Reservation | None:
        """Reserve cores, GPUs and memory for so long; None where they are not free.

        Raises WorkFailedError where the machine has fewer.
        """
        ledger = self._ledger
        if cores > len(ledger.cores) or accelerators > len(ledger.accelerators):
            has = f"{len(ledger.cores)} cores and {len(ledger.accelerators)} GPUs"
            raise WorkFailedError(f"{cores} cores and {accelerators} GPUs were asked of a machine that has {has}")
        if memory_bytes > ledger.memory_bytes:
            has = f"its trials may take {ledger.memory_bytes / 2**30:.1f}"
            raise WorkFailedError(f"{memory_bytes / 2**30:.1f} GB of memory were asked of a machine, and {has}")
        with self._lock:
            if token not in self._held:
                reservation = ledger.take(cores, accelerators, memory_bytes)
                if reservation is None:
                    return None
                self._held[token] = reservation, time.monotonic() + hold_seconds
            return self._held[token][0]

    def use(self, token: str, cores: int, accelerators: int, memory_bytes: int) -> Reservation:
        """What was reserved, for as long as its user has it; as much again where it was held for too long.

        Raises WorkFailedError where that is another's by now.
        """
        with self._lock:
            held = self._held.pop(token, None)
            reservation = held[0] if held else self._ledger.take(cores, accelerators, memory_bytes)
        if reservation is None:
            raise WorkFailedError("its cores were given to another: it came too late")
        return reservation

    def give_back(self, token: str) -> None:
        """Free what was reserved and is not used."""
        with self._lock:
            if token in self._held:
                self._ledger.give_back(self._held.pop(token)[0])

    def free(self, reservation: Reservation) -> None:
        """Free what was used."""
        with self._lock:
            self._ledger.give_back(reservation)

    def expire(self) -> None:
        """Free what was held for too long."""
        now = time.monotonic()
        for token in [token for token, (_, until) in list(self._held.items()) if until < now]:
            self.give_back(token)

    def close(self) -> None:
        """Free everything."""
        with self._lock:
            self._held.clear()
            self._ledger.give_all_back()
