"""What keeps a coordinator and the hosts of a fleet together: news, leases, lost machines, files on their way.

A host's news renew the coordinator's lease of what runs there, and say that the machine lives. A machine is lost once
its host has said nothing for a lease and a while, where this process itself was not late, or at once where the fleet
says that it is dead. What ran there is given up then: killed, should the machine come back, and never heard again.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.engine.cluster.assistance import Assistance
from tracker.engine.cluster.attempt import ClusterAttempt, Copy
from tracker.engine.cluster.contact import Contact, Late
from tracker.engine.cluster.errands import Errand, Errands
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.cluster.messages import Key, Lines, News, Wish
from tracker.engine.cluster.node_times import NodeTimes
from tracker.engine.cluster.shipping import Shipping
from tracker.engine.node import Needs, Node
from tracker.errors import ClusterError, StoreError, WorkFailedError
from tracker.records import Market
from tracker.training.ending import NODE_DRAINS, NODE_LOST

LEASE_SECONDS = 30.0
PATIENCE_SECONDS = 5.0
"""How long after its lease a silent machine is lost."""
POLL_SECONDS = 2.0
"""How long a host waits for news; heartbeats are said so often."""
NODES_SECONDS = 1.0
"""How often the fleet is asked which machines there are."""
SAVE_SECONDS = 5.0
"""How often what machines did is saved."""
LATE_SECONDS = 1.0
"""A turn that took longer says nothing of the machines: this process was late."""


class Pump:
    """``ended`` receives each attempt that has ended, its files here, and ``notify`` sentences for people.

    ``changed`` guards everything; ``times`` says how the time of machines divides, ``states`` is as in Shipping, and
    ``trials`` is where the logs of attempts go that nobody here asked for.
    """

    def __init__(
        self,
        fleet: Fleet,
        study: str,
        changed: threading.Condition,
        ended: Callable[[ClusterAttempt], None],
        notify: Callable[[str], None],
        times: NodeTimes,
        states: str = "",
    ) -> None:
        self.contacts: dict[str, Contact] = {}
        self.problem: Exception | None = None
        self.trials: Path | None = None
        self._fleet = fleet
        self._study = study
        self._changed = changed
        self._ended = ended
        self._notify = notify
        self._times = times
        self._shipping = Shipping(fleet.now, self._done, states)
        self._errands = Errands(fleet, self._lose, self.failed)
        self._assistance = Assistance(self.contacts, times, self._errands.send, fleet.now)
        self._turned_at = self._saved_at = fleet.now()
        self._next_nodes = 0.0

    def turn(self, timeout_seconds: float) -> None:
        """Wait for answers, at most so long, and do what follows from them and from the time."""
        answers = self._errands.answers
        ready = self._fleet.wait(answers, timeout_seconds)
        if self._fleet.now() >= self._next_nodes:
            self._next_nodes = self._fleet.now() + NODES_SECONDS
            self.look_at_nodes()
        with self._changed:
            now = self._fleet.now()
            if (late := now - self._turned_at - timeout_seconds) > LATE_SECONDS:
                for contact in self.contacts.values():
                    contact.heard_at += late
            self._turned_at = now
            for answer in ready:
                self._errands.answered(answer)
            self._errands.ask_again()
            for contact in list(self.contacts.values()):
                if not contact.lost and now - contact.heard_at > LEASE_SECONDS + PATIENCE_SECONDS:
                    self._lose(contact.node.node_id)
        if now > self._saved_at + SAVE_SECONDS:
            self._saved_at = now
            self._times.save()

    def look_at_nodes(self) -> None:
        """Meet machines that are new, and take leave of those that are gone or go; one without cores takes no part."""
        try:
            nodes = {node.node_id: node for node in self._fleet.nodes() if node.cores}
        except ClusterError:  # whoever knows them is away: hosts speak for themselves
            return
        with self._changed:
            for node_id in self.contacts.keys() - nodes.keys():
                self._lose(node_id)
                del self.contacts[node_id]
            for node in nodes.values():
                self._meet(node)

    def start(self, attempt: ClusterAttempt, head: bytes) -> None:
        """Start an attempt on the machine of its reservation; its parts on others follow once its worker is there."""
        contact = self._contact_of(attempt)
        all_there = self._assistance.begin(attempt)
        if contact is None or contact.lost or not all_there:
            attempt.give_up(NODE_LOST, "a machine of it was gone before it started")
            self._assistance.dismiss(attempt)
            if contact is not None:
                self.give_back(contact, attempt.reservation.token)
            self._ended(attempt)
            return
        contact.attempts[attempt.key] = attempt
        self._errands.send(contact.node.node_id, self._shipping.begin(contact, attempt, head))

    def adopt(self, contact: Contact, attempt: ClusterAttempt) -> None:
        """Follow an attempt that runs on a machine already."""
        attempt.early = None
        contact.attempts[attempt.key] = attempt
        contact.held[attempt.reservation.token] = Needs(len(attempt.request.cores), len(attempt.request.accelerators))
        if attempt.reservation.others:
            self._assistance.begin(attempt)
            self._assistance.call(attempt)  # hosts that have its parts already do nothing more

    def collect(self, contact: Contact, attempt: ClusterAttempt) -> None:
        """Bring the files of an attempt whose end is known already."""
        attempt.closed = True
        contact.attempts[attempt.key] = attempt
        self._errands.send(contact.node.node_id, self._shipping.end(contact, attempt))

    def wish(self, attempt: ClusterAttempt, wish: Wish, reason: str) -> None:
        """Ask something of an attempt's worker, once its host has it."""
        with self._changed:
            if attempt.early is not None:
                attempt.early.append((wish, reason))
            elif (contact := self._contact_of(attempt)) is not None:
                self._errands.send(contact.node.node_id, _one("signal", attempt.key, wish, reason))

    def give_back(self, contact: Contact, token: str) -> None:
        """Give back what was reserved, and will not be used."""
        contact.held.pop(token, None)
        self._errands.send(contact.node.node_id, _one("give_back", token))

    def fence(self, contact: Contact, key: Key, late: Late) -> None:
        """Have an attempt end that nobody follows."""
        contact.late[key] = late
        self._errands.send(contact.node.node_id, _one("fence", key))

    def _meet(self, node: Node) -> None:
        contact = self.contacts.get(node.node_id)
        if contact is None:
            contact = self.contacts[node.node_id] = Contact(
                node, self._fleet.now(), self._fleet.now(), self._times.of(node)
            )
        contact.node = node
        if not contact.following:
            contact.following = True
            self._errands.send(node.node_id, self._follow(contact))
        if node.draining_seconds is not None and not contact.drains:
            contact.drains = True
            for attempt in (*contact.attempts.values(), *self._assistance.on(contact)):
                attempt.stop(NODE_DRAINS, pause=True)

    def failed(self, error: Exception) -> None:
        """Something went wrong that whoever uses the engine is to know."""
        with self._changed:
            self.problem = error
            self._changed.notify_all()

    def _contact_of(self, attempt: ClusterAttempt) -> Contact | None:
        node = attempt.reservation.node
        return self.contacts.get(node.node_id) if node else None

    def _follow(self, contact: Contact) -> Errand:
        while True:
            question = ("news", self._study, contact.known, LEASE_SECONDS, POLL_SECONDS)
            try:
                news: News = yield question
            except WorkFailedError as error:
                self._leave_out(contact, error)
                return
            try:
                self._take(contact, news)
            except (OSError, StoreError) as error:  # the same lines come again
                self.failed(error if isinstance(error, StoreError) else StoreError(f"an event log: {error}"))

    def _take(self, contact: Contact, news: News) -> None:
        contact.heard(self._fleet.now(), news.clock)
        if contact.lost:
            contact.lost = False
            for key, late in contact.late.items():
                self.fence(contact, key, late)
        for key in contact.late.keys() - news.wall_seconds.keys():  # it never came there, or its host is a new one
            del contact.late[key]
        for key in news.wall_seconds.keys() - contact.known.keys():
            self.fence(contact, key, self._stranger(key))
        for key, lines in news.lines.items():
            if key in contact.late:
                contact.late[key].copy.append(lines)
            elif (attempt := contact.attempts.get(key)) is not None and not attempt.closed:
                self._hear(contact, attempt, lines)
        for key, seconds in news.wall_seconds.items():
            if key in contact.late:
                late = contact.late[key]
                contact.time.late_seconds += late.share * max(0.0, seconds - late.seconds)
                late.seconds = max(late.seconds, seconds)
            elif (attempt := contact.attempts.get(key)) is not None and not attempt.closed:
                attempt.heard(seconds)
        for key, record in news.ended.items():
            if (attempt := contact.attempts.get(key)) is not None and not attempt.closed:
                attempt.close(record)
                self._assistance.dismiss(attempt)
                self._errands.send(contact.node.node_id, self._shipping.end(contact, attempt))
            elif key in contact.late:
                del contact.late[key]
                self._errands.send(contact.node.node_id, _one("release", key, False))
        self._assistance.heard(contact, news.assisting)

    def _hear(self, contact: Contact, attempt: ClusterAttempt, lines: Lines) -> None:
        saved, now = attempt.record.saved_epoch, self._fleet.now()
        attempt.take(lines)
        self._assistance.call(attempt)
        is_news = attempt.record.saved_epoch not in (None, saved)
        if is_news and attempt.request.price_point.market is Market.SPOT and now >= attempt.copy_again_at:
            attempt.copy_again_at = math.inf
            self._errands.send(contact.node.node_id, self._shipping.copy_state(attempt))

    def _done(self, contact: Contact, attempt: ClusterAttempt) -> None:
        contact.attempts.pop(attempt.key, None)
        contact.held.pop(attempt.reservation.token, None)
        contact.time.enter(attempt.record, attempt.share)
        self._assistance.dismiss(attempt)
        self._ended(attempt)

    def _leave_out(self, contact: Contact, error: WorkFailedError) -> None:
        """A machine cannot be used: nothing more is asked of it."""
        self._lose(contact.node.node_id)
        contact.following = True
        self._notify(f"machine {contact.node.address} is left out: {error}")

    def _lose(self, node_id: str) -> None:
        """Give up what runs on a machine; it may come back."""
        contact = self.contacts.get(node_id)
        if contact is None:  # it is gone already
            return
        contact.lost, contact.following = True, False
        self._errands.lose(node_id)
        silent_seconds = self._fleet.now() - contact.heard_at
        message = f"its machine {contact.node.address} is lost: it said nothing for {silent_seconds:.0f} s"
        for attempt in list(contact.attempts.values()):
            attempt.give_up(NODE_LOST, message)
            contact.late[attempt.key] = Late.of(attempt)
            self._done(contact, attempt)
        self._assistance.lost(contact)
        contact.held.clear()

    def _stranger(self, key: Key) -> Late:
        """An attempt that nobody here knows: its log goes beside those of its trial, if that has any."""
        folder = self.trials / key.folder if self.trials else None
        return Late(Copy(folder / f"{key.attempt}.late.jsonl" if folder and folder.is_dir() else None, 0, 0))


def _one(*question: Any) -> Errand:
    yield question
