"""Places for attempts, asked of the hosts of a fleet: on all of an attempt's machines, or on none."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracker.engine.cluster.contact import Contact
from tracker.engine.cluster.fleet import Fleet, HostLostError
from tracker.engine.cluster.pump import Pump
from tracker.engine.node import Needs
from tracker.engine.reservations import Reservation
from tracker.errors import WorkFailedError
from tracker.pricing.price_point import PricePoint

RESERVE_SECONDS = 2.0
"""How long a host has to say whether it has a place."""
FULL_SECONDS = 1.0
"""How long no place is asked of a machine that had none: another study has it."""
SILENT_SECONDS = 10.0
"""How long none is asked of one that did not answer: it may be lost."""
HOLD_SECONDS = 60.0
"""How long a host keeps a place for an attempt that is to start."""


class Booking:
    """``changed`` guards what ``pump`` knows of machines."""

    def __init__(self, fleet: Fleet, pump: Pump, changed: threading.Condition) -> None:
        self._fleet = fleet
        self._pump = pump
        self._changed = changed

    def places(self, contacts: Sequence[Contact], needs: Needs, point: PricePoint) -> Reservation | None:
        """Places on as many of these machines as an attempt needs, or on none."""
        found: list[Reservation] = []
        for contact in contacts:
            if (reservation := self._ask(contact, needs, point)) is not None:
                found.append(reservation)
            if len(found) == needs.nodes:
                return replace(found[0], others=tuple(found[1:])) if found[1:] else found[0]
        self.give_back(found)
        return None

    def give_back(self, reservations: Iterable[Reservation]) -> None:
        """Give back what was reserved, and will not be used."""
        with self._changed:
            for each in reservations:
                if each.node is not None and (contact := self._pump.contacts.get(each.node.node_id)) is not None:
                    self._pump.give_back(contact, each.token)

    def _ask(self, contact: Contact, needs: Needs, point: PricePoint) -> Reservation | None:
        token = uuid.uuid4().hex
        node_id = contact.node.node_id
        answer = self._fleet.ask(
            node_id, "take", token, needs.cores, needs.accelerators, HOLD_SECONDS, needs.memory_bytes
        )
        reservation: Reservation | None = None
        pause_seconds = SILENT_SECONDS
        if self._fleet.wait([answer], RESERVE_SECONDS):
            pause_seconds = FULL_SECONDS
            with contextlib.suppress(HostLostError, ConnectionError, WorkFailedError):
                reservation = self._fleet.take(answer)
        with self._changed:
            if reservation is not None:
                contact.hold(token, needs)
                return replace(reservation, node=contact.node, price_point=point, token=token)
            contact.full_until = self._fleet.now() + pause_seconds
            if contact.node.node_id in self._pump.contacts:  # it may have heard the question, and its answer was lost
                self._pump.give_back(contact, token)
        return None
