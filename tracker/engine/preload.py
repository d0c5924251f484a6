"""Imports the training code's module into the forkserver and ignores errors: each child reports them.

Imported by the forkserver alone, after everything else.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import os
import signal
import sys
import warnings

from tracker.engine.forkserver import MODULE_VARIABLE
from tracker.engine.parentage import stop_looking
from tracker.training.process_tree import kill_all_below, take_orphans
from tracker.training.stopping import hold_requests


def _preload(name: str) -> None:
    """An error here occurs again, and is reported, when a child imports the module."""
    given, sys.argv = sys.argv, [name]
    with contextlib.suppress(BaseException), contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module(name)
    sys.argv = given


take_orphans()  # of workers that are killed
atexit.register(kill_all_below)  # it ends with the last that uses it, and so do they
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")  # an orphan has ended
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group; the forkserver ends with the last that uses it
if module := os.environ.pop(MODULE_VARIABLE, ""):
    _preload(module)
stop_looking()
hold_requests()  # a worker takes them once it can
