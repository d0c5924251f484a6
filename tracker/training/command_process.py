"""A shell command as a process: started in its own group, followed to its end, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType

import psutil

from tracker.errors import TrainingFailedError

GRACE_SECONDS = 3.0
"""The seconds that a command has to stop before it is killed; its worker has two more."""
LAST_LINE_CHARACTERS = 300
_NOT_FOUND = 127
"""A shell's exit code where there is no such program."""

_GUARDED = """\
exec 3<&0 </dev/null
( { trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & )
exec 3<&-
exec /bin/sh -c "$0"
"""
"""Runs the command given as $0 beside a guard that waits for the other end of standard input to be closed.

The system closes it when the worker dies in whatever way: the guard then kills all of its process group, so that no
command trains on unpaid. The guard is nobody's child, so that a command which waits for its children is not held up.
"""


class CommandProcess:
    """A command that runs while this context is open; leaving it ends whatever is left of the command.

    It is given to /bin/sh as it is, in ``folder``. What it prints goes to the end of ``output``, and to where this
    process prints where that is None.
    """

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str], output: Path | None) -> None:
        self._output = output
        self._strays: list[psutil.Process] = []
        self._printed_before = output.stat().st_size if output is not None and output.exists() else 0
        with contextlib.ExitStack() as stack:
            file = None if output is None else stack.enter_context(output.open("ab"))
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARDED, command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=None if file is None else subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,  # and with it a process group of the same number
            )
        self._descriptor: int | None = None  # Popen.wait looks again and again: that costs a hundredth of a core
        with contextlib.suppress(OSError, AttributeError):
            self._descriptor = os.pidfd_open(self._process.pid)

    def __enter__(self) -> CommandProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process.poll() is None:
                self._ask_to_end()
        finally:
            self._kill()

    def has_ended(self, within_seconds: float) -> bool:
        """Whether it ends in this time."""
        if self._descriptor is not None and not wait([self._descriptor], within_seconds):
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_seconds)
        return self._process.returncode is not None

    @property
    def succeeded(self) -> bool:
        """Whether it has ended with exit code 0."""
        return self._process.returncode == 0

    def check(self, python_hint: str = "") -> None:
        """Raises TrainingFailedError(``command_failed``) where it has ended with anything but exit code 0.

        ``python_hint`` is said where a program or a Python package was not found.
        """
        code = self._process.returncode
        if not code:
            return
        line = self._last_line()
        printed = ": ".join(filter(None, [f"the command {_ending(code)}", line]))
        hint = f"; {python_hint}" if python_hint and (code == _NOT_FOUND or "No module named" in line) else ""
        raise TrainingFailedError("command_failed", printed + hint)

    def _ask_to_end(self) -> None:
        """SIGTERM to all of it, processes that left its group included, and time to act on it."""
        processes = self._living()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._strays = [process for process in processes if _group_of(process) not in (self._process.pid, None)]
        for process in self._strays:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and any(map(_lives, processes)):
            time.sleep(0.02)

    def _living(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.Error:
            return []

    def _kill(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # the guard kills the group
        for process in self._strays:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _last_line(self) -> str:
        """The last line that it printed; "" where that is unknown."""
        if self._output is None:
            return ""
        try:
            with self._output.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._printed_before, end - 8192))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        printed = [line.strip() for line in lines if line.strip()]
        return printed[-1][:LAST_LINE_CHARACTERS] if printed else ""


def _ending(code: int) -> str:
    """How a process ended that ended with this return code; a shell adds 128 to the number of a signal."""
    number = -code if code < 0 else code - 128
    if number in {each.value for each in signal.Signals}:
        return f"was killed by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
