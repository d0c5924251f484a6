"""Data that another machine prepared for the study: prepared once more where this one lacks them, and compared."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tracker.errors import DataError
from tracker.records import DataCard, Settings
from tracker.training.request import AttemptRequest
from tracker.training.workload import Workload


def prepare_here(request: AttemptRequest, workload: Workload, progress: Callable[[str], None]) -> None:
    """Prepare a study's data where this machine has not done it yet; others wait meanwhile.

    Raises DataError where they are others than the study's, and what the workload raises.
    """
    if request.prepared_with is None:
        return
    request.cache.mkdir(parents=True, exist_ok=True)
    mark = _mark(request, request.prepared_with)
    with mark.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists():
            return
        card = workload.prepare(request.data, request.prepared_with, request.cache, progress)
        _compare(card, request)
        mark.touch()


def mark_prepared(request: AttemptRequest) -> None:
    """Note that this machine has the study's data: the attempt has prepared them."""
    if request.prepared_with is not None:
        _mark(request, request.prepared_with).touch()


def _mark(request: AttemptRequest, settings: Settings) -> Path:
    asked = json.dumps([request.workload, request.data, settings], sort_keys=True, default=str)
    return request.cache / f"prepared-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"


def _compare(card: DataCard, request: AttemptRequest) -> None:
    known = request.data_card
    if known is not None and known.fingerprint and card.fingerprint != known.fingerprint:
        raise DataError(
            f"the data on machine '{request.node}' are others than the study's: fingerprint {card.fingerprint}, not"
            f" {known.fingerprint}; give it the same files"
        )
