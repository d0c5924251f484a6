"""Child processes that start in milliseconds, because torch is imported before they are forked.

A forkserver is a process that imports the heavy libraries once and then forks itself for every
child. It never uses them, so that every child has its own threads, CUDA and random state.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, ParamSpec, TypeVar

from tracker.errors import TrackerError, WorkFailedError
from tracker.study.document import COMMAND_MARK
from tracker.training.process_tree import kill_all_below, kill_strays

_COMMANDS = "tracker.training.command_workload"
_PRELOAD = ("tracker.engine.parentage", "torch", "torch._dynamo", "tracker.training.worker", "tracker.engine.preload")
"""Modules that every child has imported. The first optimizer imports torch._dynamo, which takes a second."""
MODULE_VARIABLE = "TRACKER_PRELOAD"
"""The environment variable with the training code's module, for the last of these."""
COORDINATOR_VARIABLE = "TRACKER_COORDINATOR"
"""The environment variable with the process id of the one that starts the forkserver, for the first of these."""

_STARTING = threading.Lock()
"""One child is started at a time, whichever threads start children."""
_STARTED: set[int] = set()
"""The children that were started here, by their numbers."""
_TRIES = 3

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class Forkserver:
    """Starts children that have torch, the worker and the training code's module imported.

    ``workload`` is a reference as ``StudyDocument.workload`` gives it; a file is imported by each child. There is one
    forkserver per process: the first child fixes what all have imported.
    """

    def __init__(self, workload: str = "") -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        module = _COMMANDS if workload.startswith(COMMAND_MARK) else workload.partition(":")[0]
        os.environ[MODULE_VARIABLE] = "" if module.endswith(".py") else module
        os.environ[COORDINATOR_VARIABLE] = str(os.getpid())
        self._context.set_forkserver_preload(list(_PRELOAD))

    def warm_up(self) -> None:
        """Start the forkserver without waiting for it: it imports while the caller does something else."""
        multiprocessing.forkserver.ensure_running()

    def start(self, target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
        """Start a child that runs ``target(*arguments)``; both must be importable or picklable.

        A forkserver that has died is started again.
        """
        with _STARTING, _without_main_module():
            for tries_left in reversed(range(_TRIES)):
                going, go = self._context.Pipe(duplex=False)
                with going, go:
                    process = self._context.Process(target=_once_known, args=(going, target, arguments))
                    try:
                        process.start()
                    except (OSError, EOFError):  # it died just now, and may have made a child first
                        if tries_left:
                            continue
                        raise
                    with contextlib.suppress(OSError):  # where the child is dead already
                        go.send_bytes(b"go")
                    break
            assert process.pid is not None
            _STARTED.add(process.pid)
        return process

    @property
    def pid(self) -> int | None:
        """The forkserver's process id; None before the first child."""
        return getattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", None)

    def kill_strays(self) -> None:
        """Kill the processes that were below a child which was killed."""
        with _STARTING:
            if self.pid is not None:
                kill_strays(self.pid, spared=_STARTED)

    def call(
        self, function: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Run ``function`` in a child and return its result, for work that this process must not do itself.

        The child ends with this process. Raises what the function raised where that is a TrackerError, WorkFailedError
        otherwise.
        """
        receiver, sender = self._context.Pipe(duplex=False)
        process = self.start(_answer, sender, function, arguments, named)
        sender.close()
        try:
            outcome = receiver.recv()
        except EOFError:
            process.join()
            raise WorkFailedError(
                f"{function.__name__} ended without an answer (exit code {process.exitcode})"
            ) from None
        finally:
            receiver.close()
        process.join()
        if isinstance(outcome, TrackerError):
            raise outcome
        return outcome  # type: ignore[no-any-return]


def _once_known(going: Connection, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run ``target`` once this process is known to the one that started it; end where it never will be."""
    with going:
        try:
            going.recv_bytes()
        except (OSError, EOFError):
            os._exit(1)
    target(*arguments)


def _answer(
    sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the forkserver holds signals back for workers
    threading.Thread(target=_end_with_caller, daemon=True).start()
    try:
        sender.send(function(*arguments, **named))
    except TrackerError as error:
        sender.send(error)
    except Exception as error:  # noqa: BLE001 - sent to the caller, which raises it
        traceback.print_exc()
        sender.send(WorkFailedError(f"{function.__name__}: {type(error).__name__}: {error}"))


def _end_with_caller() -> None:
    """End this process, and those below it, once nobody waits for its answer any more."""
    caller = multiprocessing.parent_process()
    assert caller is not None, "a child of the forkserver knows who asked for it"
    caller.join()
    kill_all_below()
    os._exit(1)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the caller's main module while a child is started.

    multiprocessing would import it again in every child: a script that starts a study in its top level
    would start another one in each worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
