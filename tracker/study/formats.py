"""The formats of the files that a study keeps: their versions, and the refusal of a file of a newer tracker.

A file says its format and the version of the tracker that wrote it; one that says neither is of format 1. A format's
number rises only with a change that an older tracker would misread: unknown keys and kinds of events are ignored.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tracker.errors import NewerFormatError, StoreError

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

    def check(self, path: Path, content: Mapping[str, Any]) -> None:
        """Check the format of the file at ``path``, which has this content.

        Raises NewerFormatError for one that this tracker does not know, StoreError for what is no format.
        """
        found, writer = content.get("format", 1), content.get("tracker")
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise StoreError(f"{self.name} '{path}' has the format {found!r:.40}; a format is a whole number from 1")
        if found > self.version:
            known = isinstance(writer, str) and writer.isprintable() and len(writer) <= 40
            reader = f"tracker {writer}" if known else "a newer tracker"
            raise NewerFormatError(
                f"{self.name} '{path}' has format {found}; this tracker ({own_version()}) reads up to format"
                f" {self.version}.\nIt was written by {reader}, which reads it, as later ones do"
            )

    def write(self, path: Path, content: Mapping[str, Any], *, indent: int | None = None) -> None:
        """Write ``content`` as JSON, whole or not at all; a power cut afterwards does not change it. Raises OSError."""
        part = path.with_name(f"{path.name}.part")
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps({**self.stamp, **content}, indent=indent, default=str))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        keep_names(path.parent)

    def read(self, path: Path) -> Any:
        """The JSON in a file. Raises FileNotFoundError, StoreError where it cannot be read, and as ``check`` does."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{self.name} '{path}' cannot be read: {error}") from None
        if isinstance(content, dict):
            self.check(path, content)
        return content


def keep_names(folder: Path) -> None:
    """Put the names in a folder where a power cut does not reach them; nothing where its disk cannot do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


EVENT_LOG = Format("event log", 1)
DESCRIPTION = Format("study description", 1)
SEARCH_STATE = Format("search state", 1)
EVIDENCE = Format("evidence of earlier studies", 2)  # 1 is a bare list of rows
END = Format("end of a study", 1)
TAGS = Format("tags of a study", 1)
BEHIND = Format("mark of what waits for MLflow", 1)
CLUSTER = Format("name of a study on clusters", 1)
NODES = Format("machines of a study", 1)
ELSEWHERE = Format("note of a state elsewhere", 1)
