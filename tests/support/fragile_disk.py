"""A disk that becomes read-only under whoever writes to it, as Linux makes one of which it finds an error."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.unavailable import UnavailableError


class FragileDisk:
    """An ext4 file system in a file, mounted at ``folder``; only root has one, and only on Linux."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder = folder
        self.is_read_only = False
        self._image = folder.with_name(f"{folder.name}.img")
        if sys.platform != "linux":
            raise UnavailableError("a disk of its own needs Linux")
        with self._image.open("wb") as image:
            image.truncate(mebibytes << 20)
        folder.mkdir(parents=True)
        try:
            _do("mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(self._image))
            self._mount()
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnavailableError(f"a disk of its own cannot be mounted here: {error}") from None

    def _mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))

    def make_read_only(self) -> None:
        """Let nobody write any more, whoever has opened a file to write it included."""
        self.is_read_only = True
        device = subprocess.run(
            ["findmnt", "--noheadings", "--output", "SOURCE", str(self.folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        Path(f"/sys/fs/ext4/{Path(device.stdout.strip()).name}/trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """Check it, and let it be written again; nobody may use it meanwhile.

        What was not forced onto it while it could be written is lost.
        """
        _do("umount", str(self.folder))
        with contextlib.suppress(subprocess.CalledProcessError):  # its status says that it corrected something
            _do("e2fsck", "-y", str(self._image))
        self._mount()
        self.is_read_only = False

    def remove(self) -> None:
        """Unmount it as soon as nobody uses it any more."""
        _do("umount", "--lazy", str(self.folder))


@contextlib.contextmanager
def fragile_disk(folder: Path, mebibytes: int = 64) -> Iterator[FragileDisk]:
    """Such a disk at a new ``folder``, while the context is open. Raises UnavailableError where there cannot be one."""
    disk = FragileDisk(folder, mebibytes)
    try:
        yield disk
    finally:
        disk.remove()


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
