"""The machines of a study on a cluster beside its events: each second of each machine belongs to one line."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tracker.engine.cluster.node_times import attempts_seconds, read_node_times
from tracker.engine.cluster.pump import SAVE_SECONDS
from tracker.records import AttemptRecord
from tracker.runner.audit.expected import ExpectedStudy
from tracker.runner.audit.finding import Finding
from tracker.runner.study_folder import StudyFolder
from tracker.training.events import Event, follow, new_attempt

_SUMS_SECONDS = 1e-6
_MOST_OFF = 0.01
"""By how much a machine's lines may exceed its time: what it did since they were last saved may be unknown."""


def node_findings(study: ExpectedStudy, folder: StudyFolder) -> Iterator[Finding]:
    """Where the lines of a machine are not what its attempts took, or are more than its time. Raises StoreError.

    What ran on machines without lines is not compared: an earlier tracker kept none.
    """
    times = {time.node.node_id: time for time in read_node_times(folder.path)}
    ended = list(_ended(study))
    took = attempts_seconds(ended, {node_id: time.node for node_id, time in times.items()})
    for node_id, time in times.items():
        what = f"machine {time.node.address} ({node_id[:8]})"
        trained, lost = took.get(node_id, (0.0, 0.0))
        if not (_same(time.trained_seconds, trained) and _same(time.lost_seconds, lost)):
            says = f"its lines have {time.trained_seconds:.3f} s of attempts, and {time.lost_seconds:.3f} s lost"
            yield Finding("node", what, says, f"{trained:.3f} s and {lost:.3f} s, by their events")
        if time.taken_seconds > time.total_seconds * (1 + _MOST_OFF) + SAVE_SECONDS:
            says = f"its lines add up to {time.taken_seconds:.3f} s"
            yield Finding("node", what, says, f"{time.total_seconds:.3f} s, for which it was there")


def _ended(study: ExpectedStudy) -> Iterator[tuple[Event, AttemptRecord]]:
    for path, events in study.logs:
        record = follow(new_attempt(int(path.stem)), events)
        if record.ended_at is not None:
            yield events[0], record


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=_SUMS_SECONDS)
