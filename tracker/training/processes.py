"""Several processes that train one model together, each on its share of every batch (data parallel).

The worker itself is process 0. The others are its children, made by a fork before torch has any thread; they never
write events and they end with the worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed

from tracker.records import TrialState
from tracker.training.ending import Ending

PATIENCE = timedelta(hours=24)
"""How long a process waits for another: an evaluation by process 0 takes as long as it takes."""
GRACE_SECONDS = 5.0
FAILURE_SECONDS = 3.0


class Companions:
    """Processes 1 to ``processes`` - 1 of an attempt, from entering this context to leaving it.

    Each calls ``accompany(request, rank)``, which returns what went wrong. ``failure`` is the first thing that did.
    """

    def __init__(self, processes: int, accompany: Callable[[Any, int], Ending | None], request: Any) -> None:
        self.failure: Ending | None = None
        self._processes = processes
        self._accompany = accompany
        self._request = request
        self._running: list[tuple[ForkProcess, Connection]] = []
        self._noting = threading.Lock()

    def __enter__(self) -> Companions:
        context = multiprocessing.get_context("fork")
        for rank in range(1, self._processes):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_live, args=(self._accompany, self._request, rank, sender, os.getpid()))
            process.start()
            sender.close()
            self._running.append((process, receiver))
        if self._running:
            threading.Thread(target=self._watch, name="companions", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where process 0 failed because another one did, that one's own words are on their way.
        patience = GRACE_SECONDS if kind is None else FAILURE_SECONDS if issubclass(kind, Exception) else 0.0
        deadline = time.monotonic() + patience
        for process, receiver in self._running:
            process.join(max(0.0, deadline - time.monotonic()))
            self._note(process, receiver, asked_to_go=kind is not None and not issubclass(kind, Exception))
            process.kill()
            process.join()
        if self._running and torch.distributed.is_initialized():
            with contextlib.suppress(RuntimeError):
                torch.distributed.destroy_process_group()

    @staticmethod
    def meet(rank: int, processes: int, device: torch.device, meeting: Path) -> None:
        """Have all processes find each other through a file that none of them has made yet, on this machine alone."""
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=torch.distributed.FileStore(str(meeting.resolve()), processes),  # type: ignore[attr-defined]
            rank=rank,
            world_size=processes,
            timeout=PATIENCE,
        )

    def _watch(self) -> None:
        """Note who dies early: process 0 would wait for it, and torch tells it only that a connection closed."""
        waiting = list(self._running)
        while waiting:
            wait([process.sentinel for process, _ in waiting])
            for process, receiver in [each for each in waiting if not each[0].is_alive()]:
                self._note(process, receiver, asked_to_go=False)
                waiting.remove((process, receiver))

    def _note(self, process: ForkProcess, receiver: Connection, *, asked_to_go: bool) -> None:
        with self._noting:  # the watching thread and the end of the training may both come to it
            if self.failure is not None:
                return
            outcome: Ending | None = None
            with contextlib.suppress(EOFError, OSError):
                outcome = receiver.recv() if receiver.poll() else None
            if outcome is None and process.exitcode and not asked_to_go:
                message = f"one of the trial's processes ended with exit code {process.exitcode}"
                outcome = Ending(TrialState.FAILED, "process_died", message)
            self.failure = outcome


def _live(
    accompany: Callable[[Any, int], Ending | None], request: Any, rank: int, sender: Connection, parent: int
) -> None:
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    failure = accompany(request, rank)
    if failure is not None:
        sender.send(failure)
    os._exit(1 if failure else 0)  # without what the worker set up to be done at its own exit


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
