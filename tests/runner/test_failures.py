"""Failures that say something of the study end it; those that say something of the settings do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracker.records import AttemptRecord, Checkpoint, TrialState, Usage
from tracker.runner.failures import MOST_ALIKE, MOST_ALIKE_IN_A_ROW, MOST_KILLS, MOST_OF_SETTINGS, Failures

USAGE = Usage(1.0, 1.0, 1)
REACHED = AttemptRecord(1, TrialState.COMPLETED, 0.0, USAGE, (Checkpoint(1, {"accuracy": 0.5}, USAGE, 1.0),))


def failed(message, reason="error"):
    return AttemptRecord(1, TrialState.FAILED, 0.0, USAGE, reason=reason, message=message)


def test_the_same_failure_with_other_numbers_is_the_same():
    failures = Failures()
    for number in range(MOST_ALIKE):
        assert not failures.verdict
        failures.ended(failed(f"no file trial-{number}.csv"), 0)
    assert failures.verdict == "3 trials failed in the same way: no file trial-2.csv; correct that, then resume"


@pytest.mark.parametrize("reason", ["out_of_memory", "not_finite", "time_limit"])
def test_what_the_search_learns_to_avoid_ends_a_study_only_where_nothing_else_ever_happens(reason):
    lucky, failures = Failures(), Failures()
    lucky.ended(REACHED, 0)
    for number in range(MOST_OF_SETTINGS):
        assert not failures.verdict
        failures.ended(failed("as before", reason), number)
        lucky.ended(failed("as before", reason), number)
    assert "20 trials failed in the same way: as before" in failures.verdict
    assert failures.all_failed == "every trial failed; 20 of 20: as before"
    assert not lucky.verdict


def test_trials_that_report_and_then_fail_alike_end_the_study_too():
    failures = Failures()
    for _ in range(MOST_ALIKE_IN_A_ROW):
        assert not failures.verdict
        failures.ended(replace(REACHED, state=TrialState.FAILED, reason="error", message="no folder"), 0)
    assert "8 trials failed in the same way: no folder" in failures.verdict


def test_a_killed_trial_is_resumed_a_few_times_and_one_that_was_asked_to_stop_is_not():
    failures = Failures()
    killed = replace(REACHED, state=TrialState.KILLED, reason="killed", message="SIGKILL")
    answers = []
    for _ in range(MOST_KILLS):
        failures.ended(killed, 7)
        answers.append(failures.retries(7, killed))
    assert answers == [True] * (MOST_KILLS - 1) + [False]
    assert not Failures().retries(8, replace(killed, reason="time_limit"))
    assert Failures().retries(8, replace(killed, reason="process_died")), "a part of it on another machine"
    assert not failures.verdict, "kills say nothing of the study"


def test_a_training_that_crashes_every_time_ends_the_study():
    failures = Failures()
    for number in range(MOST_ALIKE):
        failures.ended(AttemptRecord(1, TrialState.KILLED, 0.0, USAGE, reason="crashed", message="SIGSEGV"), number)
    assert "3 trials failed in the same way: SIGSEGV" in failures.verdict


def test_a_disk_that_takes_no_events_ends_the_study_at_once():
    failures = Failures()
    failures.ended(replace(REACHED, state=TrialState.PAUSED, reason="disk_failed", message="the disk is full"), 0)
    assert failures.verdict == "the disk is full. Make room, then resume: saved states are kept"


def test_after_a_checkpoint_only_many_in_a_row_end_it():
    failures = Failures(checkpoints=True)
    for _ in range(MOST_ALIKE_IN_A_ROW - 1):
        failures.ended(failed("gone"), 0)
    failures.ended(REACHED, 0)
    for _ in range(MOST_ALIKE_IN_A_ROW - 1):
        failures.ended(failed("gone"), 0)
        assert not failures.verdict
    failures.ended(failed("gone"), 0)
    assert "failed in the same way: gone" in failures.verdict


def test_a_study_that_reached_something_has_not_failed():
    failures = Failures()
    failures.ended(REACHED, 0)
    failures.ended(failed("gone"), 0)
    assert not failures.all_failed
    assert not Failures().all_failed, "nothing has ended yet"
    resumed = Failures(checkpoints=True)
    resumed.ended(failed("gone"), 0)
    assert not resumed.all_failed


def test_a_limit_on_a_metric_that_nobody_reports_ends_the_study():
    failures = Failures(limited=["peak_memory_bytes", "recall", "accuracy"])
    for number in range(MOST_ALIKE):
        assert not failures.verdict
        failures.ended(REACHED, number)
    assert "none reported 'recall': no trial can keep to that limit" in failures.verdict
    reported = Failures(limited=["accuracy", "peak_memory_bytes"])
    for number in range(MOST_ALIKE):
        reported.ended(REACHED, number)
    assert not reported.verdict
