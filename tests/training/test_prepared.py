"""A machine that lacks the study's data prepares them once, and is not used where they turn out to be others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.attempts import request_for
from tracker.engine.reservations import Reservation
from tracker.errors import DataError
from tracker.records import DataCard
from tracker.training.prepared import mark_prepared, prepare_here


class Prepares:
    """A workload that counts how often it was asked for its data."""

    def __init__(self, fingerprint="8x8"):
        self.fingerprint = fingerprint
        self.times = 0

    def prepare(self, data, settings, cache, progress):
        self.times += 1
        return DataCard("digits", self.fingerprint, {"train": 1400})


@pytest.fixture
def request_there(tmp_path):
    request = request_for(Reservation((0,)), tmp_path)
    return replace(request, cache=tmp_path / "cache", node="node-7", prepared_with={"device": "cpu", "threads": 1})


def test_data_are_prepared_once_on_a_machine(request_there):
    workload = Prepares()
    for _ in range(3):
        prepare_here(request_there, workload, print)
    assert workload.times == 1
    prepare_here(replace(request_there, data={"rows": 5}), workload, print)
    assert workload.times == 2, "other data"


def test_what_an_attempt_prepared_for_the_study_is_not_prepared_again(request_there):
    request_there.cache.mkdir()
    mark_prepared(request_there)
    workload = Prepares()
    prepare_here(request_there, workload, print)
    assert workload.times == 0


def test_the_coordinator_s_own_machine_has_them(request_there):
    here = replace(request_there, prepared_with=None)
    prepare_here(here, Prepares(), print)
    mark_prepared(here)
    assert not here.cache.exists()


def test_other_data_are_said_in_a_line_each_time(request_there):
    for _ in range(2):
        with pytest.raises(DataError, match=r"the data on machine 'node-7' are others than .* fingerprint 9x9"):
            prepare_here(request_there, Prepares("9x9"), print)
