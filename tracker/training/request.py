"""What a coordinator asks of a worker. It imports no torch: that is the worker's, and takes seconds and much memory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tracker.pricing.price_point import PricePoint
from tracker.records import DataCard, QualityMetric, Role, Settings
from tracker.study.report_table import ReportTable
from tracker.training.span import Span
from tracker.training.state import FILE_NAME


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything that a worker needs.

    ``folder`` holds this trial's files; ``data_card`` is None while the data are prepared; ``asked_at`` is in seconds
    since 1970, and ``asked_steady`` the same moment by time.monotonic, by which it is billed; ``cores`` are the CPU
    numbers reserved for it and ``accelerators`` the GPUs' indices, ``accelerator_model`` the price book's name of them;
    ``price_point`` is what it is billed as, by the price book of version ``price_book``. ``needed_metrics`` are those
    that the study cannot do without beside quality.
    ``tracking_uri`` is the study's MLflow store, for training code that logs to it by itself; ``command_store`` an
    empty database that a command's own store is a copy of, None where there is none, and ``report_table`` how a command
    reports by the study's [report] table. ``user`` is who runs the study,
    ``node`` the machine that it runs on, "" for the coordinator's own. ``prepared_with`` are the settings that the
    study's data are prepared with, where that machine may lack them; None where it has them.
    ``memory_bytes`` is what was reserved for it, ``memory_limit_bytes`` what its processes may take on the CPU;
    ``pause_after_epoch`` pauses it there, and after ``last_epoch`` it is done, whatever the settings say: they decide
    how the epochs until then are trained.
    After ``own_last_epoch`` the training ends by itself, as far as is known: it is not paused there.
    ``span`` are its machines where it trains on several; what is said of cores, GPUs, node and folder is of this one.
    """

    study: str
    folder: Path
    attempt: int
    role: Role
    label: str
    workload: str
    quality: QualityMetric
    settings: Settings
    data: Mapping[str, Any]
    data_card: DataCard | None
    seed: int
    cores: tuple[int, ...]
    accelerators: tuple[int, ...]
    accelerator_model: str
    price_point: PricePoint
    price_book: str
    cache: Path
    asked_at: float
    needed_metrics: frozenset[str] = frozenset()
    tracking_uri: str = ""
    command_store: Path | None = None
    report_table: ReportTable | None = None
    memory_bytes: int = 0
    memory_limit_bytes: int | None = None
    time_limit_seconds: float | None = None
    pause_after_epoch: int | None = None
    last_epoch: int | None = None
    own_last_epoch: float = math.inf
    user: str = ""
    node: str = ""
    prepared_with: Settings | None = None
    span: Span | None = None
    asked_steady: float = field(default_factory=time.monotonic)

    @property
    def log_path(self) -> Path:
        """The attempt's event log."""
        return self.folder / f"{self.attempt}.jsonl"

    @property
    def output_path(self) -> Path:
        """The file of the attempt's output."""
        return self.folder / f"{self.attempt}.log"

    @property
    def artifacts(self) -> Path:
        """The folder of the files that the training keeps."""
        return self.folder / "artifacts"

    @property
    def state_path(self) -> Path:
        """The state that the trial can be resumed from, in this attempt or a later one."""
        return self.folder / FILE_NAME

    @property
    def processes(self) -> int:
        """How many processes train together; the data and the baselines are for one."""
        return int(self.settings.get("processes", 1)) if self.role.trains_settings else 1

    @property
    def ranks(self) -> range:
        """Those of its processes that train on this machine."""
        return self.span.ranks(self.processes) if self.span else range(self.processes)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The machines of a cluster that it trains on; none for the coordinator's own."""
        return tuple(part.node for part in self.span.parts) if self.span else (self.node,) if self.node else ()

    @property
    def machines(self) -> int:
        """How many machines it trains on."""
        return len(self.span.parts) if self.span else 1

    def at(self, part: int) -> AttemptRequest:
        """The request for another of its machines."""
        assert self.span is not None, "it has several"
        here = self.span.parts[part]
        return replace(self, cores=here.cores, accelerators=here.accelerators, node=here.node, span=self.span.at(part))
