"""Failures that say something of the study end it; those that say something of the settings do not."""

from __future__ import annotations

import pytest

from tracker.records import AttemptRecord, Checkpoint, TrialState, Usage
from tracker.runner.failures import MOST_ALIKE, MOST_ALIKE_IN_A_ROW, Failures

USAGE = Usage(1.0, 1.0, 1)
REACHED = AttemptRecord(1, TrialState.COMPLETED, 0.0, USAGE, (Checkpoint(1, {"accuracy": 0.5}, USAGE, 1.0),))


def failed(message, reason="error"):
    return AttemptRecord(1, TrialState.FAILED, 0.0, USAGE, reason=reason, message=message)


def test_the_same_failure_with_other_numbers_is_the_same():
    failures = Failures()
    for number in range(MOST_ALIKE):
        assert not failures.verdict
        failures.ended(failed(f"no file trial-{number}.csv"))
    assert failures.verdict == "3 trials failed in the same way: no file trial-2.csv"


@pytest.mark.parametrize("reason", ["out_of_memory", "not_finite", "time_limit"])
def test_what_the_search_learns_to_avoid_never_ends_a_study(reason):
    failures = Failures()
    for _ in range(3 * MOST_ALIKE_IN_A_ROW):
        failures.ended(failed("as before", reason))
    assert not failures.verdict
    assert failures.all_failed == "every trial failed; 24 of 24: as before"


def test_after_a_checkpoint_only_many_in_a_row_end_it():
    failures = Failures(checkpoints=True)
    for _ in range(MOST_ALIKE_IN_A_ROW - 1):
        failures.ended(failed("gone"))
    failures.ended(REACHED)
    for _ in range(MOST_ALIKE_IN_A_ROW - 1):
        failures.ended(failed("gone"))
        assert not failures.verdict
    failures.ended(failed("gone"))
    assert "failed in the same way: gone" in failures.verdict


def test_a_study_that_reached_something_has_not_failed():
    failures = Failures()
    failures.ended(REACHED)
    failures.ended(failed("gone"))
    assert not failures.all_failed
    assert not Failures().all_failed, "nothing has ended yet"
    resumed = Failures(checkpoints=True)
    resumed.ended(failed("gone"))
    assert not resumed.all_failed
