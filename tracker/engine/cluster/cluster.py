"""Workers on the machines of a fleet: places are asked of their hosts, and the pump keeps them together."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tracker.engine.asked import write_request
from tracker.engine.cluster.asking import ask_all
from tracker.engine.cluster.attempt import ClusterAttempt
from tracker.engine.cluster.booking import Booking
from tracker.engine.cluster.contact import Contact
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.cluster.messages import Found, Key
from tracker.engine.cluster.node_times import NodeTimes
from tracker.engine.cluster.placement import Rate, alike, lacking, places
from tracker.engine.cluster.pump import Pump
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservation
from tracker.errors import ClusterError, StoreError
from tracker.records import AttemptRecord
from tracker.training.events import Event
from tracker.training.request import AttemptRequest
from tracker.training.span import Part

TURN_SECONDS = 0.1
"""How long the pump waits at most for what it has asked, before it also waits for what was asked since."""
PROBLEM_SECONDS = 0.5
"""How long the pump rests after a problem: a full disk, or a cluster that is away, changes by nothing that it does."""
FIND_SECONDS = 10.0
"""How long a host has to say what it has of a study whose coordinator is gone."""
WANTED_SECONDS = 5.0
"""How long a place is wanted that was asked for in vain, and not again."""


class ClusterEngine:
    """Runs attempts on the machines of ``fleet``, at most ``workers`` at once where that is given. An Engine.

    ``study`` names the study to hosts, and its folder there: no other study of anyone has that name. ``rate`` says what
    a machine is billed as, ``notify`` gets sentences for people, and how the time of machines divides is kept in
    ``folder``, None to keep it nowhere. ``states`` is the URL of a folder that all machines reach, for saved states;
    "" for the coordinator's disk. ``poll`` raises ClusterError where the cluster cannot
    be reached any more.
    """

    def __init__(
        self,
        fleet: Fleet,
        study: str,
        rate: Rate,
        workers: int | None = None,
        notify: Callable[[str], None] = lambda _: None,
        folder: Path | None = None,
        states: str = "",
    ) -> None:
        self.times = NodeTimes(lambda node: rate(node, Needs(node.cores, node.accelerators)), folder)
        self.running: list[ClusterAttempt] = []
        self._fleet = fleet
        self._study = study
        self._rate = rate
        self._notify = notify
        self._workers = workers
        self._changed = threading.Condition()
        self._ended: list[ClusterAttempt] = []
        self._lacking: dict[Needs, float] = {}
        self._wanted: list[Needs] = []
        self._said: set[Needs] = set()
        self.pump = Pump(fleet, study, self._changed, self._has_ended, notify, self.times, states)
        self._booking = Booking(fleet, self.pump, self._changed)
        self._thread: threading.Thread | None = None
        self._done = threading.Event()

    @property
    def has_room(self) -> bool:
        """Whether one more worker may run, if there is a machine for it."""
        return self._workers is None or len(self.running) < self._workers

    def reserve(self, needs: Needs, folder: Path | None = None) -> Reservation | None:
        """Reserve a place for an attempt, on all of its machines; None where there is none now: the fleet hears of it.

        ``folder`` is that of its trial: a machine that has the state to resume from is preferred to one that costs as
        much.
        """
        if not self.has_room:
            return None
        with self._changed:
            candidates = places(self.pump.contacts.values(), needs, self._fleet.now())
        for point, contacts in alike(candidates, needs, folder.name if folder else "", self._rate):
            if (reservation := self._booking.places(contacts, needs, point)) is not None:
                self._lacking.pop(needs, None)
                return reservation
        self._lacking[needs] = self._fleet.now()
        return None

    def start(
        self, request: AttemptRequest, reservation: Reservation, on_event: Callable[[Event], None] | None = None
    ) -> ClusterAttempt:
        """Start a worker for a request on ``reservation``; its event log starts with the request.

        ``poll`` passes each of its events to ``on_event``. Raises StoreError where the log cannot be written: nothing
        has started then, and the reservation is free again.
        """
        try:
            write_request(request)
        except StoreError:
            self._booking.give_back((reservation, *reservation.others))
            raise
        with self._changed:
            self.pump.hearing.trials = request.folder.parent
            head = request.log_path.read_bytes()
            attempt = self._attempt(request, reservation, head)
            attempt.on_event = on_event
            self.running.append(attempt)
            attempt.read(head)
            self.pump.start(attempt, head)
        return attempt

    def adopt(self, trials: Path) -> Sequence[ClusterAttempt]:
        """Continue what still runs of a study whose coordinator is gone, and return it; not while this is entered.

        ``trials`` has the attempts' folders. Those that have ended meanwhile, and are known to have, only send their
        files; what is in no folder there, or was given up, is killed once its machine says that it has it.
        """
        self.pump.hearing.trials = trials
        self.pump.look_at_nodes()
        contacts = dict(self.pump.contacts)
        for node_id, attempts in ask_all(self._fleet, contacts, FIND_SECONDS, "found", self._study):
            if not isinstance(attempts, Exception):
                for found in sorted(attempts, key=lambda each: each.log_bytes is not None):  # first what runs
                    self._adopt(contacts[node_id], found, trials)
        while any(each.closed for contact in self.pump.contacts.values() for each in contact.attempts.values()):
            self.pump.turn(TURN_SECONDS)
        return list(self.running)

    def poll(self, timeout_seconds: float) -> list[ClusterAttempt]:
        """Wait until an attempt has ended, or a little, and return the attempts that ended.

        An ended attempt's record is final, and its files are here. Raises StoreError where a log cannot be read or
        written: the next call goes on.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.pump.problem, timeout_seconds)
            problem, self.pump.problem = self.pump.problem, None
            if problem is not None:
                raise problem
            ended, self._ended = self._ended, []
            for attempt in ended:
                self.running.remove(attempt)
        for attempt in (*self.running, *ended):
            attempt.pass_on()
        self._want()
        return ended

    def recount(self, ended: Iterable[tuple[Event, AttemptRecord]]) -> None:
        """Count again what attempts took of machines: ``ended`` are all that have ended, each with its first event."""
        self.times.recount(ended)

    def pause_all(self, reason: str) -> None:
        """Ask every worker to pause, or to stop where it cannot; ``reason`` is one word. ``poll`` returns them."""
        with self._changed:
            for attempt in self.running:
                attempt.stop(reason, pause=True)

    def kill_all(self) -> None:
        """Kill every worker at once; also from a signal handler. ``poll`` returns them."""
        with self._changed:
            for attempt in tuple(self.running):
                attempt.kill()

    def __enter__(self) -> ClusterEngine:
        self._done.clear()
        self._thread = threading.Thread(target=self._run, name="pump of the cluster", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the workers that are still running, whatever ended the context, and wait for them.

        Where the cluster cannot be reached any more, they pause by themselves.
        """
        try:
            with contextlib.suppress(ClusterError):
                self.kill_all()
                while self.running:
                    with contextlib.suppress(StoreError):  # what cannot be read of a worker that is killed is lost
                        self.poll(1.0)
        finally:
            self.abandon()
            self.times.save()

    def abandon(self) -> None:
        """Let go of everything as it is, as a coordinator does that is killed: another may adopt it."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self.pump.turn(TURN_SECONDS)
            except Exception as error:  # noqa: BLE001 - raised by poll
                self.pump.failed(error)
            if self.pump.problem is not None:
                self._done.wait(PROBLEM_SECONDS)

    def _attempt(self, request: AttemptRequest, reservation: Reservation, head: bytes) -> ClusterAttempt:
        key = Key(self._study, request.folder.name, request.attempt)
        return ClusterAttempt(key, request, reservation, head, self.pump.wish, self._fleet.now)

    def _adopt(self, contact: Contact, found: Found, trials: Path) -> None:
        request = replace(found.request, folder=trials / found.key.folder)
        if not request.log_path.exists():
            return
        reservation = Reservation(
            *(request.cores, request.accelerators, contact.node, request.price_point, uuid.uuid4().hex),
            memory_bytes=request.memory_bytes,
            others=tuple(self._reserved(part, request) for part in (request.span.parts[1:] if request.span else ())),
        )
        head = request.log_path.read_bytes()
        with self._changed:
            attempt = self._attempt(request, reservation, head)
            attempt.read(head)
            if attempt.record.ended_at is None:
                others = [each.node.node_id for each in reservation.others if each.node]
                for each in (contact, *(self.pump.contacts[other] for other in others if other in self.pump.contacts)):
                    self._count_unwatched(each, attempt, found)
                self.running.append(attempt)
                self.pump.adopt(contact, attempt)
            elif found.log_bytes == attempt.copy.offset:  # else it is not its host that has ended it
                self.pump.collect(contact, attempt)

    def _reserved(self, part: Part, request: AttemptRequest) -> Reservation:
        """What an attempt has on a further machine, which may be gone."""
        node = next((time.node for time in self.times if time.node.node_id == part.node), None)
        held = part.cores, part.accelerators, node, request.price_point, part.token
        return Reservation(*held, memory_bytes=request.memory_bytes)

    def _count_unwatched(self, contact: Contact, attempt: ClusterAttempt, found: Found) -> None:
        """Count the time of a machine for which no coordinator watched it, as far as it was for this attempt."""
        if found.log_bytes is None:
            self.times.resume(contact.node)
        elif contact.time.clock is None:
            unseen_seconds = found.wall_seconds - attempt.record.usage.wall_seconds
            contact.time.total_seconds += attempt.share * max(0.0, unseen_seconds)

    def _want(self) -> None:
        """Say what is lacking, to the fleet, and to people where no machine would ever do."""
        long_ago = self._fleet.now() - WANTED_SECONDS
        wanted = [needs for needs, asked_at in self._lacking.items() if asked_at > long_ago]
        if wanted == self._wanted:
            return
        with self._changed:
            nodes = [contact.node for contact in self.pump.contacts.values()]
        for needs in set(wanted) - self._said:
            if nodes and (sentence := lacking(nodes, needs, self._rate)):
                self._said.add(needs)
                self._notify(sentence)
        self._lacking = {needs: self._lacking[needs] for needs in wanted}
        self._wanted = wanted
        self._fleet.want(wanted)

    def _has_ended(self, attempt: ClusterAttempt) -> None:
        if attempt in self.running:
            self._ended.append(attempt)
            self._changed.notify_all()
