"""A run to start: what an attempt of a study is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracker.engine.node import Needs
from tracker.records import Role, Settings
from tracker.study.space import GB
from tracker.training.events import Event


@dataclass(frozen=True, slots=True)
class Job:
    """A run to start: ``trial`` is its number, None for other roles; ``folder`` its name below trials/.

    ``attempt`` above 1 resumes a paused trial. A repeat is of trial ``repeats`` and ends after ``last_epoch``;
    ``own_last_epoch`` is where the training ends by itself, infinite where that is unknown.
    """

    role: Role
    label: str
    folder: str
    settings: Settings
    seed: int
    trial: int | None = None
    attempt: int = 1
    repeats: int | None = None
    last_epoch: int | None = None
    own_last_epoch: float = math.inf

    @property
    def device(self) -> str:
        """The device that it computes on."""
        return str(self.settings["device"])

    @property
    def nodes(self) -> int:
        """The machines that it trains on, alike, each with as many of its processes."""
        return int(self.settings.get("nodes", 1))

    @property
    def threads(self) -> int:
        """The cores that it reserves, on all machines together: as many on each, so it may be a few more than set."""
        return self.nodes * math.ceil(int(self.settings["threads"]) / self.nodes)

    @property
    def accelerators(self) -> int:
        """The GPUs that it reserves: one per process."""
        return int(self.settings.get("processes", 1)) if self.device == "cuda" else 0

    @property
    def needs(self) -> Needs:
        """What it needs of each of its machines."""
        model = str(self.settings.get("accelerator_model", "")) if self.accelerators else ""
        cores, accelerators = self.threads // self.nodes, self.accelerators // self.nodes
        memory_bytes = math.ceil(float(self.settings.get("memory_gb", 0.0)) * GB / self.nodes)
        market = str(self.settings.get("market", ""))
        return Needs(cores, accelerators, model, memory_bytes, market, self.nodes)


def job_of(asked: Event) -> Job:
    """The job of an attempt, from its first event."""
    label, role = asked["label"], Role(asked["role"])
    if role is Role.REPEAT:
        return _repeat_of(asked)
    number = int(label.removeprefix("#")) if role is Role.TRIAL else None
    return Job(role, label, str(number), asked["settings"], asked["seed"], number, asked["attempt"])


def _repeat_of(asked: Event) -> Job:
    label = asked["label"]
    folder = label.removeprefix("#").replace(" ", "-")
    trial = int(folder.partition("-")[0])
    return Job(
        Role.REPEAT, label, folder, asked["settings"], asked["seed"], repeats=trial, last_epoch=asked["last_epoch"]
    )
