"""When to strike: after some time, or right after a certain event of a worker was written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

EVENTS = ("asked", "started", "ready", "checkpoint", "saved", "ended")
_LOOK_SECONDS = 0.002
_LONGEST_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Moment:
    """``after`` is an event, to wait for ``count`` new ones of; "" for none. ``delay_seconds`` pass after that."""

    after: str
    count: int
    delay_seconds: float

    @classmethod
    def drawn(cls, random: Random) -> Moment:
        """Three in four follow an event at once or almost at once; the others come at any time, start-up included."""
        if random.random() < 0.25:
            return cls("", 0, random.uniform(0.0, 8.0))
        delay_seconds = random.choice((0.0, 0.0, 0.001, 0.005, 0.02, 0.1, 0.4))
        return cls(random.choice(EVENTS), random.randint(1, 3), delay_seconds)

    def wait(self, home: Path, is_over: Callable[[], bool]) -> bool:
        """Wait for it; False where the study is over before."""
        begin = time.monotonic()
        known = _count(home, self.after) if self.after else 0
        while self.after and _count(home, self.after) < known + self.count:
            # An event that does not come is not waited for all the time: the moment is as good as any other.
            if is_over() or time.monotonic() - begin > _LONGEST_SECONDS:
                return not is_over()
            time.sleep(_LOOK_SECONDS)
        end = time.monotonic() + self.delay_seconds
        while time.monotonic() < end:
            if is_over():
                return False
            time.sleep(min(0.02, max(0.0, end - time.monotonic())))
        return not is_over()

    @property
    def words(self) -> str:
        """The moment in words."""
        after = f"{self.count} × {self.after} " if self.after else ""
        return f"{after}+ {self.delay_seconds * 1000:.0f} ms"


def _count(home: Path, event: str) -> int:
    """How many such events the logs of all studies in a home have, those that are being prepared included."""
    mark = f'"event": "{event}"'.encode()
    with contextlib.suppress(FileNotFoundError):  # a folder was renamed or removed meanwhile
        studies = home / "studies"
        logs = [*studies.glob("*/trials/*/*.jsonl"), *studies.glob(".*/trials/*/*.jsonl")]
        return sum(log.read_bytes().count(mark) for log in logs)
    return 0
