"""What keeps a coordinator and the hosts of a fleet together: news, leases, lost machines, files on their way.

A host's news renew the coordinator's lease of what runs there, and say that the machine lives. A machine is lost once
its host has said nothing for a lease and a while, where this process itself was not late, or at once where the fleet
says that it is dead. What ran there is given up then: killed, should the machine come back, and never heard again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from tracker.engine.cluster.assistance import Assistance
from tracker.engine.cluster.attempt import ClusterAttempt, Copy
from tracker.engine.cluster.contact import Contact, Late
from tracker.engine.cluster.errands import Errand, Errands, single
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.cluster.hearing import Hearing
from tracker.engine.cluster.messages import News, Wish
from tracker.engine.cluster.node_times import NodeTimes
from tracker.engine.cluster.shipping import Shipping
from tracker.engine.node import Node
from tracker.errors import ClusterError, StoreError, WorkFailedError
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
REST_SECONDS = 0.001
"""How long it rests after a turn for each machine that there is, and MOST_REST_SECONDS at most: news come together."""
MOST_REST_SECONDS = 0.05
LATE_SECONDS = 1.0
"""A turn that took longer says nothing of the machines: this process was late."""


class Pump:
    """``ended`` receives each attempt that has ended, its files here, and ``notify`` sentences for people.

    ``changed`` guards everything; ``times`` says how the time of machines divides, and ``states`` is as in Shipping.
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
        self._fleet = fleet
        self._study = study
        self._changed = changed
        self._ended = ended
        self._notify = notify
        self._times = times
        self._shipping = Shipping(fleet.now, self._done, states)
        self._errands = Errands(fleet, self._lose, self.failed)
        self._assistance = Assistance(self.contacts, times, self._errands.send, fleet.now)
        self.hearing = Hearing(fleet.now, self._errands, self._shipping, self._assistance)
        self._turned_at = self._saved_at = fleet.now()
        self._next_nodes = 0.0

    def turn(self, timeout_seconds: float) -> None:
        """Wait for answers, at most so long, and do what follows from them and from the time."""
        rest_seconds = min(MOST_REST_SECONDS, REST_SECONDS * len(self.contacts))
        if (left := self._turned_at + rest_seconds - self._fleet.now()) > 0:
            self._fleet.wait((), left)
        ready = self._fleet.wait(self._errands.answers, timeout_seconds)
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
            due = self.hearing.due()
        self._sync(due)
        if now > self._saved_at + SAVE_SECONDS:
            self._saved_at = now
            self._times.save()

    def _sync(self, due: Collection[Copy]) -> None:
        """Force logs onto the disk, while others use the engine."""
        for copy in due:
            try:
                self.hearing.sync(copy)
            except OSError as error:
                self.failed(StoreError(f"an event log: {error}"))

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
        contact.hold(attempt.reservation.token, attempt.reservation.holds)
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
                self._errands.send(contact.node.node_id, single("signal", attempt.key, wish, reason))

    def give_back(self, contact: Contact, token: str) -> None:
        """Give back what was reserved, and will not be used."""
        contact.let_go(token)
        self._errands.send(contact.node.node_id, single("give_back", token))

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
                self.hearing.take(contact, news)
            except (OSError, StoreError) as error:  # the same lines come again
                self.failed(error if isinstance(error, StoreError) else StoreError(f"an event log: {error}"))

    def _done(self, contact: Contact, attempt: ClusterAttempt) -> None:
        contact.attempts.pop(attempt.key, None)
        contact.let_go(attempt.reservation.token)
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
        contact.let_all_go()
