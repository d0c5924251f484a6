"""A simulated training on a simulated host, as it really is: what a coordinator knows of it may be less."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tracker.engine.cluster.messages import Key
from tracker.engine.cluster.parcels import File
from tracker.engine.reservations import Reservation
from tracker.records import AttemptRecord
from tracker.training.event_lines import read_line
from tracker.training.events import follow, new_attempt
from tracker.training.request import AttemptRequest


@dataclass
class Training:
    """``log`` is all that was ever written; ``began`` and ``ended_at`` are of the host's ``now``.

    ``epoch`` is how far it is, at ``epoch_seconds`` each, ``saved`` after which it saved a state last, and ``known_at``
    how many bytes of its log are worth saying at once. ``kept`` are the files that were linked aside, by name and path.
    """

    key: Key
    request: AttemptRequest
    reservation: Reservation
    began: float
    log: bytes
    epoch: int
    saved: int | None
    epoch_seconds: float
    pausing: bool = False
    ended_at: float | None = None
    known_at: int = 0
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def record(self) -> AttemptRecord:
        """What its whole log says."""
        return follow(new_attempt(self.key.attempt), map(read_line, self.log.splitlines()))


def state(epoch: int) -> bytes:
    """What a trial is resumed from after an epoch."""
    return f"epoch {epoch}\n".encode() * 1000


def file_of(path: str, content: bytes) -> File:
    """A file of this content."""
    return File(path, len(content), hashlib.sha256(content).hexdigest())
