"""A worker: one process, one attempt. Loads the workload, trains, writes events, exits.

It runs in a child of a forkserver that has torch imported already. It imports neither MLflow nor
Optuna, and a missing coordinator, a full disk or a stop request never leaves it hanging.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from tracker.errors import TrackerError, TrainingFailedError
from tracker.pricing.price_point import PricePoint
from tracker.records import DataCard, Role, Settings, TrialState
from tracker.training.events import EventLog
from tracker.training.hardware import cpu_model
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Run
from tracker.training.workload import Workload, load_workload

HEARTBEAT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything that a worker needs to know.

    ``folder`` holds this trial's files; ``data_card`` is None while the data are prepared; ``asked_at`` is in
    seconds since 1970; ``cores`` are the CPU numbers reserved for it and ``accelerator`` the GPU's index, None
    without one, ``accelerator_model`` the price book's name of it; ``price_point`` is what it is billed as, by the
    price book of version ``price_book``.
    """

    folder: Path
    attempt: int
    role: Role
    label: str
    workload: str
    settings: Settings
    data: Mapping[str, Any]
    data_card: DataCard | None
    seed: int
    cores: tuple[int, ...]
    accelerator: int | None
    accelerator_model: str
    price_point: PricePoint
    price_book: str
    cache: Path
    asked_at: float

    @property
    def log_path(self) -> Path:
        """The attempt's event log."""
        return self.folder / f"{self.attempt}.jsonl"

    @property
    def output_path(self) -> Path:
        """What the attempt printed."""
        return self.folder / f"{self.attempt}.log"

    @property
    def artifacts(self) -> Path:
        """The folder of the files that the training keeps."""
        return self.folder / "artifacts"


class StopRequested(BaseException):
    """Raised in the main thread of a worker that is asked to stop; like KeyboardInterrupt, not an error."""


def work(request: AttemptRequest) -> None:
    """Carry out an attempt from its request to its ``ended`` event; the whole life of a worker."""
    _redirect_output(request.output_path)
    log = EventLog(request.log_path)
    meter = Meter(
        started_at=request.asked_at,
        cores=len(request.cores),
        accelerator=request.accelerator,
        data_bytes=request.data_card.size_bytes if request.data_card else 0,
        kept_files=request.artifacts,
        cpu_model=cpu_model(),
        accelerator_model=request.accelerator_model,
    )
    log.write("started", {"pid": os.getpid()})
    state, reason, message, summary = TrialState.COMPLETED, "", "", dict[str, float]()
    stop = _StopSignal()
    try:
        with _heartbeat(log, meter, stop):
            summary = _carry_out(request, log, meter, stop)
    except StopRequested:
        state, reason, message = TrialState.STOPPED, stop.reason, "stopped before its last epoch"
    except TrainingFailedError as error:
        state, reason, message = TrialState.FAILED, error.reason, str(error)
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        state, reason, message = TrialState.FAILED, "out_of_memory", str(error) or "out of memory"
    except TrackerError as error:
        state, reason, message = TrialState.FAILED, type(error).__name__, str(error)
    except Exception as error:  # noqa: BLE001 - whatever training code raises fails its trial, not the study
        traceback.print_exc()
        state, reason, message = TrialState.FAILED, "error", f"{type(error).__name__}: {error}"
    stop.ignore()
    ended = {"state": state, "reason": reason, "message": message, "summary": summary}
    log.write("ended", {**ended, "usage": meter.usage(), "phases": meter.phases()})


def _carry_out(request: AttemptRequest, log: EventLog, meter: Meter, stop: _StopSignal) -> dict[str, float]:
    _take_cores(request.cores)
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
    run = _run(request, workload, log, meter, stop)
    train = workload.train if request.role is Role.TRIAL else workload.baselines[request.label]
    with tempfile.TemporaryDirectory(prefix="inductor-", ignore_cleanup_errors=True) as scratch:
        # Each trial pays for its own compilation, so that its price does not depend on who came before.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
        train(run)
    return run.summary


def _run(request: AttemptRequest, workload: Workload, log: EventLog, meter: Meter, stop: _StopSignal) -> Run:
    random.seed(request.seed)
    np.random.seed(request.seed)
    torch.manual_seed(request.seed)
    torch.set_num_threads(len(request.cores))
    precision = PRECISIONS[str(request.settings["precision"])]
    precision.set_up()
    device = torch.device("cpu")
    if request.accelerator is not None:
        device = torch.device("cuda", request.accelerator)
        torch.cuda.set_device(device)

    def write(event: str, fields: Mapping[str, Any]) -> None:
        with stop.held():
            log.write(event, fields)

    return Run(
        settings=request.settings,
        data=request.data,
        data_card=request.data_card or DataCard("", "", {}),
        seed=request.seed,
        device=device,
        precision=precision,
        cache=request.cache,
        artifacts=request.artifacts,
        quality_metrics=frozenset(workload.metrics),
        meter=meter,
        write=write,
    )


class _StopSignal:
    """Turns SIGTERM into StopRequested in the main thread, but never in the middle of an event."""

    def __init__(self) -> None:
        self.reason = ""
        """Why, where this process knows better than the coordinator that asked."""
        self._held = False
        self._pending = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the coordinator decides
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._held:
            self._pending = True
        else:
            raise StopRequested

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


@contextlib.contextmanager
def _heartbeat(log: EventLog, meter: Meter, stop: _StopSignal) -> Iterator[None]:
    """Tell the usage every two seconds, and stop the training when the coordinator has vanished."""
    # Not the process above this one: the forkserver lives for as long as any of its children.
    coordinator, done = multiprocessing.parent_process(), threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            log.write("heartbeat", {"usage": meter.usage()})
            if coordinator is not None and not coordinator.is_alive():
                stop.reason = "coordinator_gone"
                os.kill(os.getpid(), signal.SIGTERM)
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


def _redirect_output(path: Path) -> None:
    """Send what this process prints, native libraries included, to a file beside its log."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
