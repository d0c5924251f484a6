"""What runs on every machine of a fleet: forkserver, reservations, attempts, and what their coordinators know of them.

Every method may be called again with the same arguments and does nothing more then: questions and answers get lost.
Methods are called by several threads at once.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tracker.engine.accelerators import visible_accelerators
from tracker.engine.cluster.messages import Found, Key, News, Running, Wish
from tracker.engine.cluster.parcels import File
from tracker.engine.forkserver import Forkserver
from tracker.engine.host.assistants import Assistants
from tracker.engine.host.files import HostFiles
from tracker.engine.host.hosted import HostedAttempt
from tracker.engine.host.seats import Seats
from tracker.engine.local_attempt import LocalAttempt, launch
from tracker.engine.reservations import Reservation, Reservations
from tracker.engine.watcher import Watcher
from tracker.errors import WorkFailedError
from tracker.records import trial_memory_bytes
from tracker.training.cgroup import machine_memory_bytes
from tracker.training.request import AttemptRequest
from tracker.training.state import discard_state

ORPHAN_SECONDS = 600.0
"""How long attempts train on after their coordinator's lease has run out, before they pause at their next save."""
_HOUSE_SECONDS = 1.0


class Host(HostFiles):
    """The attempts of one machine, below ``folder``; ``cores``, ``accelerators`` and ``memory_bytes`` they may have.

    None for a temporary folder, and for the cores and GPUs that this process may use, and its share of the memory.
    """

    def __init__(
        self,
        folder: Path | None = None,
        cores: Sequence[int] | None = None,
        accelerators: Sequence[int] | None = None,
        orphan_seconds: float = ORPHAN_SECONDS,
        memory_bytes: int | None = None,
    ) -> None:
        super().__init__(folder or Path(tempfile.mkdtemp(prefix="tracker-host-")))
        usable = sorted(os.sched_getaffinity(0)) if cores is None else cores
        gpus = range(visible_accelerators()) if accelerators is None else accelerators
        memory = trial_memory_bytes(machine_memory_bytes()) if memory_bytes is None else memory_bytes
        self._seats = Seats(Reservations(usable, gpus, memory))
        self._assistants = Assistants(self._seats)
        self._hosted: dict[LocalAttempt, HostedAttempt] = {}
        self._starting = threading.Lock()
        self._last: dict[tuple[str, str], int] = {}
        """The number of the last attempt at each trial that may not start any more."""
        self._leases: dict[str, float] = {}
        self._orphan_seconds = orphan_seconds
        self._changed = threading.Condition()
        self._watcher = Watcher(self._seen)
        self._watcher.start()
        self._closed = threading.Event()
        threading.Thread(target=self._keep_house, name="host", daemon=True).start()

    def take(
        self, token: str, cores: int, accelerators: int, hold_seconds: float, memory_bytes: int = 0
    ) -> Reservation | None:
        """Reserve cores, GPUs and memory under a name, for so long unless an attempt starts on them.

        None where they are not free. Raises WorkFailedError where the machine has less.
        """
        return self._seats.take(token, cores, accelerators, hold_seconds, memory_bytes)

    def give_back(self, token: str) -> None:
        """Free what was reserved under a name."""
        self._seats.give_back(token)

    def start(self, key: Key, request: AttemptRequest, head: bytes, token: str, resumes: bool) -> None:
        """Start an attempt whose event log begins with ``head``, on what was reserved under ``token``.

        Where it ``resumes``, the state is here. It is billed from now on. Raises WorkFailedError where its cores are
        another's by now, or the disk takes no log.
        """
        with self._starting:
            if key in self._attempts or self._is_over(key):
                return
            reservation = self._used(token, request)
            try:
                local = self._launched(key, request, head, reservation, resumes)
            except OSError as error:
                self._seats.free(reservation)
                raise WorkFailedError(f"its log cannot be written on its machine: {error.strerror or error}") from None
            with self._changed:
                self._attempts[key] = self._hosted[local] = HostedAttempt(key, request, local)
                self._leases.setdefault(key.study, time.monotonic())
        self._watcher.add(local)
        if self._is_over(key):  # it was fenced meanwhile
            local.process.kill()

    def assist(self, key: Key, request: AttemptRequest, token: str, resumes: bool) -> None:
        """Run this machine's part of an attempt whose worker is on another, on what was reserved under ``token``.

        ``request`` is the part's; it and the arguments are otherwise as for ``start``, whose errors it raises.
        """
        with self._starting:
            if key in self._assistants or self._is_over(key):
                return
            reservation = self._used(token, request)
            try:
                self._assistants.start(key, self._here(key, request, reservation, resumes), reservation)
            except OSError as error:
                self._seats.free(reservation)
                raise WorkFailedError(f"its part cannot start on its machine: {error.strerror or error}") from None
            with self._changed:
                self._leases.setdefault(key.study, time.monotonic())
        if self._is_over(key):
            self._assistants.dismiss(key)

    def _used(self, token: str, request: AttemptRequest) -> Reservation:
        return self._seats.use(token, len(request.cores), len(request.accelerators), request.memory_bytes)

    def _launched(
        self, key: Key, request: AttemptRequest, head: bytes, reservation: Reservation, resumes: bool
    ) -> LocalAttempt:
        here = self._here(key, request, reservation, resumes)
        here.log_path.write_bytes(head)
        return launch(Forkserver(request.workload), here, reservation)

    def _here(self, key: Key, request: AttemptRequest, reservation: Reservation, resumes: bool) -> AttemptRequest:
        """A request as this machine carries it out."""
        folder = self._place(key)
        folder.mkdir(parents=True, exist_ok=True)
        if not resumes:
            discard_state(folder)
        cache = request.cache if request.cache.is_dir() else self._folder / "cache"
        return replace(
            request,
            folder=folder,
            cache=cache,
            cores=reservation.cores,
            accelerators=reservation.accelerators,
            asked_steady=time.monotonic(),
        )

    def signal(self, key: Key, wish: Wish, reason: str) -> None:
        """Ask an attempt to stop or to pause, or kill it; nothing where it has ended, or only a part of it is here."""
        hosted = self._attempts.get(key)
        if hosted is None or hosted.ended:
            return
        match wish:
            case "kill":
                hosted.local.kill(reason)
            case "pause_at_save":
                hosted.local.pause_at_save()
            case _:
                hosted.local.stop(reason, pause=wish == "pause")

    def fence(self, key: Key) -> None:
        """Kill an attempt that its coordinator has given up, or a part of it, or see that it never starts."""
        with self._changed:
            trial = key.study, key.folder
            self._last[trial] = max(key.attempt, self._last.get(trial, 0))
        self.signal(key, "kill", "")
        self._assistants.dismiss(key)

    def news(self, study: str, known: Mapping[Key, int | None], lease_seconds: float, timeout_seconds: float) -> News:
        """What is new of a study's attempts, at once where it is more than a heartbeat, else after so long.

        ``known`` is how many bytes of each log the coordinator has, None of one that it knows to have ended. This
        renews its lease of all of them.
        """
        with self._changed:
            self._leases[study] = time.monotonic() + lease_seconds
            self._changed.wait_for(lambda: self._has_news(study, known), timeout_seconds)
            self._leases[study] = time.monotonic() + lease_seconds
            due = [
                (each, each.ended, offset) for each in self._of(study) if (offset := known.get(each.key, 0)) is not None
            ]
        news = News(time.monotonic(), assisting=self._assistants.living(study))
        for each, ended, offset in due:
            lines = each.lines(offset)
            if lines.text:
                news.lines[each.key] = lines
            news.wall_seconds[each.key] = each.wall_seconds
            if ended and offset + len(lines.text) >= each.local.read_bytes:
                news.ended[each.key] = each.local.record
        return news

    def found(self, study: str) -> tuple[Found, ...]:
        """The attempts of a study that are here, for a coordinator that is new."""
        with self._changed:
            return tuple(each.found for each in self._of(study))

    def running(self) -> tuple[Running, ...]:
        """What runs here, of any study."""
        return (
            tuple(
                Running(each.key, len(seat.cores), len(seat.accelerators), each.wall_seconds)
                for each in list(self._attempts.values())
                if not each.ended and (seat := each.local.reservation)
            )
            + self._assistants.running()
        )

    def prepare(self, key: Key) -> tuple[File, ...]:
        """End what is left of earlier attempts at a trial, and list what this one can be resumed from here."""
        earlier = [each for each in self._of(key.study) if each.key.folder == key.folder and each.key != key]
        for each in earlier:
            self.signal(each.key, "kill", "")
        for other in self._assistants.earlier(key):
            self._assistants.dismiss(other)
        with self._changed:
            self._changed.wait_for(lambda: all(each.ended for each in earlier))
        return self._state(key)

    def release(self, key: Key, keep_state: bool) -> None:
        """The coordinator has all that it needs of an attempt that has ended."""
        self.fence(key)
        self._transfers.forget(key)
        with self._changed:
            hosted = self._attempts.get(key)
            if hosted is None or not hosted.ended:
                return
            del self._attempts[key]
            del self._hosted[hosted.local]
        hosted.forget(keep_state=keep_state)

    def close(self) -> None:
        """Kill what runs, and end."""
        self._assistants.dismiss_all()
        for hosted in list(self._attempts.values()):
            self.signal(hosted.key, "kill", "")
        with self._changed:
            self._changed.wait_for(lambda: all(each.ended for each in self._attempts.values()))
        self._closed.set()
        self._watcher.stop()
        self._seats.close()

    def _seen(self, local: LocalAttempt, ended: bool, problem: Exception | None) -> None:
        """News of an attempt; a log that cannot be read is known by its silence, and by its end."""
        del problem
        with self._changed:
            hosted = self._hosted[local]
            local.pass_on()
            if ended:
                hosted.ended = True
                self._seats.free(local.reservation)
            self._changed.notify_all()

    def _keep_house(self) -> None:
        while not self._closed.wait(_HOUSE_SECONDS):
            self._seats.expire()
            for key in self._assistants.ended():
                self.fence(key)
            now = time.monotonic()
            for study, until in list(self._leases.items()):
                if until + self._orphan_seconds < now:
                    self._pause_orphans(study)
                if until + 2 * self._orphan_seconds < now:  # their workers, on other machines, have had time to save
                    self._end_assistants(study)

    def _pause_orphans(self, study: str) -> None:
        """Pause what nobody pays for any more: at the next save, or at once where nothing is saved."""
        for hosted in self._of(study):
            if not hosted.ended and not hosted.orphaned:
                hosted.orphaned = True
                saves = hosted.local.record.saved_epoch is not None
                self.signal(hosted.key, "pause_at_save" if saves else "pause", "coordinator_gone")

    def _end_assistants(self, study: str) -> None:
        for key in self._assistants.living(study):
            self.fence(key)

    def _is_over(self, key: Key) -> bool:
        return key.attempt <= self._last.get((key.study, key.folder), 0)

    def _of(self, study: str) -> list[HostedAttempt]:
        return [hosted for hosted in self._attempts.values() if hosted.key.study == study]

    def _has_news(self, study: str, known: Mapping[Key, int | None]) -> bool:
        return any(hosted.has_news(known.get(hosted.key, 0)) for hosted in self._of(study))
