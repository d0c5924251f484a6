"""The account of a run: its latest values in MLflow are those of all of its attempts."""

from __future__ import annotations

from dataclasses import replace

from tracker.pricing.price_book import load_price_book
from tracker.records import AttemptRecord, Market, PhaseSeconds, Role, TrialState, Usage
from tracker.runner.account import Account
from tracker.runner.audit.expected import RecordedLog
from tracker.runner.job import Job
from tracker.study.costs import CostTerms

POINT = load_price_book().point("aws/m7i.xlarge", Market.ON_DEMAND)
JOB = Job(Role.TRIAL, "#0", "0", {"device": "cpu", "threads": 1}, 0, 0)


def ended(number, ended_at, wall_seconds):
    return AttemptRecord(number, TrialState.KILLED, ended_at, Usage(wall_seconds, 0.0, 1), ended_at=ended_at)


def test_the_latest_spend_is_the_full_one_where_a_later_machine_s_clock_is_behind():
    log = RecordedLog()
    account = Account(JOB, POINT, CostTerms(), log)
    account.close(ended(1, 5000.0, 60.0))
    account.resume(JOB, POINT)
    account.close(ended(2, 1000.0, 30.0))
    assert log.last("price_usd") == account.price_usd
    assert log.last("wall_seconds") == 90.0
    assert account.ended_at == 1000.0


def test_phases_of_all_attempts_add_up_to_the_wall_time_and_a_figure_of_the_first_stays():
    log = RecordedLog()
    account = Account(JOB, POINT, CostTerms(), log)
    first = replace(ended(1, 5000.0, 60.0), phases=PhaseSeconds(10.0, 30.0, 8.0, 7.0, 5.0), summary={"step_flops": 1e9})
    account.close(replace(first, usage=replace(first.usage, startup_seconds=10.0)))
    assert log.last("step_flops") == 1e9, "in whichever state the attempt ended"
    account.resume(JOB, POINT)
    second = replace(ended(2, 6000.0, 30.0), phases=PhaseSeconds(6.0, 20.0, 1.0, 2.0, 1.0))
    account.close(replace(second, usage=replace(second.usage, startup_seconds=6.0)))
    assert log.last("step_flops") == 1e9
    phases = {name: log.last(name) for name in PhaseSeconds.__slots__}
    assert phases["train_seconds"] == 50.0 and phases["data_seconds"] == 9.0
    assert sum(phases.values()) == log.last("wall_seconds") == 90.0
