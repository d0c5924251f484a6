"""The formats of the files that a study keeps: their versions, and the refusal of a file of a newer tracker.

A file says its format and the version of the tracker that wrote it; one that says neither is of format 1. A format's
number rises only with a change that an older tracker would misread: unknown keys and kinds of events are ignored.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tracker.errors import StoreError

PACKAGE = "cost-quality-tracker"


@functools.cache
def own_version() -> str:
    """The version of this tracker; "unknown" where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Format:
    """The format of one kind of file: what messages call such a file, and the highest version that is read here."""

    name: str
    version: int

    @property
    def stamp(self) -> dict[str, object]:
        """What a file of this format says about itself, beside its content."""
        return {"format": self.version, "tracker": own_version()}

    def check(self, path: Path, content: Mapping[str, Any]) -> int:
        """The format of the file at ``path`` with this content.

        Raises StoreError for a format that this tracker does not know: the message names the version that does.
        """
        found, writer = content.get("format", 1), content.get("tracker")
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise StoreError(f"{self.name} '{path}' has the format {found!r:.40}; a format is a whole number from 1")
        if found > self.version:
            reader = f"tracker {writer:.40}" if isinstance(writer, str) else "the tracker that wrote it"
            raise StoreError(
                f"{self.name} '{path}' has format {found}, written by {reader}; this tracker ({own_version()}) reads"
                f" up to format {self.version}: use {reader} or a later one"
            )
        return found


EVENT_LOG = Format("event log", 1)
DESCRIPTION = Format("study description", 1)
MEMORY = Format("search state", 1)
EVIDENCE = Format("evidence", 2)  # 1 was a bare list of rows
