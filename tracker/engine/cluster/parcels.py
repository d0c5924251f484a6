"""Files that travel between machines in pieces: they arrive whole and together, or not at all.

What leaves is linked aside first, so that a training may save again meanwhile. What arrives is written beside its
place, checked by its digests, and moved there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import WorkFailedError
from tracker.study.formats import keep_names
from tracker.training.state import COMMAND_STATE_NAME, FILE_NAME

PIECE_BYTES = 8 * 2**20
STATE_NAMES = (FILE_NAME, COMMAND_STATE_NAME)
"""The files and folders that a trial is resumed from."""


class TornError(WorkFailedError):
    """Files that did not arrive as they left."""


@dataclass(frozen=True, slots=True)
class File:
    """A file by its path below the folder that travels, ``digest`` the SHA-256 of its content."""

    path: str
    size_bytes: int
    digest: str

    @property
    def offsets(self) -> Iterator[int]:
        """Where its pieces begin, in bytes; an empty file is one piece."""
        return iter(range(0, max(1, self.size_bytes), PIECE_BYTES))


def listed(folder: Path, names: Iterable[str]) -> tuple[File, ...]:
    """Every file below ``folder`` that is one of ``names``, or below a folder of that name, by its path."""
    found = [path for name in names for path in (folder / name, *(folder / name).rglob("*")) if path.is_file()]
    return tuple(_file(path, path.relative_to(folder).as_posix()) for path in sorted(found))


def piece(folder: Path, path: str, offset: int) -> bytes:
    """The piece of a file that begins at a byte."""
    with (folder / path).open("rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)


class Leaving:
    """A folder's files, linked aside under ``name``: they stay as they are while they are read."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / f".leaving-{name}"

    def take(self, names: Iterable[str]) -> tuple[File, ...]:
        """Link aside what there is of ``names``, files or folders, and list it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name in names:
            source, target = self.folder.parent / name, self.folder / name
            if source.is_dir():
                shutil.copytree(source, target, copy_function=os.link, symlinks=True)
            elif source.exists():
                os.link(source, target)
        return listed(self.folder, sorted(path.name for path in self.folder.iterdir()))

    def forget(self) -> None:
        """Delete the links."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Arriving:
    """Files that arrive for ``folder``, under ``name`` until they are whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._partial = folder / f".arriving-{name}"

    def place(self, path: str) -> Path:
        """Where a file is until all are whole; its folder is there."""
        target = self._partial / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Put a piece in its place; the same one may come again."""
        descriptor = os.open(self.place(path), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
        finally:
            os.close(descriptor)

    def finish(self, files: Sequence[File], *, merged: Sequence[str] = ()) -> None:
        """Move the files to their places, where they are as they left; an older one goes once the newer is there.

        A folder takes the place of an older one, but the files of those that are ``merged`` join what is there. Raises
        TornError, and the older ones stay.
        """
        for file in files:
            target = self._partial / file.path
            if not target.is_file() or _file(target, file.path) != file:
                self.forget()
                raise TornError(f"'{file.path}' did not arrive in '{self._folder}' as it left: the older one is kept")
            with target.open("rb") as written:
                os.fsync(written.fileno())
        tops = {file.path: file.path.partition("/")[0] for file in files}
        for name in dict.fromkeys(path if top in merged else top for path, top in tops.items()):
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                target.rename(self._partial / f"{name}.older")
            (self._partial / name).replace(target)
        keep_names(self._folder)
        self.forget()

    def forget(self) -> None:
        """Delete what has arrived."""
        shutil.rmtree(self._partial, ignore_errors=True)


def _file(path: Path, name: str) -> File:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return File(name, file.tell(), digest)
