"""The parts that this machine has of attempts whose worker is on another one: an assistant each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tracker.engine.cluster.messages import Key, Running
from tracker.engine.forkserver import Forkserver
from tracker.engine.host.seats import Seats
from tracker.engine.reservations import Reservation
from tracker.engine.worker_process import WorkerProcess
from tracker.training.request import AttemptRequest
from tracker.training.state import discard_state


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant of an attempt, on what was reserved for it."""

    key: Key
    request: AttemptRequest
    reservation: Reservation
    process: WorkerProcess
    forkserver: Forkserver
    began: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        """End it, and delete its files: the attempt's own are on its first machine."""
        self.process.kill()
        self.process.exit_code()
        self.forkserver.kill_strays()
        self.request.output_path.unlink(missing_ok=True)
        discard_state(self.request.folder)


class Assistants:
    """The assistants of a machine, whose places are of ``seats``; safe from several threads."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._assistants: dict[Key, Assistant] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: Key) -> bool:
        return key in self._assistants

    def start(self, key: Key, request: AttemptRequest, reservation: Reservation) -> None:
        """Start an assistant for a request as this machine has it."""
        forkserver = Forkserver(request.workload)
        process = WorkerProcess(forkserver.start(_assist, request), forkserver.pid)
        with self._lock:
            self._assistants[key] = Assistant(key, request, reservation, process, forkserver)

    def living(self, study: str) -> tuple[Key, ...]:
        """The attempts of a study that have one here which has not ended."""
        return tuple(each.key for each in self._all() if each.key.study == study and each.process.is_alive())

    def running(self) -> tuple[Running, ...]:
        """All of them, of any study."""
        now = time.monotonic()
        return tuple(
            Running(each.key, len(each.reservation.cores), len(each.reservation.accelerators), now - each.began)
            for each in self._all()
        )

    def earlier(self, key: Key) -> tuple[Key, ...]:
        """Other attempts at the same trial that have one here."""
        mine = [each.key for each in self._all() if (each.key.study, each.key.folder) == (key.study, key.folder)]
        return tuple(each for each in mine if each != key)

    def ended(self) -> tuple[Key, ...]:
        """The attempts whose assistant has ended by itself, and is still to be dismissed."""
        return tuple(each.key for each in self._all() if not each.process.is_alive())

    def dismiss(self, key: Key) -> None:
        """End the assistant of an attempt, if there is one, and free its place."""
        with self._lock:
            if (assistant := self._assistants.get(key)) is not None:
                assistant.end()
                self._seats.free(assistant.reservation)
                del self._assistants[key]

    def dismiss_all(self) -> None:
        """End all of them."""
        for each in self._all():
            self.dismiss(each.key)

    def _all(self) -> list[Assistant]:
        return list(self._assistants.values())


def _assist(request: AttemptRequest) -> None:
    """The whole life of an assistant. Only its process imports what it trains with."""
    from tracker.training import assistant

    assistant.assist(request)
