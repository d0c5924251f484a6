"""A clock that somebody sets while processes run: theirs alone, by libfaketime."""

from __future__ import annotations

import ctypes.util
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.unavailable import UnavailableError


class MovedClock:
    """The wall clock of all processes that have its ``environment``; the clock that never jumps stays as it is.

    Raises UnavailableError where there is no libfaketime.
    """

    def __init__(self, file: Path) -> None:
        library = _library()
        if library is None:
            raise UnavailableError("libfaketime is not installed")
        self._file = file
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0)

    def set(self, seconds: float) -> None:
        """Set it so many seconds before (negative) or after the true time."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(f"{seconds:+g}")
        partial.replace(self._file)  # those that look at it just now find the one or the other


def _library() -> str | None:
    if sys.platform != "linux":
        return None
    folders = (Path("/usr/lib/x86_64-linux-gnu/faketime"), Path("/usr/lib/aarch64-linux-gnu/faketime"))
    found = [folder / "libfaketimeMT.so.1" for folder in (*folders, Path("/usr/lib/faketime"))]
    return next((str(path) for path in found if path.exists()), ctypes.util.find_library("faketimeMT"))
