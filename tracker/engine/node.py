"""A machine of many, and what an attempt needs of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracker.records import trial_memory_bytes

Kind = tuple[bool, str, str]
"""A kind of machine: whether with GPUs, their model, and the market; "" for any."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an attempt needs of each of its machines, ``nodes`` of one SKU, market and region.

    ``accelerator_model`` and ``market`` are "" where any will do.
    """

    cores: int
    accelerators: int = 0
    accelerator_model: str = ""
    memory_bytes: int = 0
    market: str = ""
    nodes: int = 1

    @property
    def kind(self) -> Kind:
        """What kind of machine it needs, whatever its size: where one is lacking, another may be idle."""
        return self.accelerators > 0, self.accelerator_model, self.market

    def may_follow(self, other: Needs) -> bool:
        """Whether a machine that met other needs is of the kind that meets these."""
        gpus = not self.accelerators or other.accelerators > 0
        return gpus and self.accelerator_model in ("", other.accelerator_model) and self.market in ("", other.market)

    @property
    def words(self) -> str:
        """The needs in words.

        >>> Needs(2, 1, "H100", memory_bytes=2**35, market="spot").words
        '2 cores, 32.0 GB of memory and 1 × H100 (spot)'
        """
        words = _words(self.cores, self.memory_bytes, self.accelerators, self.accelerator_model)
        return words + f" ({self.market})" * bool(self.market)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the fleet.

    ``node_id`` names it for its life, and no other ever; ``address`` is what others reach it by, ``labels`` are what
    whoever started it says of it. ``accelerator_model`` is "" where there is none or it is unknown.
    ``draining_seconds`` is how long it still has, by the notice that was given; None without a notice.
    """

    node_id: str
    address: str
    cores: int
    accelerators: int
    accelerator_model: str
    memory_bytes: int
    labels: Mapping[str, str] = field(default_factory=dict)
    draining_seconds: float | None = None

    @property
    def words(self) -> str:
        """The machine in words."""
        return f"{self.address} with {_words(self.cores, 0, self.accelerators, self.accelerator_model)}"

    @property
    def trial_memory_bytes(self) -> int:
        """The memory that trials may take there."""
        return trial_memory_bytes(self.memory_bytes)

    def share(self, cores: int, accelerators: int) -> float:
        """The share of the machine that cores and GPUs take: the larger one."""
        return max(cores / self.cores, accelerators / self.accelerators if accelerators else 0.0)


def _words(cores: int, memory_bytes: int, accelerators: int, model: str) -> str:
    parts = [f"{cores} core{'s' * (cores != 1)}"]
    parts += [f"{memory_bytes / 2**30:.1f} GB of memory"] if memory_bytes else []
    parts += [f"{accelerators} × {model or 'GPU'}"] if accelerators else []
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
