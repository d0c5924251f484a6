"""Charges: what each attempt's parts cost in each month; together they are the study's spend."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tests.support.tables import run_row
from tracker.report.charges import charges_table
from tracker.store.attempts import COUNTED, SeveralAttempts

DAY = 86_400.0


def at(*when):
    return datetime(*when, tzinfo=UTC).timestamp()


def months(charges):
    return charges.groupby("month")["usd"].sum().to_dict()


def test_what_spans_months_is_cut_at_midnight_utc_in_proportion_to_time(by_hand):
    rows = [
        by_hand.trial(0, [0.5], [64 * DAY], started_at=at(2026, 10, 30)),  # 2 + 30 + 31 + 1 days
        by_hand.trial(1, [0.5], [DAY], started_at=at(2026, 10, 31)),  # ends as November begins
        by_hand.trial(2, [0.5], [DAY], started_at=at(2026, 11, 1)),
    ]
    table = by_hand.build(rows)
    charges = charges_table(table)
    usd = table.runs["price_usd"]
    first = charges[charges["label"] == "#0"]
    assert first["month"].tolist() == ["2026-10", "2026-11", "2026-12", "2027-01"]
    assert first["usd"].tolist() == pytest.approx([usd[0] * days / 64 for days in (2, 30, 31, 1)])
    assert first["started_at"].tolist() == [at(2026, 10, 30), at(2026, 11, 1), at(2026, 12, 1), at(2027, 1, 1)]
    assert first["ended_at"].tolist()[:-1] == first["started_at"].tolist()[1:]
    assert charges.loc[charges["label"] != "#0", "month"].tolist() == ["2026-10", "2026-11"]
    assert charges["usd"].sum() == pytest.approx(table.spend_usd, rel=1e-12)


def test_there_is_a_row_for_each_part_that_cost_something_and_one_for_an_attempt_that_cost_nothing(by_hand):
    parts = {"price_usd": 3.5, "compute_usd": 2.0, "storage_usd": 1.5, "wall_seconds": 10.0}
    table = by_hand.build([(run_row("a", **parts), []), (run_row("b"), [])], tags={"team": "=search"})
    charges = charges_table(table)
    assert charges[["run_id", "part", "usd"]].to_numpy().tolist() == [
        ["a", "compute", 2.0],
        ["a", "storage", 1.5],
        ["b", "compute", 0.0],
    ]
    assert set(charges["user"]) == {"ada"}
    assert set(charges["tag_team"]) == {"=search"}
    assert set(charges["basis"]) == {"billed"}


def test_each_attempt_is_charged_for_its_own_time(by_hand):
    table = by_hand.build([by_hand.trial(0, [0.5, 0.6], [100.0, 400.0], attempts=2, state="running")])
    usd = table.runs["price_usd"].iloc[0]
    own = {name: [0.0, 0.0] for name in COUNTED} | {
        "wall_seconds": [100.0, 300.0],
        "compute_usd": [usd / 4, usd * 0.75],
    }
    times = {"run": [0, 0], "started_at": [at(2026, 1, 31), at(2026, 3, 1)], "ended_at": [at(2026, 1, 31) + 9, np.nan]}
    table = by_hand.replaced(table, attempts=SeveralAttempts(lambda: pd.DataFrame({**times, **own})))
    charges = charges_table(table)
    assert charges["attempt"].tolist() == [1, 2]
    assert charges["state"].tolist() == ["", "running"]
    assert months(charges) == {"2026-01": usd / 4, "2026-03": usd * 0.75}
    assert charges["ended_at"].iloc[1] == at(2026, 3, 1) + 300


def test_who_started_the_study_stands_for_an_unknown_user(by_hand):
    table = by_hand.build([by_hand.trial(0, [0.5], [1.0], user="")], user="grace")
    assert charges_table(table)["user"].tolist() == ["grace"]


def test_charges_of_studies_add_up_to_their_spend(realistic, small, empty, hostile):
    for table in (realistic, small, hostile):
        charges = charges_table(table)
        assert charges["usd"].sum() == pytest.approx(table.spend_usd, rel=1e-12)
        assert charges.groupby("run")["usd"].sum().tolist() == pytest.approx(table.runs["price_usd"].tolist())
    assert charges_table(empty).empty
