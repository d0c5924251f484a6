"""The source files that a training runs, by hash: whether a state that was saved before is of the same code."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIBRARIES = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_NOT_THEIRS = tuple(f"{Path(place).resolve()}/" for place in (*_LIBRARIES, str(Path(__file__).parents[1])))
"""Below these lie Python, what is installed, and the tracker: not the training code of whoever runs a study."""


class SourceFiles:
    """The modules that this process has imported from the user's own folders, and the ``named`` files."""

    def __init__(self, named: Sequence[Path] = ()) -> None:
        self._named = tuple(named)
        self._known: dict[tuple[str, float, int], str] = {}

    def hashes(self) -> dict[str, str]:
        """The hash of each file's content as it is now, by its absolute path."""
        imported = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        paths = {_resolved(place) for place in imported if place and place.endswith(".py")}
        theirs = {path for path in paths if not path.startswith(_NOT_THEIRS)}
        found = ((path, self._hash(path)) for path in sorted(theirs | {str(path.resolve()) for path in self._named}))
        return {path: digest for path, digest in found if digest}

    def changed_since(self, saved: Mapping[str, str]) -> list[str]:
        """The names of the files that are not as they were when ``hashes`` gave ``saved``."""
        now = self.hashes()
        return [Path(path).name for path, digest in saved.items() if now.get(path, self._hash(path)) != digest]

    def _hash(self, path: str) -> str:
        """16 hexadecimal digits; "" for a file that cannot be read."""
        try:
            status = Path(path).stat()
            key = path, status.st_mtime, status.st_size
            if key not in self._known:
                self._known[key] = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
            return self._known[key]
        except OSError:
            return ""


@functools.cache
def _resolved(place: str) -> str:
    """A file's absolute path without links: some thousand are asked for at each saved state."""
    folder, name = os.path.split(place)
    path = f"{_resolved_folder(folder)}/{name}"
    return os.path.realpath(path) if Path(path).is_symlink() else path


@functools.cache
def _resolved_folder(folder: str) -> str:
    return os.path.realpath(folder)
