"""A worker as a process: whether it lives is asked of the system, because the forkserver that started it may die."""

from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess

from tracker.training.process_tree import lives

_UNKNOWN = 255
"""What multiprocessing gives as the exit code where the forkserver died: it would have said how its child ended."""


class WorkerProcess:
    """A child of the process ``forkserver``, followed by a file descriptor of its own where the system has them.

    That is pidfd_open of Linux. ``sentinel`` is ready once it has ended (multiprocessing.connection.wait).
    """

    def __init__(self, process: ForkServerProcess, forkserver: int | None) -> None:
        assert process.pid is not None, "the process was started"
        self.pid: int = process.pid
        self._process = process
        self._forkserver = forkserver
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, AttributeError):  # it has ended already, or the system has no such thing
            self._descriptor = os.pidfd_open(self.pid)
        self.sentinel: int = process.sentinel if self._descriptor is None else self._descriptor

    @property
    def is_orphan(self) -> bool:
        """Whether it lives and the forkserver does not."""
        return bool(wait([self._process.sentinel], 0.0)) and self.is_alive()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not wait([self.sentinel], 0.0)

    def send(self, number: int) -> None:
        """Send it a signal; nothing where it has ended, whoever has its number now."""
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            elif self._process.is_alive():
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send(signal.SIGKILL)

    def exit_code(self) -> int | None:
        """Wait for its end and return its exit code, negative for a signal; None where nobody knows it."""
        wait([self.sentinel])
        self._process.join()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor, self.sentinel = None, self._process.sentinel
        code = self._process.exitcode
        unknown = code == _UNKNOWN and self._forkserver is not None and not lives(self._forkserver)
        return None if unknown else code
