"""An engine whose workers are simulated by one process of its own: it writes what real ones would write.

The coordinator's side is the real one: event logs on the disk, a watching thread, signals that ask for a pause.
"""

from __future__ import annotations

import heapq
import json
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from experiments.benchmarks.simulated_workload import metrics_after, quality_of
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.local_attempt import LocalAttempt
from tracker.engine.reservations import Reservation
from tracker.engine.watcher import Watcher
from tracker.records import DataCard, PhaseSeconds, Role, TrialState, Usage
from tracker.training.request import AttemptRequest
from tracker.training.state import FILE_NAME


@dataclass(frozen=True, slots=True)
class Training:
    """What a simulated worker does: ``epochs`` of ``epoch_seconds`` each, towards ``quality``."""

    log: str
    state: str
    key: int
    start_epoch: int
    epochs: int
    epoch_seconds: float
    quality: float
    prepares: bool = False
    """Whether it prepares the data in place of training."""


class Slots:
    """As Reservations, for machines that are not here."""

    def __init__(self, count: int) -> None:
        self.cores = tuple(range(count))
        self.memory_bytes = math.inf
        self._free = list(self.cores)

    def take(self, cores: int, accelerators: int = 0, memory_bytes: int = 0) -> Reservation | None:
        """A slot of one core; None where none is free."""
        del cores, accelerators, memory_bytes
        return Reservation((self._free.pop(),)) if self._free else None

    def give_back(self, reservation: Reservation) -> None:
        """Free a slot."""
        self._free += reservation.cores

    def give_all_back(self) -> None:
        """Free every slot."""
        self._free = list(self.cores)


class SimulatedProcess:
    """What an Attempt needs of a process."""

    pid = None
    is_orphan = False

    def __init__(self) -> None:
        self.sentinel, self._end = os.pipe()
        self.exitcode: int | None = None

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.exitcode is None

    def end(self) -> None:
        """It has ended, as whoever waits for its sentinel sees."""
        self.exitcode = 0
        os.close(self._end)

    def exit_code(self) -> int | None:
        """Nothing to wait for."""
        os.close(self.sentinel)
        return self.exitcode

    def kill(self) -> None:
        """It ends when its simulation does."""


class SimulatedAttempt(LocalAttempt):
    """An attempt that a message asks to pause, in place of a signal."""

    def __init__(self, request: AttemptRequest, reservation: Reservation, key: int, messages: Connection) -> None:
        super().__init__(request, reservation, Forkserver(), cast(Any, SimulatedProcess()))
        self._key, self._messages = key, messages

    def stop(self, reason: str, *, pause: bool = False) -> None:
        """Ask it to end."""
        del pause
        if self._stop_deadline is None:
            self._stop_deadline = time.monotonic() + 60
            self._messages.send((self._key, reason))

    def pause_at_save(self) -> None:
        """Ask it to pause."""
        self._messages.send((self._key, "paused"))


class TimedWatcher(Watcher):
    """Notes the longest time in which no attempt was looked at."""

    longest_gap_seconds = 0.0
    _looked = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._looked = time.monotonic()
        super().start()

    def look(self) -> None:
        """Look at every attempt once."""
        now = time.monotonic()
        self.longest_gap_seconds = max(self.longest_gap_seconds, now - self._looked)
        super().look()
        self._looked = now


class SimulatedEngine(LocalEngine):
    """``slots`` workers at once."""

    def __init__(self, slots: int, epochs: int, epoch_seconds: float) -> None:
        super().__init__(Forkserver(), cast(Any, Slots(slots)), slots)
        self._watcher: TimedWatcher = TimedWatcher(self._seen)
        self.most_running = 0
        self._epochs, self._epoch_seconds = epochs, epoch_seconds
        self._keys: dict[int, SimulatedAttempt] = {}
        self._next = 0
        context = multiprocessing.get_context("spawn")
        self._messages, theirs = context.Pipe()
        context.Process(target=simulate, args=(theirs,), daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _launch(self, request: AttemptRequest, reservation: Reservation) -> LocalAttempt:
        self._next += 1
        attempt = SimulatedAttempt(request, reservation, self._next, self._messages)
        self._keys[self._next] = attempt
        width, quality = float(request.settings.get("width", 16)), quality_of(request.settings)
        state = request.folder / FILE_NAME
        start = int(state.read_text()) if state.exists() else 0
        seconds = self._epoch_seconds * (0.5 + width / 64)
        prepares, log = request.role is Role.PREPARATION, str(request.log_path)
        self._messages.send(Training(log, str(state), self._next, start, self._epochs, seconds, quality, prepares))
        self.most_running = max(self.most_running, len(self.running) + 1)
        return attempt

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time in which no attempt was looked at."""
        return self._watcher.longest_gap_seconds

    def _listen(self) -> None:
        while True:
            try:
                key = self._messages.recv()
            except (EOFError, OSError):
                return
            cast(SimulatedProcess, self._keys.pop(key).process).end()


def simulate(messages: Connection) -> None:
    """Write the events of many trainings at their times; the life of the simulating process."""
    due: list[tuple[float, int, Iterator[float]]] = []
    asked: dict[int, str] = {}
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else 1.0
        if messages.poll(wait):
            try:
                message = messages.recv()
            except EOFError:
                return
            if isinstance(message, Training):
                heapq.heappush(due, (time.monotonic(), message.key, _train(message, asked)))
            else:
                asked[message[0]] = message[1]
        while due and due[0][0] <= time.monotonic():
            at, key, training = heapq.heappop(due)
            seconds = next(training, None)
            if seconds is None:
                messages.send(key)
            else:
                heapq.heappush(due, (at + seconds, key, training))


def _train(training: Training, asked: dict[int, str]) -> Iterator[float]:
    """Yields the seconds until its next event."""
    begin, path = time.time(), Path(training.log)

    def write(event: str, **fields: Any) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")

    def usage() -> dict[str, Any]:
        seconds = time.time() - begin
        return asdict(Usage(seconds, seconds, 1, startup_seconds=0.02))

    write("started", pid=0)
    if training.start_epoch:
        write("restored", epoch=training.start_epoch)
    write("ready", startup_seconds=0.02)
    if training.prepares:
        write("data", card=asdict(DataCard("simulated", "simulated", {"train": 1000, "validation": 100})))
    state, reason, epoch = TrialState.COMPLETED, "", training.epochs if training.prepares else training.start_epoch
    while epoch < training.epochs:
        yield training.epoch_seconds
        epoch += 1
        metrics = metrics_after(epoch, training.quality)
        write("checkpoint", epoch=epoch, metrics=metrics, usage=usage(), evaluation_seconds=0.0)
        Path(training.state).write_text(str(epoch))
        write("saved", epoch=epoch)
        if training.key in asked and epoch < training.epochs:
            state, reason = TrialState.PAUSED, asked.pop(training.key)
            break
    else:
        Path(training.state).unlink(missing_ok=True)
    phases = asdict(PhaseSeconds(0.02, time.time() - begin, 0.0))
    write("ended", state=state, reason=reason, message="", usage=usage(), phases=phases, summary={})
