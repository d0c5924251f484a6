"""The account of a run: its latest values in MLflow are those of all of its attempts."""

from __future__ import annotations

from tracker.pricing.price_book import load_price_book
from tracker.records import AttemptRecord, Market, Role, TrialState, Usage
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
