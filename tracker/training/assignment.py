"""What a run is given: its task, its seat on the machine, its places, and where its reports and states go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tracker.records import DataCard, QualityMetric, Settings
from tracker.study.report_table import ReportTable
from tracker.training.meter import Meter
from tracker.training.precision import Precision
from tracker.training.source_files import SourceFiles


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained, on what, and what counts.

    ``settings`` are every knob's value, ``data`` the study's [data] table and ``data_card`` what it prepared; ``seed``
    seeds every source of randomness.
    """

    settings: Settings
    data: Mapping[str, Any]
    data_card: DataCard
    seed: int
    quality: QualityMetric


@dataclass(frozen=True, slots=True)
class Seat:
    """Where on the machine a process trains: it is number ``rank`` of ``processes``, on one of the ``accelerators``."""

    device: torch.device
    precision: Precision
    rank: int = 0
    processes: int = 1
    accelerators: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's files are, and what a command must know of its study.

    ``cache`` is the folder of the prepared data, ``artifacts`` that of the files worth keeping, ``folder`` the trial's
    own; None outside a study. ``output`` is the file that the attempt's output goes to, None where it is not
    redirected. ``label`` names the attempt among all of ``study``. ``command_store`` is an empty MLflow database that a
    command's own is a copy of, and ``report_table`` the study's [report] table; None where there is none.
    """

    cache: Path
    artifacts: Path
    folder: Path | None = None
    output: Path | None = None
    study: str = ""
    label: str = ""
    tracking_uri: str = ""
    command_store: Path | None = None
    report_table: ReportTable | None = None


@dataclass(frozen=True, slots=True)
class Reporting:
    """What measures a run, what takes its events, and which metrics the study needs or the workload declares."""

    meter: Meter
    write: Callable[..., None]
    needed_metrics: frozenset[str] = frozenset()
    declared_metrics: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Saving:
    """Where a trial's state is saved, None where it is not; after ``pause_after_epoch`` the attempt pauses.

    After ``own_last_epoch`` the training ends by itself, as far as is known: it is not paused there.
    """

    path: Path | None = None
    pause_after_epoch: int | None = None
    own_last_epoch: float = math.inf
    source_files: SourceFiles = field(default_factory=SourceFiles)
