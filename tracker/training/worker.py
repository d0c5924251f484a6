"""A worker: one process, one attempt. Loads the workload, trains, writes events, exits.

It runs in a child of a forkserver that has torch imported already. It imports neither MLflow nor
Optuna, and a missing coordinator, a full disk or a stop request never leaves it hanging.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from tracker.errors import TrackerError, TrainingFailedError
from tracker.pricing.energy import cpu_chip
from tracker.records import DataCard, Role, TrialState
from tracker.training.assignment import Place, Reporting, Saving, Seat, Task
from tracker.training.ending import DISK_FAILED, NO_EVENTS, Ending, ends_well, failure
from tracker.training.events import EventLog
from tracker.training.loading import load_workload
from tracker.training.machine import cpu_model
from tracker.training.meeting import meet_across, meet_here
from tracker.training.meter import Meter
from tracker.training.parts import Parts
from tracker.training.precision import PRECISIONS
from tracker.training.prepared import mark_prepared, prepare_here
from tracker.training.process_tree import end_all_below
from tracker.training.processes import Companions, Verdict
from tracker.training.request import AttemptRequest
from tracker.training.run import Paused, Run
from tracker.training.set_up import begin, limit_memory, take_cores
from tracker.training.source_files import SourceFiles
from tracker.training.state import discard_state
from tracker.training.stopping import (
    PAUSE_AT_SAVE_SIGNAL,
    PAUSE_SIGNAL,
    STOP_SECONDS,
    UNWRITTEN_SECONDS,
    StopRequested,
    StopSignal,
    heartbeat,
    take_requests,
)
from tracker.training.workload import Workload

cpu_chip(cpu_model())  # kept for all that are forked from this process: each would look through the table again


class LastEpochReached(BaseException):
    """Raised out of the report of the last epoch that was asked for."""


def work(request: AttemptRequest) -> None:
    """Run an attempt from its request to its ``ended`` event; the whole life of a worker.

    It exits with os.EX_IOERR where that event cannot be written: the coordinator writes it then.
    """
    begin(request)
    log = EventLog(request.log_path)
    meter = _meter(request)
    log.write("started", {"pid": os.getpid()})
    take_cores(request.cores)
    stop = StopSignal()
    worker = os.getpid()
    ending, summary = _trained_to_its_end(request, log, meter, stop)
    if os.getpid() != worker:
        os._exit(1)  # a fork that training made and that came back: it has no end of its own
    stop.ignore()
    end_all_below()
    if _write_end(log, meter, ending, summary):
        if ending.for_good:
            discard_state(request.folder)
    else:
        sys.exit(os.EX_IOERR)


def _trained_to_its_end(
    request: AttemptRequest, log: EventLog, meter: Meter, stop: StopSignal
) -> tuple[Ending, dict[str, float]]:
    """How the training ended, and the figures that it concluded with."""
    ending, summary, verdict = Ending(TrialState.COMPLETED), dict[str, float](), Verdict()

    def give_up(ending: Ending) -> None:
        end_all_below()
        _write_end(log, meter, ending, {})
        os._exit(1)

    def does_not_stop() -> None:
        message = f"the training did not stop within {STOP_SECONDS:g} s of being asked to"
        give_up(Ending(TrialState.KILLED, stop.reason, message))

    try:
        limit_memory(request)
        take_requests()
        parts = Parts(request.span, verdict, give_up)
        if parts.span is not None:
            request = replace(request, span=parts.span)
            log.write("meeting", {"line": parts.span.line, "store": parts.span.store})
        companions = Companions(request.ranks[1:], accompany, request, verdict.failed)
        with companions, parts, heartbeat(log, meter, stop, does_not_stop):
            summary = _carry_out(request, log, meter, stop, parts.store)
    except Paused as pause:
        ending = Ending(TrialState.PAUSED, "paused", f"paused after epoch {pause}")
    except LastEpochReached:
        ending = Ending(TrialState.COMPLETED, "", f"done after epoch {request.last_epoch}, as asked for")
    except StopRequested:
        pausing = stop.pausing and request.state_path.exists()
        state = TrialState.PAUSED if pausing else TrialState.STOPPED
        message = NO_EVENTS if stop.reason == DISK_FAILED else f"{state} before its last epoch"
        ending = Ending(state, stop.reason, message)
    except BaseException as error:  # noqa: BLE001 - whatever training code raises fails its trial, not the study
        ending = failure(error)
        if log.problem:  # whatever it raised, the disk is to blame: it can continue on one that takes what it writes
            state = TrialState.PAUSED if request.state_path.exists() else TrialState.STOPPED
            ending = Ending(state, DISK_FAILED, f"{NO_EVENTS}; {ending.message}")
        if not isinstance(error, TrackerError):
            with contextlib.suppress(OSError):  # the output may be on a full disk
                traceback.print_exc()
    return verdict.ending or ending, summary


def _write_end(log: EventLog, meter: Meter, ending: Ending, summary: Mapping[str, float]) -> bool:
    """Write the last event, and return whether it is on the disk; one that has just failed is given a moment."""
    outcome = {"state": ending.state, "reason": ending.reason, "message": ending.message, "summary": summary}
    written = log.write("ended", {**outcome, "usage": meter.usage(), "phases": meter.phases()})
    while not written and log.failing_seconds < UNWRITTEN_SECONDS:
        time.sleep(1.0)
        written = log.flush()
    return written


def _carry_out(
    request: AttemptRequest, log: EventLog, meter: Meter, stop: StopSignal, meeting: socket.socket | None
) -> dict[str, float]:
    workload = load_workload(request.workload)

    def progress(message: str) -> None:
        log.write("progress", {"message": message})

    if request.role is Role.PREPARATION:
        torch.set_num_threads(len(request.cores))
        meter.clock.ready()
        card = workload.prepare(request.data, request.settings, request.cache, progress)
        meter.acquired(card)
        mark_prepared(request)
        log.write("data", {"card": card})
        return {}
    prepare_here(request, workload, progress)

    def write(event: str, *fields: Mapping[str, Any]) -> None:
        last = request.last_epoch if event == "checkpoint" else None
        ends = [index for index, each in enumerate(fields, 1) if last is not None and each["epoch"] >= last][:1]
        with stop.held():
            log.write(event, *(fields[: ends[0]] if ends else fields))
        if ends:
            raise LastEpochReached

    run = _run(request, workload, meter, write, meeting=meeting)
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


def accompany(request: AttemptRequest, rank: int) -> Ending | None:
    """The whole life of process ``rank`` above 0 of a trial; what went wrong, where something did."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(PAUSE_SIGNAL, signal.SIG_IGN)
    signal.signal(PAUSE_AT_SAVE_SIGNAL, signal.SIG_IGN)
    try:
        workload = load_workload(request.workload)
        if request.span is not None and request.span.part:  # the first machine's are prepared by process 0
            prepare_here(request, workload, _say_nothing)
        _trained(workload.train, _run(request, workload, _meter(request), _say_nothing, rank))
    except Paused:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 - process 0 hears of it
        traceback.print_exc()
        ending = failure(error)
        return replace(ending, message=f"process {rank}: {ending.message}")
    return None


def _run(
    request: AttemptRequest,
    workload: Workload,
    meter: Meter,
    write: Any,
    rank: int = 0,
    meeting: socket.socket | None = None,
) -> Run:
    random.seed(request.seed)
    np.random.seed(request.seed)
    torch.manual_seed(request.seed)
    torch.set_num_threads(max(1, len(request.cores) // len(request.ranks)))
    precision = PRECISIONS[str(request.settings["precision"])]
    precision.set_up()
    device = torch.device("cpu")
    if request.accelerators:
        device = torch.device("cuda", request.accelerators[request.ranks.index(rank)])
        torch.cuda.set_device(device)
    if request.span is not None:
        meet_across(rank, request.processes, device, request.span, meeting)
    elif request.processes > 1:
        meet_here(rank, request.processes, device, request.folder / f"{request.attempt}.meeting")
    task = Task(
        request.settings, request.data, request.data_card or DataCard("", "", {}), request.seed, request.quality
    )
    place = Place(
        request.cache,
        request.artifacts,
        folder=request.folder,
        output=request.output_path,
        study=request.study,
        label=f"{request.study} {request.label} {request.attempt}",
        tracking_uri=request.tracking_uri,
        command_store=request.command_store,
        report_table=request.report_table,
    )
    saving = Saving(
        request.state_path if request.role is Role.TRIAL else None,
        pause_after_epoch=request.pause_after_epoch,
        own_last_epoch=request.own_last_epoch,
        source_files=SourceFiles(getattr(workload, "source_files", ())),
    )
    return Run(
        task,
        Seat(device, precision, rank, request.processes, request.accelerators),
        place,
        Reporting(meter, write, request.needed_metrics, frozenset(workload.metrics)),
        saving,
    )


def _meter(request: AttemptRequest) -> Meter:
    return Meter(
        asked_steady=request.asked_steady,
        cores=len(request.cores),
        accelerators=request.accelerators,
        data_bytes=request.data_card.size_bytes if request.data_card else 0,
        kept_files=request.artifacts,
        cpu_model=cpu_model(),
        accelerator_model=request.accelerator_model,
        machines=request.machines,
    )


def _say_nothing(event: str, *fields: Mapping[str, Any]) -> None:
    """Only process 0 writes events."""
    del event, fields
