"""Several processes that train one model together, each on its share of every batch (data parallel).

The worker itself is process 0. The others of its machine are its children, made by a fork before torch has any thread;
they never write events and they end with the worker. Those of other machines are the children of an assistant there.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import TracebackType
from typing import Any

import torch
import torch.distributed

from tracker.records import TrialState
from tracker.training.ending import PROCESS_DIED, Ending
from tracker.training.request import AttemptRequest

GRACE_SECONDS = 5.0
FAILURE_SECONDS = 3.0
_UNHEARD_SECONDS = 10.0
"""How long a process that failed stays, so that its word is heard before others notice that it is gone."""


class Verdict:
    """What ended the training of several processes: the first failure, or that a part of the attempt vanished.

    An attempt that lost a part is killed, and can be resumed. Whoever waited for that part fails as well, and may say
    so first.
    """

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self._lock = threading.Lock()

    def failed(self, ending: Ending) -> None:
        """One of the processes, or a part of the attempt, ended like this."""
        with self._lock:
            if self.ending is None or (ending.state is TrialState.KILLED and not self.vanished):
                self.ending = ending

    @property
    def vanished(self) -> bool:
        """Whether a part of the attempt vanished."""
        return self.ending is not None and self.ending.state is TrialState.KILLED


class Companions:
    """The processes ``ranks`` of an attempt, from entering this context to leaving it.

    Each calls ``accompany(request, rank)``, which returns what went wrong; ``failed`` receives that. Who is no context
    of them starts them, waits for their failures and ends them.
    """

    def __init__(
        self,
        ranks: Sequence[int],
        accompany: Callable[[AttemptRequest, int], Ending | None],
        request: AttemptRequest,
        failed: Callable[[Ending], None] = lambda _: None,
    ) -> None:
        self._ranks = ranks
        self._accompany = accompany
        self._request = request
        self._failed = failed
        self._companions: list[tuple[ForkProcess, Connection]] = []
        self._unheard: list[tuple[ForkProcess, Connection]] = []
        self._leaving = False
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start them."""
        context = multiprocessing.get_context("fork")
        for rank in self._ranks:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_live, args=(self._accompany, self._request, rank, sender, os.getpid()))
            process.start()
            sender.close()
            self._companions.append((process, receiver))
        self._unheard = list(self._companions)

    def failure(self, also: Sequence[Any] = ()) -> tuple[ForkProcess, Ending] | None:
        """Wait until one has failed; which, and how. It stays for a while, so that others do not notice before.

        None once all have ended well, or one of ``also`` is ready (multiprocessing.connection.wait).
        """
        while self._unheard:
            ready = wait(
                [*also, *(each for process, receiver in self._unheard for each in (process.sentinel, receiver))]
            )
            if any(each in ready for each in also):
                return None
            for process, receiver in list(self._unheard):
                if process.sentinel in ready or receiver in ready:
                    self._unheard.remove((process, receiver))
                    if (ending := _last_word(process, receiver)) is not None:
                        return process, ending
        return None

    def end(self) -> None:
        """Kill those that are left."""
        self._leaving = True
        for process, _ in self._companions:
            process.kill()
            process.join()

    def __enter__(self) -> Companions:
        self.start()
        if self._companions:
            self._watcher = threading.Thread(target=self._watch, name="companions", daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        patience_seconds = patience(kind)
        self._leaving = patience_seconds == 0.0
        if self._watcher is not None:
            self._watcher.join(patience_seconds)
        self.end()
        if self._request.processes > 1 and torch.distributed.is_initialized():
            with contextlib.suppress(RuntimeError):
                torch.distributed.destroy_process_group()

    def _watch(self) -> None:
        """Hear who fails: process 0 would wait for it, and torch tells it only that a connection closed."""
        while (failure := self.failure()) is not None:
            process, ending = failure
            if not self._leaving:
                self._failed(ending)
            process.kill()


def patience(kind: type[BaseException] | None) -> float:
    """For how many seconds the others are waited for, where process 0 ended its training by this exception or none.

    Where it failed because another one did, that one's own words are on their way.
    """
    return GRACE_SECONDS if kind is None else FAILURE_SECONDS if issubclass(kind, Exception) else 0.0


def _last_word(process: ForkProcess, receiver: Connection) -> Ending | None:
    """How a process failed that has said it, or has ended; None where it ended well."""
    with contextlib.suppress(EOFError, OSError):
        if receiver.poll():
            ending: Ending = receiver.recv()
            return ending
    process.join()
    if not process.exitcode:
        return None
    message = f"one of the trial's processes ended with exit code {process.exitcode}"
    return Ending(TrialState.FAILED, PROCESS_DIED, message)


def _live(
    accompany: Callable[[AttemptRequest, int], Ending | None],
    request: AttemptRequest,
    rank: int,
    sender: Connection,
    parent: int,
) -> None:
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    failure = accompany(request, rank)
    if failure is not None:
        sender.send(failure)
        time.sleep(_UNHEARD_SECONDS)
    os._exit(1 if failure else 0)  # without what the worker set up to be done at its own exit


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
