"""Processes of Python that have imported already what coordinators need: for tests that kill, stop or watch one.

What a new interpreter imports takes seconds, so that they are forked, by a process that has one thread and does nothing
else. Each has its own number, environment, folder and signals; what a start imports is shown by ``tracker_process``.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Coordinator:
    """A process that runs some code: used as ``subprocess.Popen`` is; ``errors`` is the file of what it said."""

    def __init__(self, code, *arguments, environment=None):
        descriptor, name = tempfile.mkstemp(prefix="coordinator-", suffix=".txt")
        os.close(descriptor)
        self.errors = Path(name)
        self.returncode = None
        asked = {"code": code, "arguments": [str(each) for each in arguments], "errors": name}
        self.pid = _answer({**asked, "environment": {**os.environ, **(environment or {})}})

    def poll(self):
        """Its exit code, negative where a signal ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = _answer({"ended": self.pid})
        return self.returncode

    def wait(self, timeout=300):
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.02)
        return code

    def communicate(self, timeout=300):
        """Wait for it; nothing, and what it said."""
        self.wait(timeout)
        return None, self.errors.read_text()

    def send_signal(self, number):
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _forker():
    command = [sys.executable, "-m", "tests.support.coordinators"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _answer(request):
    forker = _forker()
    forker.stdin.write(json.dumps(request) + "\n")
    forker.stdin.flush()
    return json.loads(forker.stdout.readline())


def _ended(process):
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(request):
    """The new process: its output goes to a file, and it ends as one that was started with this code ends."""
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.stdin.close()
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_APPEND), (2, os.O_WRONLY | os.O_APPEND)):
        opened = os.open(request["errors"] if descriptor else os.devnull, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    tempfile.tempdir = None
    sys.argv = ["-c", *request["arguments"]]
    sys.path[0] = ""
    exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})


def main():
    """Fork a process for each line of standard input, or answer how one ended; end with who asks."""
    import tracker.cli.run
    import tracker.runner.studies  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            print(json.dumps(_ended(request["ended"])), flush=True)
        elif child := os.fork():
            print(child, flush=True)
        else:
            return _become(request)
    return None


if __name__ == "__main__":
    main()
