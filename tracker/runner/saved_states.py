"""Saved states of paused trials: kept while they can matter, and within a limit on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tracker.engine.cluster.distant import discard
from tracker.training.meter import bytes_below
from tracker.training.state import state_files


class SavedStates:
    """The state files of trials below ``trials_folder``, which may take ``most_bytes`` in total."""

    def __init__(self, trials_folder: Path, most_bytes: float) -> None:
        self._folder = trials_folder
        self._most_bytes = most_bytes

    def size_bytes(self, trial: int) -> int:
        """The size of a trial's state on disk, that of a note of it where it is elsewhere; 0 where it has none."""
        files = state_files(self._folder / str(trial))
        return sum(bytes_below(path) if path.is_dir() else path.stat().st_size for path in files if path.exists())

    def drop(self, trial: int) -> None:
        """Delete a trial's state, wherever it is: it can no longer be resumed."""
        discard(self._folder / str(trial))

    def to_drop(self, prospects: Mapping[int, float]) -> Iterator[tuple[int, str]]:
        """The paused trials to drop, each with the reason; ``prospects`` is what a dollar spent on each could add."""
        sizes = {trial: self.size_bytes(trial) for trial in prospects}
        kept_bytes = sum(sizes.values())
        for trial in sorted(prospects, key=lambda trial: prospects[trial]):
            if prospects[trial] <= 0:
                yield trial, "even by an optimistic forecast it adds nothing to the frontier"
            elif kept_bytes > self._most_bytes and sizes[trial]:
                sizes_gb = f"{kept_bytes / 1e9:.3g} GB of the {self._most_bytes / 1e9:.3g} GB allowed"
                yield trial, f"paused trials' states take {sizes_gb}, and it is the least promising"
            else:
                continue
            kept_bytes -= sizes[trial]
