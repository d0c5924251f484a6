"""The file that a trial's state is saved in, to be paused now and resumed later, in another process.

Written whole and then moved into place, and read with ``weights_only=True``: a state is tensors, numbers and texts
in dicts, lists and tuples, and reading it runs no code.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.errors import TrainingFailedError

FILE_NAME = "state.pt"
COMMAND_STATE_NAME = "command-state"
"""Where a shell command keeps its own state to resume from."""
ELSEWHERE_NAME = "state-elsewhere.json"
"""Where it is noted that a trial's state is in a store elsewhere (engine.cluster.distant)."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """What training is resumed from: its own ``state`` after ``epoch``, and the best quality up to then.

    ``source_files`` are those that it was trained by, each with its hash (SourceFiles).
    """

    epoch: int
    best_quality: float | None
    state: dict[str, Any]
    source_files: Mapping[str, str] = field(default_factory=dict)


def state_files(folder: Path) -> list[Path]:
    """Everything that a trial, whose folder this is, may be resumed from; each may be missing."""
    return [folder / FILE_NAME, folder / COMMAND_STATE_NAME, folder / ELSEWHERE_NAME]


def has_state(folder: Path) -> bool:
    """Whether a trial, whose folder this is, may be resumed."""
    return (folder / FILE_NAME).exists() or (folder / ELSEWHERE_NAME).exists()


def discard_state(folder: Path, keep: Collection[str] = ()) -> None:
    """Delete what a trial could be resumed from, but for the files or folders that are to ``keep``."""
    for path in [each for each in state_files(folder) if each.name not in keep]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class StateLostError(Exception):
    """There is a state, and it cannot be read."""


def write_state(path: Path, saved: SavedState) -> None:
    """Save a state.

    Raises TrainingFailedError(``bad_state``) for what would not be read back, OSError where it cannot be written.
    """
    import torch  # those who only delete states do without

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save({name: getattr(saved, name) for name in SavedState.__slots__}, file)
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            read_state(partial)  # the first one: fail now for what cannot be read back
        partial.replace(path)
    except RuntimeError as error:  # torch's, whatever the disk's was
        raise _disks(error) or error from None
    except (pickle.PicklingError, AttributeError, TypeError, StateLostError) as error:
        raise TrainingFailedError(
            "bad_state",
            f"the state after epoch {saved.epoch} cannot be saved: {error}; allowed: tensors, numbers, texts"
            " and dicts, lists and tuples of them",
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _disks(error: BaseException | None) -> OSError | None:
    """The error of the disk that an error was raised for."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def read_state(path: Path) -> SavedState:
    """What was saved, its tensors on the CPU. Raises StateLostError, FileNotFoundError."""
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return SavedState(**saved)
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - torn bytes make the reader fail in any way
        raise StateLostError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
