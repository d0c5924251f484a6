"""Saved states in a store that every machine of a cluster reaches, by a URL of fsspec: file://, s3://, gs://, …

A state has a folder of its own there, which is written once. What of it the coordinator keeps is a note in the trial's
folder that says where it is, and what it consists of.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracker.engine.cluster.parcels import Arriving, File
from tracker.errors import StoreError, WorkFailedError
from tracker.study import formats
from tracker.training.state import ELSEWHERE_NAME, discard_state

PATIENCE_SECONDS, AGAIN_SECONDS = 30.0, 3.0
"""How long a machine asks a store for a state that it cannot read, and how often."""


@dataclass(frozen=True, slots=True)
class DistantState:
    """A state at ``url``, a folder, that consists of ``files``."""

    url: str
    files: tuple[File, ...]

    def note(self, folder: Path) -> None:
        """Keep in a trial's folder that this is its state; an older one goes, wherever it was. Raises OSError."""
        older = noted(folder)
        content = {"url": self.url, "files": [asdict(file) for file in self.files]}
        formats.ELSEWHERE.write(folder / ELSEWHERE_NAME, content)
        discard_state(folder, keep=(ELSEWHERE_NAME,))
        if older is not None and older.url != self.url:
            older.remove()

    def remove(self) -> None:
        """Delete it, without waiting for the store; one that does not answer keeps it."""
        threading.Thread(target=self._remove, name="states elsewhere", daemon=True).start()

    def _remove(self) -> None:
        with contextlib.suppress(Exception):  # whoever owns the store sees what is left
            store, root = _store(self.url)
            store.rm(root, recursive=True)


def noted(folder: Path) -> DistantState | None:
    """The state of a trial that is elsewhere; None where it has none there. Raises WorkFailedError."""
    try:
        content = formats.ELSEWHERE.read(folder / ELSEWHERE_NAME)
        return DistantState(str(content["url"]), tuple(File(**file) for file in content["files"]))
    except FileNotFoundError:
        return None
    except (StoreError, KeyError, TypeError) as error:
        raise WorkFailedError(f"where the state of '{folder}' is cannot be read: {error}") from None


def put(url: str, folder: Path, files: Sequence[File]) -> None:
    """Write the files of ``folder`` to ``url``. Raises WorkFailedError where the store does not take them."""
    with _named_errors(url, "written"):
        store, root = _store(url)
        for file in files:
            target = f"{root}/{file.path}"
            store.makedirs(target.rpartition("/")[0], exist_ok=True)
            store.put_file(str(folder / file.path), target)


class StateAwayError(WorkFailedError):
    """The store that has a state cannot be reached."""


def get(state: DistantState, folder: Path, name: str, patience_seconds: float = 0.0) -> None:
    """Bring a state to a folder; ``name`` is unlike that of anything else on its way there.

    A store that cannot be read is asked again for ``patience_seconds``. An older state stays where the new one cannot
    be read, or is not as it was written. Raises TornError, StateAwayError.
    """
    arriving, until = Arriving(folder, name), time.monotonic() + patience_seconds
    try:
        while True:
            try:
                with _named_errors(state.url, "read"):
                    store, root = _store(state.url)
                    for file in state.files:
                        store.get_file(f"{root}/{file.path}", str(arriving.place(file.path)))
                break
            except WorkFailedError as error:
                if time.monotonic() >= until:
                    raise StateAwayError(str(error)) from None
                time.sleep(min(AGAIN_SECONDS, patience_seconds))
        arriving.finish(state.files)
    finally:
        arriving.forget()


def discard(folder: Path) -> None:
    """Delete what a trial could be resumed from, also elsewhere."""
    discard_elsewhere(folder)
    discard_state(folder)


def discard_elsewhere(folder: Path) -> None:
    """Delete the state of a trial that is elsewhere; a store that does not answer keeps what it has."""
    if not (folder / ELSEWHERE_NAME).exists():
        return
    state = None
    with contextlib.suppress(WorkFailedError):
        state = noted(folder)
    (folder / ELSEWHERE_NAME).unlink(missing_ok=True)
    if state is not None:
        formats.keep_names(folder)
        state.remove()


def bring_all(trials: Path) -> None:
    """Bring every state that is elsewhere to its trial's folder, for workers of this machine.

    Raises WorkFailedError for the first that cannot be brought: it stays where it is.
    """
    for note in sorted(trials.glob(f"*/{ELSEWHERE_NAME}")):
        folder = note.parent
        try:
            if (state := noted(folder)) is not None:
                get(state, folder, "here")
        except (WorkFailedError, OSError) as error:
            raise WorkFailedError(f"the state of trial #{folder.name} cannot be brought here: {error}") from None
        discard_elsewhere(folder)


def _store(url: str) -> tuple[Any, str]:
    import fsspec  # those whose states stay on disks do without

    store, root = fsspec.core.url_to_fs(url)
    return store, root.rstrip("/")


@contextlib.contextmanager
def _named_errors(url: str, what: str) -> Any:
    try:
        yield
    except WorkFailedError:
        raise
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise WorkFailedError(f"'{url}' cannot be {what}: {said}") from None
