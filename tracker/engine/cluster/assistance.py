"""The parts of attempts on machines beside the one that their worker is on: they come, and end, with the attempt.

Workers hear by themselves that a part has failed, or that its process is gone. What they cannot hear is a machine that
vanished, or a part that never came: their coordinator has them killed then. What they have saved is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from tracker.engine.cluster.attempt import ClusterAttempt
from tracker.engine.cluster.contact import Contact
from tracker.engine.cluster.errands import Errand, single
from tracker.engine.cluster.messages import Key
from tracker.engine.cluster.node_times import NodeTimes
from tracker.engine.cluster.shipping import REFUSED_SECONDS, send_state
from tracker.engine.node import Node
from tracker.engine.reservations import Reservation
from tracker.errors import WorkFailedError
from tracker.training.ending import NODE_LOST, NODE_REFUSED, PROCESS_DIED

MISSED_SECONDS = 5.0
"""How long a worker has to hear by itself that a part has ended."""
KILL_SECONDS = 1.0
"""How often a worker is killed again that has lost a part, until it has ended: it may not have started yet."""


@dataclass(slots=True, eq=False)
class _Part:
    """A part of an attempt, ``number`` of its machines: ``here`` is whether it has started, as far as is known."""

    number: int
    contact: Contact
    reservation: Reservation
    here: bool = False
    missed_at: float | None = None


@dataclass(slots=True, eq=False)
class _Assisted:
    """An attempt with its further parts; ``lost_by`` is why it cannot go on, "" while it can."""

    attempt: ClusterAttempt
    parts: list[_Part]
    called: bool = False
    lost_by: str = ""
    killed_at: float = -math.inf


class Assistance:
    """``contacts`` are the machines that are there, by their ids, ``times`` how the time of all of them divides.

    ``send`` starts an errand to one, ``now`` is the fleet's clock, in seconds.
    """

    def __init__(
        self,
        contacts: Mapping[str, Contact],
        times: NodeTimes,
        send: Callable[[str, Errand], None],
        now: Callable[[], float],
    ) -> None:
        self._contacts = contacts
        self._times = times
        self._send = send
        self._now = now
        self._assisted: dict[Key, _Assisted] = {}

    def begin(self, attempt: ClusterAttempt) -> bool:
        """An attempt starts, or is adopted: hold its places on further machines; whether all of them are there."""
        others = attempt.reservation.others
        if not others:
            return True
        assisted = self._assisted[attempt.key] = _Assisted(attempt, [])
        for number, reservation in enumerate(others, 1):
            if reservation.node is None:  # a machine that nobody has met
                assisted.lost_by = NODE_LOST
                continue
            contact = self._contacts.get(reservation.node.node_id) or self._gone(reservation.node)
            assisted.lost_by = NODE_LOST if contact.lost else assisted.lost_by
            contact.hold(reservation.token, reservation.holds)
            assisted.parts.append(_Part(number, contact, reservation))
        return not assisted.lost_by

    def call(self, attempt: ClusterAttempt) -> None:
        """Start the parts of an attempt, once its worker has said where they reach it."""
        assisted = self._assisted.get(attempt.key)
        if assisted is None or assisted.called or assisted.lost_by or attempt.meeting is None:
            return
        assisted.called = True
        for part in assisted.parts:
            self._send(part.contact.node.node_id, self._start(assisted, part, attempt.meeting))

    def on(self, contact: Contact) -> list[ClusterAttempt]:
        """The attempts that have a further part on a machine."""
        return [assisted.attempt for assisted, _ in self._parts_on(contact)]

    def heard(self, contact: Contact, assisting: Iterable[Key]) -> None:
        """A machine says of which attempts it has a part: what is nobody's ends, and who misses one."""
        there, known = set(assisting), set[Key]()
        for assisted, part in self._parts_on(contact):
            known.add(assisted.attempt.key)
            if assisted.attempt.key in there:
                part.here, part.missed_at = True, None
            elif part.here:
                part.missed_at = self._now() if part.missed_at is None else part.missed_at
                if self._now() - part.missed_at > MISSED_SECONDS:
                    self._lost(assisted, PROCESS_DIED)
        for key in there - known:
            self._send(contact.node.node_id, single("fence", key))
        for key in contact.attempts.keys() & self._assisted.keys():
            self._kill_lost(self._assisted[key])

    def lost(self, contact: Contact) -> None:
        """A machine is lost: the attempts end that have a further part there."""
        for assisted, _ in self._parts_on(contact):
            self._lost(assisted, NODE_LOST)

    def dismiss(self, attempt: ClusterAttempt) -> None:
        """An attempt has ended, so its parts do, and their machines' time is entered."""
        assisted = self._assisted.pop(attempt.key, None)
        for part in assisted.parts if assisted else ():
            contact, reservation = part.contact, part.reservation
            contact.let_go(reservation.token)
            share = contact.node.share(len(reservation.cores), len(reservation.accelerators))
            contact.time.enter(attempt.record, share)
            if contact.lost:  # it is a stranger there once that machine is heard again
                contact.waited_for(self._now())
            else:
                self._send(contact.node.node_id, _end(attempt.key, reservation.token))

    def _gone(self, node: Node) -> Contact:
        """A machine that is not there any more, whose time is still to be entered."""
        return Contact(node, self._now(), self._now(), self._times.of(node), lost=True)

    def _parts_on(self, contact: Contact) -> list[tuple[_Assisted, _Part]]:
        return [
            (assisted, part)
            for assisted in self._assisted.values()
            for part in assisted.parts
            if part.contact is contact
        ]

    def _start(self, assisted: _Assisted, part: _Part, meeting: tuple[int, int]) -> Errand:
        attempt, contact = assisted.attempt, part.contact
        request = attempt.request.at(part.number)
        assert request.span is not None, "it has several machines"
        request = replace(request, span=request.span.opened(*meeting))
        try:
            resumes = yield from send_state(attempt)
            yield "assist", attempt.key, request, part.reservation.token, resumes
        except (WorkFailedError, OSError) as error:
            contact.full_until = self._now() + REFUSED_SECONDS
            attempt.note(f"machine {contact.node.address} could not take its part of {request.label}: {error}")
            self._lost(assisted, NODE_REFUSED)
        else:
            part.here = True

    def _lost(self, assisted: _Assisted, reason: str) -> None:
        assisted.lost_by = assisted.lost_by or reason
        self._kill_lost(assisted)

    def _kill_lost(self, assisted: _Assisted) -> None:
        """Kill the worker of an attempt that cannot go on, unless it was just done."""
        if assisted.lost_by and self._now() - assisted.killed_at >= KILL_SECONDS:
            assisted.killed_at = self._now()
            assisted.attempt.kill(assisted.lost_by)


def _end(key: Key, token: str) -> Errand:
    yield "give_back", token  # where it never started
    yield "fence", key
