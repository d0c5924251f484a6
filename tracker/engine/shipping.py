"""Errands that carry files: a state to the machine that resumes a trial, and an attempt's files back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from tracker.engine.cluster_attempt import ClusterAttempt
from tracker.engine.errands import Errand, Question
from tracker.engine.host import STATE_NAMES
from tracker.engine.parcels import Arriving, listed, piece

MERGED = ("artifacts",)
"""The folder of what trainings keep, to which each attempt at a trial adds."""


def begin(attempt: ClusterAttempt, head: bytes) -> Errand:
    """Start an attempt where its trial's state is: it is sent where the machine has not the same."""
    key, folder = attempt.key, attempt.request.folder
    state = listed(folder, STATE_NAMES)
    if state and (yield "prepare", key) != state:
        for file in state:
            for offset in file.offsets:
                yield "arrive", key, file.path, offset, piece(folder, file.path, offset)
        yield "arrived", key, state
    yield "start", key, attempt.request, head, attempt.reservation.token, bool(state)


def bring(
    attempt: ClusterAttempt, folder: Path, name: str, state_only: bool, wanted: Callable[[], bool] = lambda: True
) -> Generator[Question, Any, None]:
    """Bring an attempt's files to ``folder``, unless they are not ``wanted`` any more once they are here.

    Raises TornError where they did not arrive as they left, OSError where the disk does not take them.
    """
    files = yield "leave", attempt.key, name, state_only
    arriving = Arriving(folder, name)
    try:
        for file in files:
            for offset in file.offsets:
                arriving.write(file.path, offset, (yield "piece", attempt.key, name, file.path, offset))
        if wanted():
            arriving.finish(files, merged=MERGED)
    finally:
        arriving.forget()
