"""What there is, what it costs an hour, what runs there, and what is idle."""

from __future__ import annotations

import pytest

from tests.support.fake_fleet import FakeFleet
from tests.support.near_fleet import RATE, rate
from tests.support.virtual_study import VirtualStudy, node_of
from tracker.engine.cluster.node_list import node_list


def test_each_machine_is_listed_with_what_runs_there_and_what_is_idle(tmp_path):
    fleet = FakeFleet()
    for _ in range(3):
        fleet.add(cores=2)
    study = VirtualStudy(fleet, tmp_path)
    study.run(0.2)
    attempts = [study.start(trial) for trial in range(3)]
    study.run(7.0)
    fleet.silence("node-2")
    rows = {row.node.node_id: row for row in node_list(fleet, rate)}
    assert list(rows) == ["node-0", "node-1", "node-2"]
    for attempt in attempts:
        (found,) = [each for each in rows[node_of(attempt)].running if each.key == attempt.key]
        assert found.cores == 1
        assert found.wall_seconds == pytest.approx(7.0, abs=0.5)
    idle = {name: row.idle_usd_per_hour for name, row in rows.items()}
    taken = {name: len([each for each in attempts if node_of(each) == name]) / 2 for name in rows}
    assert idle["node-0"] == pytest.approx(RATE.usd_per_hour * (1 - taken["node-0"]))
    assert idle["node-1"] == pytest.approx(RATE.usd_per_hour * (1 - taken["node-1"]))
    assert idle["node-2"] is None, "it does not answer"


def test_a_machine_without_a_rate_has_no_idle_dollars(tmp_path):
    fleet = FakeFleet()
    fleet.add()
    (row,) = node_list(fleet, lambda node, needs: None)
    assert (row.running, row.idle_share, row.idle_usd_per_hour) == ((), 1.0, None)
