"""An attempt on a machine of a fleet: its event log here grows by what its host says of the one there."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tracker.engine.cluster.distant import discard
from tracker.engine.cluster.messages import Key, Lines, Wish
from tracker.engine.engine import Attempt
from tracker.engine.reservations import Reservation
from tracker.errors import StoreError
from tracker.records import AttemptRecord, TrialState
from tracker.training.ending import NODE_LOST, Ending, ending_of, write_ending
from tracker.training.events import DURABLE, Event
from tracker.training.request import AttemptRequest

_DURABLE = tuple(f'"event": "{kind}"'.encode() for kind in DURABLE)
SYNC_SECONDS = 5.0
"""A log is forced onto the disk at most so often while its attempt runs, and again with its end."""


class Copy:
    """A copy of a log that grows on another machine: ``offset`` is how much of that one is here, in bytes.

    The copy, at ``path``, begins at its byte ``begins``; None where nobody wants one. ``sync`` forces it onto the disk:
    until its machine is asked to release an attempt, that one keeps the whole log.
    """

    def __init__(self, path: Path | None, begins: int, offset: int) -> None:
        self._path = path
        self._begins = begins
        self.offset = self._synced = self._was_here = offset
        self._waits = False
        self._sync_at = -math.inf

    def append(self, lines: Lines) -> bytes:
        """Append what is new of some lines, exactly where it belongs, whoever wrote a part of it before; return that.

        Raises OSError, and StoreError where they lie beyond what is here: ``sync`` has failed since they were asked
        for. The same lines may come again then.
        """
        if lines.offset > self.offset:
            raise StoreError(f"an event log: lines come from byte {lines.offset}, and it has {self.offset} here")
        if lines.offset + len(lines.text) <= self.offset:
            return b""
        new = lines.text[self.offset - lines.offset :]
        if self._path is not None:
            self._write(self._path, new)
            self._waits = self._waits or any(mark in new for mark in _DURABLE)
        self.offset += len(new)
        self._was_here = max(self._was_here, self.offset)
        return new

    @property
    def lacks_lines(self) -> bool:
        """Whether lines that were here come again, because ``sync`` has failed."""
        return self.offset < self._was_here

    def is_due(self, now: float) -> bool:
        """Whether events wait to be forced onto the disk, and none were in the last SYNC_SECONDS."""
        return self._waits and now >= self._sync_at

    def sync(self, now: float) -> None:
        """Force what must be onto the disk. Raises OSError; what has come since it was done last is asked for again."""
        if not self._waits or self._path is None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            self.offset = self._synced
            raise
        self._synced, self._waits, self._sync_at = self.offset, False, now + SYNC_SECONDS

    def _write(self, path: Path, new: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            place, left = self.offset - self._begins, new
            while left:
                written = os.pwrite(descriptor, left, place)
                place, left = place + written, left[written:]
        finally:
            os.close(descriptor)


class ClusterAttempt(Attempt):
    """``head`` is what its log holds here; ``wish`` asks something of its worker, ``now`` is the fleet's clock."""

    def __init__(
        self,
        key: Key,
        request: AttemptRequest,
        reservation: Reservation,
        head: bytes,
        wish: Callable[[ClusterAttempt, Wish, str], None],
        now: Callable[[], float],
    ) -> None:
        super().__init__(request, reservation)
        self.key = key
        node = reservation.node
        self.share = node.share(len(request.cores), len(request.accelerators)) if node else 1.0
        """Of its machine."""
        self.kept_epoch = 0
        """The epoch after which it could be resumed if its machine were lost now: that of the state that is here."""
        self.early: list[tuple[Wish, str]] | None = []
        """What was asked of it before its host had it; None from then on."""
        self.closed = False
        """Whether it has ended; its files may still be on their way."""
        self.copy = Copy(request.log_path, 0, len(head))
        self.meeting: tuple[int, int] | None = None
        """The ports on which its other machines reach the first, once its worker has opened them."""
        self.copy_again_at = 0.0
        """Before then, by the fleet's clock, its state is not copied again while it runs."""
        self._wish, self._now = wish, now
        self._stopping = False
        self._known_seconds, self._known_at = 0.0, now()

    @property
    def wall_seconds(self) -> float:
        """Seconds since its machine took it, by that machine's clock."""
        since_known = 0.0 if self.closed else self._now() - self._known_at
        return max(self.record.usage.wall_seconds, self._known_seconds + since_known)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop or to pause at once."""
        return self._stopping

    @property
    def known(self) -> int | None:
        """How much of its log is here, in bytes; None once it has ended."""
        return None if self.closed else self.copy.offset

    def read(self, text: bytes | None = None) -> list[Event]:
        """As Attempt.read."""
        events = super().read(text)
        for event in events:
            if event["event"] == "restored":
                self.kept_epoch = max(event["epoch"], self.kept_epoch)
            elif event["event"] == "meeting":
                self.meeting = event["line"], event["store"]
        return events

    def stop(self, reason: str, *, pause: bool = False) -> None:
        """Ask the worker to stop, or to pause if it can; its host kills it where it does not."""
        if not self._stopping and not self.closed:
            self._stopping = True
            self._wish(self, "pause" if pause else "stop", reason)

    def pause_at_save(self) -> None:
        """Ask the worker to pause when it next saves its state; one that saves none continues."""
        self._wish(self, "pause_at_save", "")

    def kill(self, reason: str = "") -> None:
        """End the worker at once; ``reason`` is one word where its end is to say it."""
        self._wish(self, "kill", reason)

    def take(self, lines: Lines) -> None:
        """Take what its host says of its log. Raises OSError, StoreError."""
        place = self.copy.offset
        if new := self.copy.append(lines):
            self.read(new if place == self.read_bytes else None)

    def heard(self, wall_seconds: float) -> None:
        """Its host says how long it has run."""
        self._known_seconds, self._known_at = wall_seconds, self._now()

    def close(self, record: AttemptRecord) -> None:
        """It has ended as ``record`` says, which its log there, on a disk that took no event, may lack."""
        self.closed = True
        if self.record.ended_at is None:
            self._write_end(ending_of(record), record.usage.wall_seconds, record.kept_epoch)
        if ending_of(self.record).for_good:
            discard(self.request.folder)

    def give_up(self, reason: str, message: str) -> None:
        """Nothing more is known of it: it was killed, and is billed until the last that was known."""
        self.closed = True
        kept_epoch = self.kept_epoch if reason == NODE_LOST else None
        self._write_end(Ending(TrialState.KILLED, reason, message), self.wall_seconds, kept_epoch)

    def note(self, sentence: str) -> None:
        """Add a sentence for the person who runs the study."""
        self.record = replace(self.record, notes=(*self.record.notes, sentence))

    def _write_end(self, ending: Ending, wall_seconds: float, kept_epoch: int | None) -> None:
        ended = write_ending(self.request.log_path, self.record, ending, wall_seconds, kept_epoch=kept_epoch)
        self.read()
        if self.record.ended_at is None:
            self.record = ended
