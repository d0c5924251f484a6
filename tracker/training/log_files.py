"""Which of the logs in a folder are of one attempt: trials that run side by side may write to the same one.

Those that are there before the command starts are not. Of those made since, an event file has in its name the number of
the process that writes it (TensorBoard's and TensorFlow's writers): it is the attempt's where that process is below
this one. Any other file made since is.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_LOOK_SECONDS = 1.0
_LOOKING_SHARE = 0.002
"""The share of the time that looking for new files may take, where a folder has thousands."""
_PROCESS = re.compile(r"tfevents\.\d+\..+?\.(\d+)\.\d+(?:\.v2)?$")


class LogFiles:
    """The logs of one attempt, as they come; ``find`` lists those in ``place``.

    ``all_own`` is whether nobody else writes there.
    """

    def __init__(self, place: Path, find: Callable[[Path], list[Path]], *, all_own: bool) -> None:
        self.place = place
        self.others = 0
        """How many files others made since."""
        self._find = find
        self._all_own = all_own
        self._next = 0.0
        self._before = dict.fromkeys(self._listed())
        self._known: set[Path] = set()

    @property
    def before(self) -> list[Path]:
        """The files that were there before."""
        return list(self._before)

    def new(self, *, last: bool = False) -> list[Path]:
        """The files of the attempt that are new; none where it is too early for another look. Raises OSError."""
        if time.monotonic() < self._next and not last:
            return []
        new = [path for path in self._listed() if path not in self._known and path not in self._before]
        self._known.update(new)
        own = [path for path in new if self._all_own or not _is_others(path)]
        self.others += len(new) - len(own)
        return own

    def _listed(self) -> list[Path]:
        begin = time.monotonic()
        found = self._find(self.place)
        now = time.monotonic()
        self._next = now + max(_LOOK_SECONDS, (now - begin) / _LOOKING_SHARE)
        return found


def _is_others(path: Path) -> bool:
    """Whether a living process that is not below this one writes the file, by its name."""
    match = _PROCESS.search(path.name)
    if match is None:
        return False
    try:
        process = psutil.Process(int(match[1]))
        return os.getpid() not in (process.pid, *(each.pid for each in process.parents()))
    except psutil.Error:  # it has just ended: within the second since the last look, as the attempt's may have
        return False
