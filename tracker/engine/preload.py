"""Imports the training code's module into the forkserver and ignores errors: each child reports them.

Imported by the forkserver alone, after everything else.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys

from tracker.engine.forkserver import MODULE_VARIABLE


def _preload(name: str) -> None:
    """An error here occurs again, and is reported, when a child imports the module."""
    given, sys.argv = sys.argv, [name]
    with contextlib.suppress(BaseException), contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module(name)
    sys.argv = given


signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group; the forkserver ends with the last that uses it
if module := os.environ.pop(MODULE_VARIABLE, ""):
    _preload(module)
