"""What a host's news mean for the attempts of its machine: their logs grow, they end, or nobody follows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path

from tracker.engine.cluster.assistance import Assistance
from tracker.engine.cluster.attempt import ClusterAttempt, Copy
from tracker.engine.cluster.contact import Contact, Late
from tracker.engine.cluster.errands import Errands, single
from tracker.engine.cluster.messages import Key, Lines, News
from tracker.engine.cluster.shipping import Shipping
from tracker.errors import StoreError
from tracker.records import AttemptRecord, Market


class Hearing:
    """``now`` is the fleet's clock, in seconds; the others are the pump's.

    ``trials`` is where the logs of attempts go that nobody here asked for.
    """

    def __init__(self, now: Callable[[], float], errands: Errands, shipping: Shipping, assistance: Assistance) -> None:
        self.trials: Path | None = None
        self._now = now
        self._errands = errands
        self._shipping = shipping
        self._assistance = assistance
        self._grown: set[Copy] = set()

    def take(self, contact: Contact, news: News) -> None:
        """Take a host's news. Raises OSError, StoreError: the same news come again then."""
        contact.heard(self._now(), news.clock)
        if contact.lost:
            contact.lost = False
            for key, late in contact.late.items():
                self._fence(contact, key, late)
        for key in contact.late.keys() - news.wall_seconds.keys():  # it never came there, or its host is a new one
            del contact.late[key]
        for key in news.wall_seconds.keys() - contact.known.keys():
            self._fence(contact, key, self._stranger(key))
        for key, lines in news.lines.items():
            self._hear(contact, key, lines)
        for key, seconds in news.wall_seconds.items():
            if key in contact.late:
                late = contact.late[key]
                contact.time.late_seconds += late.share * max(0.0, seconds - late.seconds)
                late.seconds = max(late.seconds, seconds)
            elif (attempt := contact.attempts.get(key)) is not None and not attempt.closed:
                attempt.heard(seconds)
        for key, record in news.ended.items():
            self._ended(contact, key, record)
        self._assistance.heard(contact, news.assisting)

    def due(self) -> Collection[Copy]:
        """The copies that are to be forced onto the disk now."""
        now = self._now()
        due = [copy for copy in self._grown if copy.is_due(now)]
        self._grown.difference_update(due)
        return due

    def sync(self, copy: Copy) -> None:
        """Force a copy onto the disk; no lock is needed. Raises OSError: it is due again then."""
        try:
            copy.sync(self._now())
        except OSError:
            self._grown.add(copy)
            raise

    def _hear(self, contact: Contact, key: Key, lines: Lines) -> None:
        if key in contact.late:
            copy = contact.late[key].copy
            copy.append(lines)
        elif (attempt := contact.attempts.get(key)) is not None and not attempt.closed:
            saved, copy = attempt.record.saved_epoch, attempt.copy
            attempt.take(lines)
            self._assistance.call(attempt)
            if attempt.record.saved_epoch not in (None, saved):
                self._copy_state(contact, attempt)
        else:
            return
        self._grown.add(copy)

    def _copy_state(self, contact: Contact, attempt: ClusterAttempt) -> None:
        """On a machine that may vanish, bring what an attempt saves while it trains."""
        if attempt.request.price_point.market is Market.SPOT and self._now() >= attempt.copy_again_at:
            attempt.copy_again_at = math.inf
            self._errands.send(contact.node.node_id, self._shipping.copy_state(attempt))

    def _ended(self, contact: Contact, key: Key, record: AttemptRecord) -> None:
        """All of an attempt's log is here: its machine may forget it once that is on the disk."""
        if (attempt := contact.attempts.get(key)) is not None and not attempt.closed:
            self._sync_end(attempt.copy)
            attempt.close(record)
            self._assistance.dismiss(attempt)
            self._errands.send(contact.node.node_id, self._shipping.end(contact, attempt))
        elif key in contact.late:
            self._sync_end(contact.late[key].copy)
            del contact.late[key]
            self._errands.send(contact.node.node_id, single("release", key, False))

    def _sync_end(self, copy: Copy) -> None:
        if copy.lacks_lines:
            raise StoreError("an event log: its end came before lines that its disk had not taken")
        copy.sync(self._now())
        self._grown.discard(copy)

    def _fence(self, contact: Contact, key: Key, late: Late) -> None:
        """Have an attempt end that nobody follows."""
        contact.late[key] = late
        self._errands.send(contact.node.node_id, single("fence", key))

    def _stranger(self, key: Key) -> Late:
        """An attempt that nobody here knows: its log goes beside those of its trial, if that has any."""
        folder = self.trials / key.folder if self.trials else None
        return Late(Copy(folder / f"{key.attempt}.late.jsonl" if folder and folder.is_dir() else None, 0, 0))
