"""How the time of a machine divides: what attempts are billed for, and what nobody is."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.engine.node import Node
from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.pricing.price_point import PricePoint
from tracker.records import AttemptRecord
from tracker.training.ending import NODE_LOST


@dataclass(slots=True)
class NodeTime:
    """Seconds of a whole machine, since the fleet first named it, by the machine's own clock once its host speaks.

    ``provisioning_seconds`` are those before, where nothing ran there yet. Of the rest attempts take their share:
    ``trained_seconds`` are billed to them and kept, ``lost_seconds`` were trained and are trained again, or nobody saw
    them, because the machine was lost, and in ``copying_seconds`` files were on their way. What another study's
    attempts take is idle to this one.
    """

    total_seconds: float = 0.0
    provisioning_seconds: float = 0.0
    trained_seconds: float = 0.0
    lost_seconds: float = 0.0
    copying_seconds: float = 0.0

    @property
    def idle_seconds(self) -> float:
        """The seconds that no attempt took."""
        taken = self.trained_seconds + self.lost_seconds + self.copying_seconds
        return max(0.0, self.total_seconds - self.provisioning_seconds - taken)

    def enter(self, record: AttemptRecord, share: float, before_seconds: float) -> None:
        """Enter an attempt that has ended, on a share of the machine, without its seconds before this time was kept."""
        kept = record.usage.wall_seconds
        if record.reason == NODE_LOST:
            saved = [each for each in record.checkpoints if each.epoch <= (record.saved_epoch or 0)]
            kept = saved[-1].usage.wall_seconds if saved else 0.0
        self.trained_seconds += max(0.0, kept - before_seconds) * share
        self.lost_seconds += (record.usage.wall_seconds - max(kept, before_seconds)) * share

    def lines_usd(self, point: PricePoint) -> dict[str, float]:
        """What each part costs at a machine's rate, in USD; their sum is what the machine costs."""
        parts = {
            "provisioning": self.provisioning_seconds,
            "trained": self.trained_seconds,
            "lost": self.lost_seconds,
            "copying": self.copying_seconds,
            "idle": self.idle_seconds,
        }
        return {name: seconds * point.usd_per_hour / SECONDS_PER_HOUR for name, seconds in parts.items()}


def share_of(node: Node | None, cores: int, accelerators: int) -> float:
    """The share of a machine that cores and GPUs take: the larger one; all of one that nobody knows."""
    if node is None:
        return 1.0
    return max(cores / node.cores, accelerators / node.accelerators if accelerators else 0.0)
