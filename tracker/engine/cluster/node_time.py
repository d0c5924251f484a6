"""How the time of a machine divides: what a study's attempts are billed for, and what nobody is."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.engine.node import Node
from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.pricing.price_point import PricePoint
from tracker.records import AttemptRecord


@dataclass(slots=True)
class NodeTime:
    """Seconds of a whole machine while a study had it, by the machine's own clock, which last read ``clock``.

    ``point`` is what the machine is billed as, None where nobody knows. ``provisioning_seconds`` are those until its
    host first spoke, where nothing ran there yet. Of the rest attempts take their share: ``trained_seconds`` are
    billed to them and kept, ``lost_seconds`` are billed to them and were trained in vain, for the machine was lost
    with what they had reached, ``late_seconds`` were trained by attempts that were given up, and in
    ``copying_seconds`` files were on their way. What another study's attempts take is idle to this one.
    """

    node: Node
    point: PricePoint | None = None
    total_seconds: float = 0.0
    provisioning_seconds: float = 0.0
    trained_seconds: float = 0.0
    lost_seconds: float = 0.0
    late_seconds: float = 0.0
    copying_seconds: float = 0.0
    clock: float | None = None

    @property
    def is_new(self) -> bool:
        """Whether the machine has never spoken."""
        return self.clock is None and not self.total_seconds

    @property
    def taken_seconds(self) -> float:
        """The seconds that were for attempts, or before any could start."""
        attempts = self.trained_seconds + self.lost_seconds + self.late_seconds + self.copying_seconds
        return self.provisioning_seconds + attempts

    @property
    def idle_seconds(self) -> float:
        """The seconds that no attempt took; below 0 only where the books are wrong."""
        return self.total_seconds - self.taken_seconds

    def enter(self, record: AttemptRecord, share: float) -> None:
        """Enter an attempt that has ended, on a share of the machine."""
        kept, lost = kept_and_lost_seconds(record)
        self.trained_seconds += kept * share
        self.lost_seconds += lost * share

    def heard(self, clock: float) -> None:
        """The machine speaks, and its own clock reads so many seconds."""
        if self.clock is not None:
            self.total_seconds += max(0.0, clock - self.clock)
        self.clock = clock

    @property
    def lines_usd(self) -> dict[str, float] | None:
        """What each part costs at the machine's rate, in USD; their sum is what the machine costs. None without a rate.

        Keys: provisioning, trained, lost, copying, idle.
        """
        if self.point is None:
            return None
        parts = {
            "provisioning": self.provisioning_seconds,
            "trained": self.trained_seconds,
            "lost": self.lost_seconds + self.late_seconds,
            "copying": self.copying_seconds,
            "idle": self.idle_seconds,
        }
        return {name: seconds * self.point.usd_per_hour / SECONDS_PER_HOUR for name, seconds in parts.items()}


def kept_and_lost_seconds(record: AttemptRecord) -> tuple[float, float]:
    """The seconds of an attempt that has ended whose work is kept, and those whose work was lost with its machine."""
    wall_seconds = record.usage.wall_seconds
    if record.kept_epoch is None:
        return wall_seconds, 0.0
    reached = [each.usage.wall_seconds for each in record.checkpoints if each.epoch <= record.kept_epoch]
    kept = reached[-1] if reached else 0.0
    return kept, wall_seconds - kept
