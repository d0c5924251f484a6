"""Imports a user's training scripts so that they behave as if they were run as scripts.

Their folder comes first on the search path, so that the files beside them are found, and they are known by the name
that anyone would import them under: processes that training starts (a DataLoader's, by any start method) find in them
what they are sent. ``if __name__ == "__main__"`` is not true in them.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

_ALIAS = f"{__name__}."
__path__: list[str] = []  # so that modules can be below this one: files whose own name leads to something else


def load_script(path: Path) -> ModuleType:
    """The module of the file at this absolute path as it is now, freshly imported. Raises what the file raises."""
    standard = path.stem in sys.stdlib_module_names
    folder = str(path.parent)
    sys.path[:] = [place for place in sys.path if place != folder]
    # Last where the file would hide a module that libraries import; then only the files beside it are to be found.
    sys.path.insert(len(sys.path) if standard else 0, folder)
    importlib.invalidate_caches()
    name = _alias(path) if standard or not _leads_to(path.stem, path) else path.stem
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsWritten(name, str(path)))
    assert spec is not None and spec.loader is not None  # there is always one where the loader is given
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _AsWritten(SourceFileLoader):
    """Compiles a file each time: a cached one counts as up to date where an edit keeps its size and second."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError(path)  # importlib's way to say that nothing may be cached


def _leads_to(name: str, path: Path) -> bool:
    """Whether this file is what ``import name`` finds, here and in a process that has the same search path."""
    if "." in name:
        return False
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a loaded module that does not say where it is from
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def _alias(path: Path) -> str:
    """A name that leads to this file in every process that can import the tracker."""
    return _ALIAS + os.fsencode(path).hex()


class _Aliases(MetaPathFinder):
    """Finds files by their alias, which has the path in it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if not fullname.startswith(_ALIAS):
            return None
        return importlib.util.spec_from_file_location(
            fullname, os.fsdecode(bytes.fromhex(fullname.removeprefix(_ALIAS)))
        )


sys.meta_path.append(_Aliases())
