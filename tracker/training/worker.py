"""A worker: one process, one attempt. Loads the workload, trains, writes events, exits.

It runs in a child of a forkserver that has torch imported already. It imports neither MLflow nor
Optuna, and a missing coordinator, a full disk or a stop request never leaves it hanging.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from tracker.errors import TrackerError, TrainingFailedError
from tracker.pricing.price_point import PricePoint
from tracker.records import DataCard, QualityMetric, Role, Settings, TrialState
from tracker.study.report_table import ReportTable
from tracker.training.ending import Ending, ends_well, failure
from tracker.training.events import EventLog
from tracker.training.hardware import cpu_model
from tracker.training.loading import arguments_of, load_workload
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.processes import Companions
from tracker.training.run import Paused, Run
from tracker.training.source_files import SourceFiles
from tracker.training.state import FILE_NAME, discard_state
from tracker.training.workload import Workload

HEARTBEAT_SECONDS = 2.0
PAUSE_SIGNAL = signal.SIGUSR1
"""Asks a worker to end at once so that its trial can be resumed; SIGTERM ends the trial for good."""
PAUSE_AT_SAVE_SIGNAL = signal.SIGUSR2
"""Asks a worker to pause when it next saves its state: no training is lost."""


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything that a worker needs.

    ``folder`` holds this trial's files; ``data_card`` is None while the data are prepared; ``asked_at`` is in
    seconds since 1970; ``cores`` are the CPU numbers reserved for it and ``accelerators`` the GPUs' indices,
    ``accelerator_model`` the price book's name of them; ``price_point`` is what it is billed as, by the price book of
    version ``price_book``. ``needed_metrics`` are those that the study cannot do without beside quality.
    ``tracking_uri`` is the study's MLflow store, for training code that logs to it by itself; ``command_store`` an
    empty database that a command's own store is a copy of, None where there is none, and ``report_table`` how a command
    reports by the study's [report] table. ``user`` is who runs the study.
    ``memory_limit_bytes`` is what training on the CPU may take; ``pause_after_epoch`` pauses it there, and after
    ``last_epoch`` it is done, whatever the settings say: they decide how the epochs until then are trained.
    After ``own_last_epoch`` the training ends by itself, as far as is known: it is not paused there.
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
    memory_limit_bytes: int | None = None
    time_limit_seconds: float | None = None
    pause_after_epoch: int | None = None
    last_epoch: int | None = None
    own_last_epoch: float = math.inf
    user: str = ""

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


class StopRequested(BaseException):
    """Raised in the main thread of a worker that is asked to stop; like KeyboardInterrupt, not an error."""


class LastEpochReached(BaseException):
    """Raised out of the report of the last epoch that was asked for."""


def work(request: AttemptRequest) -> None:
    """Run an attempt from its request to its ``ended`` event; the whole life of a worker."""
    _redirect_output(request.output_path)
    sys.argv = arguments_of(request.workload)
    log = EventLog(request.log_path)
    meter = _meter(request)
    log.write("started", {"pid": os.getpid()})
    _take_cores(request.cores)
    _limit_memory(request)
    ending, summary = Ending(TrialState.COMPLETED), dict[str, float]()
    stop = _StopSignal()
    companions = Companions(request.processes, _accompany, request)
    try:
        with companions, _heartbeat(log, meter, stop):
            summary = _carry_out(request, log, meter, stop)
    except Paused as pause:
        ending = Ending(TrialState.PAUSED, "paused", f"paused after epoch {pause}")
    except LastEpochReached:
        ending = Ending(TrialState.COMPLETED, "", f"done after epoch {request.last_epoch}, as asked for")
    except StopRequested:
        pausing = stop.pausing and request.state_path.exists()
        state = TrialState.PAUSED if pausing else TrialState.STOPPED
        ending = Ending(state, stop.reason, f"{state} before its last epoch")
    except BaseException as error:  # noqa: BLE001 - whatever training code raises fails its trial, not the study
        if not isinstance(error, TrackerError):
            traceback.print_exc()
        ending = failure(error)
    stop.ignore()
    if companions.failure is not None:
        ending = companions.failure
    if ending.for_good:
        discard_state(request.folder)
    outcome = {"state": ending.state, "reason": ending.reason, "message": ending.message, "summary": summary}
    log.write("ended", {**outcome, "usage": meter.usage(), "phases": meter.phases()})


def _carry_out(request: AttemptRequest, log: EventLog, meter: Meter, stop: _StopSignal) -> dict[str, float]:
    workload = load_workload(request.workload)
    if request.role is Role.PREPARATION:
        torch.set_num_threads(len(request.cores))
        meter.ready()
        card = workload.prepare(
            request.data, request.settings, request.cache, lambda message: log.write("progress", {"message": message})
        )
        meter.acquired(card)
        log.write("data", {"card": card})
        return {}

    def write(event: str, *fields: Mapping[str, Any]) -> None:
        last = request.last_epoch if event == "checkpoint" else None
        ends = [index for index, each in enumerate(fields, 1) if last is not None and each["epoch"] >= last][:1]
        with stop.held():
            log.write(event, *(fields[: ends[0]] if ends else fields))
        if ends:
            raise LastEpochReached

    run = _run(request, workload, meter, write)
    stop.pause_at_save = partial(setattr, run, "pause_asked", True)
    train = workload.train if request.role.trains_settings else workload.baselines[request.label]
    with tempfile.TemporaryDirectory(prefix="inductor-", ignore_cleanup_errors=True) as scratch:
        # Each trial pays for its own compilation, so that its price does not depend on who came before.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
        _trained(train, run)
    if not run.reported:
        raise TrainingFailedError("no_report", "the training ended without a report; run.report(epoch, …) makes one")
    return run.summary


def _trained(train: Callable[[Run], None], run: Run) -> None:
    try:
        train(run)
    except SystemExit as leaving:
        if not ends_well(leaving):
            raise
    except Exception as error:
        explained = run.explained(error)
        if explained is error:
            raise
        traceback.print_exc()
        raise explained from error


def _accompany(request: AttemptRequest, rank: int) -> Ending | None:
    """The whole life of process ``rank`` above 0 of a trial; what went wrong, where something did."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(PAUSE_SIGNAL, signal.SIG_IGN)
    signal.signal(PAUSE_AT_SAVE_SIGNAL, signal.SIG_IGN)
    try:
        workload = load_workload(request.workload)
        _trained(workload.train, _run(request, workload, _meter(request), _say_nothing, rank))
    except Paused:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 - process 0 hears of it
        traceback.print_exc()
        ending = failure(error)
        return replace(ending, message=f"process {rank}: {ending.message}")
    return None


def _run(request: AttemptRequest, workload: Workload, meter: Meter, write: Any, rank: int = 0) -> Run:
    random.seed(request.seed)
    np.random.seed(request.seed)
    torch.manual_seed(request.seed)
    torch.set_num_threads(max(1, len(request.cores) // request.processes))
    precision = PRECISIONS[str(request.settings["precision"])]
    precision.set_up()
    device = torch.device("cpu")
    if request.accelerators:
        device = torch.device("cuda", request.accelerators[rank])
        torch.cuda.set_device(device)
    if request.processes > 1:
        Companions.meet(rank, request.processes, device, request.folder / f"{request.attempt}.meeting")
    return Run(
        settings=request.settings,
        data=request.data,
        data_card=request.data_card or DataCard("", "", {}),
        seed=request.seed,
        device=device,
        precision=precision,
        cache=request.cache,
        artifacts=request.artifacts,
        quality=request.quality,
        needed_metrics=request.needed_metrics,
        declared_metrics=frozenset(workload.metrics),
        source_files=SourceFiles(getattr(workload, "source_files", ())),
        meter=meter,
        write=write,
        state_path=request.state_path if request.role is Role.TRIAL else None,
        pause_after_epoch=request.pause_after_epoch,
        own_last_epoch=request.own_last_epoch,
        rank=rank,
        processes=request.processes,
        folder=request.folder,
        study=request.study,
        label=f"{request.study} {request.label} {request.attempt}",
        tracking_uri=request.tracking_uri,
        accelerators=request.accelerators,
        output=request.output_path,
        command_store=request.command_store,
        report_table=request.report_table,
    )


def _meter(request: AttemptRequest) -> Meter:
    return Meter(
        started_at=request.asked_at,
        cores=len(request.cores),
        accelerators=request.accelerators,
        data_bytes=request.data_card.size_bytes if request.data_card else 0,
        kept_files=request.artifacts,
        cpu_model=cpu_model(),
        accelerator_model=request.accelerator_model,
    )


def _say_nothing(event: str, *fields: Mapping[str, Any]) -> None:
    """Only process 0 writes events."""
    del event, fields


class _StopSignal:
    """Turns SIGTERM and PAUSE_SIGNAL into StopRequested in the main thread, never in the middle of an event."""

    def __init__(self) -> None:
        self.reason = ""
        """Why, where this process knows better than the coordinator that asked."""
        self.pausing = False
        """Whether the trial is to be resumed."""
        self.pause_at_save: Callable[[], None] = lambda: None
        """What to do when a pause at the next saving is asked for."""
        self._held = False
        self._pending = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the coordinator decides
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(PAUSE_SIGNAL, self._receive)
        signal.signal(PAUSE_AT_SAVE_SIGNAL, self._pause_at_save)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.pausing = number == PAUSE_SIGNAL
        if self._held:
            self._pending = True
        else:
            raise StopRequested

    def _pause_at_save(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.pause_at_save()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise StopRequested

    def ignore(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(PAUSE_SIGNAL, signal.SIG_IGN)
        signal.signal(PAUSE_AT_SAVE_SIGNAL, signal.SIG_IGN)


@contextlib.contextmanager
def _heartbeat(log: EventLog, meter: Meter, stop: _StopSignal) -> Iterator[None]:
    """Log the usage every two seconds, and stop the training when the coordinator has vanished."""
    # Not the process above this one: the forkserver lives for as long as any of its children.
    coordinator, done = multiprocessing.parent_process(), threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            log.write("heartbeat", {"usage": meter.usage()})
            if coordinator is not None and not coordinator.is_alive():
                stop.reason = "coordinator_gone"
                os.kill(os.getpid(), PAUSE_SIGNAL)
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1.0)


def _take_cores(cores: tuple[int, ...]) -> None:
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # a hint: a container may forbid it
            os.sched_setaffinity(0, cores)


def _limit_memory(request: AttemptRequest) -> None:
    """Limit this process's memory, so that an allocation fails before the system runs out and kills some process.

    Linux counts what is private and writable (RLIMIT_DATA); a process that drives GPUs reserves far more than it uses.
    """
    if request.memory_limit_bytes is not None and not request.accelerators and sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):  # a tighter limit is set already
            resource.setrlimit(resource.RLIMIT_DATA, (request.memory_limit_bytes, resource.RLIM_INFINITY))
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")  # prefer killing the worker to killing the coordinator


def _redirect_output(path: Path) -> None:
    """Send what this process prints, native libraries included, to a file beside its log."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
