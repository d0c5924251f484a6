"""The files of a host: what trials are resumed from arrives there, and what attempts leave is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracker.engine.cluster.distant import PATIENCE_SECONDS, DistantState, get, put
from tracker.engine.cluster.messages import Key, What
from tracker.engine.cluster.parcels import STATE_NAMES, Arriving, File, listed, piece
from tracker.engine.host.hosted import HostedAttempt
from tracker.engine.host.transfers import Transfers
from tracker.errors import WorkFailedError
from tracker.training.state import FILE_NAME


class HostFiles:
    """The files below ``folder``: one folder a trial, of each study."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._attempts: dict[Key, HostedAttempt] = {}
        self._transfers = Transfers()

    def arrive(self, key: Key, path: str, offset: int, data: bytes) -> None:
        """Take a piece of what an attempt is to be resumed from."""
        Arriving(self._place(key), str(key.attempt)).write(path, offset, data)

    def arrived(self, key: Key, files: Sequence[File]) -> None:
        """All pieces are here: the state takes the place of an older one. Raises TornError."""
        if self._state(key) != tuple(files):
            Arriving(self._place(key), str(key.attempt)).finish(files)

    def leave(self, key: Key, name: str, what: What) -> tuple[File, ...]:
        """Link aside, under a name, what the coordinator is to get of an attempt.

        Raises WorkFailedError where the attempt is not here.
        """
        hosted = self._known(key)
        return hosted.leave(name).take(hosted.names(what))

    def keep(self, key: Key, name: str, what: What, url: str) -> tuple[File, ...]:
        """Write what there is of an attempt's state to a store elsewhere, and list it; nothing where there is none.

        Raises WorkFailedError where the attempt is not here, or the store does not take it.
        """

        def carry() -> tuple[File, ...]:
            files = self.leave(key, name, what)
            if any(file.path == FILE_NAME for file in files):
                put(url, self._known(key).leave(name).folder, files)
            return files

        kept: tuple[File, ...] = self._transfers.once((key, name), carry)
        return kept

    def fetch(self, key: Key, url: str, files: Sequence[File]) -> None:
        """Bring what an attempt is to be resumed from, from a store elsewhere. Raises TornError, WorkFailedError."""
        state, place = DistantState(url, tuple(files)), self._place(key)
        if self._state(key) != state.files:
            self._transfers.once((key, url), lambda: get(state, place, str(key.attempt), PATIENCE_SECONDS))

    def piece(self, key: Key, name: str, path: str, offset: int) -> bytes:
        """A piece of a file that was linked aside. Raises WorkFailedError, OSError where it is not here."""
        return piece(self._known(key).leave(name).folder, path, offset)

    def _known(self, key: Key) -> HostedAttempt:
        hosted = self._attempts.get(key)
        if hosted is None:
            raise WorkFailedError(f"attempt {key.attempt} at trial '{key.folder}' is not on its machine any more")
        return hosted

    def _state(self, key: Key) -> tuple[File, ...]:
        return listed(self._place(key), STATE_NAMES)

    def _place(self, key: Key) -> Path:
        return self._folder / key.study / key.folder
