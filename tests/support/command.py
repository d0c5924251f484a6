"""The command ``tracker`` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracker(*arguments, home, timeout=120):
    """Run the command in a home; the completed process with its two streams as text."""
    command = [sys.executable, "-m", "tracker.cli.main", *map(str, arguments)]
    environment = {**os.environ, "TRACKER_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=timeout)
