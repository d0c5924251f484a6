"""The command ``tracker``: in this process, which is quick, or as a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from tracker.cli.main import main

ROOT = Path(__file__).parents[2]


def tracker(*arguments, home=None, folder=ROOT, columns=200):
    """What the command says and how it ends, without what takes most of its time: a new process and its imports."""
    words, said, errors = [str(each) for each in arguments], io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.dict(os.environ, _settings(home, columns)),
        mock.patch.object(sys, "argv", ["tracker", *words]),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(words, code, said.getvalue(), errors.getvalue())


def tracker_process(*arguments, home=None, folder=ROOT, timeout=900, columns=200):
    """The same as a person starts it: all imports, children and signals are its own."""
    command = [sys.executable, "-m", "tracker.cli.main", *map(str, arguments)]
    environment = {**os.environ, **_settings(home, columns)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=timeout)


def _settings(home, columns):
    return {"COLUMNS": str(columns), **({} if home is None else {"TRACKER_HOME": str(home)})}
