"""Event logs that are cut, garbled, reordered or doubled: a record that makes sense comes out, whatever went in."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.inputs import FUZZ, tried
from tests.fuzz.mutations import ODD_VALUES, as_json, changed_text, changed_value
from tracker.errors import TrackerError
from tracker.pricing.cost import price_of
from tracker.pricing.price_point import price_point_from_row
from tracker.records import TrialState
from tracker.runner.job import job_of
from tracker.runner.study_folder import StudyFolder
from tracker.study.costs import CostTerms
from tracker.training.events import EventReader, follow, new_attempt, read_attempt

RECORDS = Path(__file__).parents[1] / "recorded"
LOGS = [path.read_text() for path in sorted(RECORDS.glob("*/studies/recorded/trials/*/*.jsonl"))]
LINES = [[json.loads(line) for line in log.splitlines()] for log in LOGS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return StudyFolder(tmp_path_factory.mktemp("study"))


def read_as_a_study(folder, text):
    """What a study counts of a log: the record, its job and its price; None where it says that it counts nothing."""
    path = folder.trials / "0" / "1.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(errors="surrogatepass"))
    said = []
    try:
        attempts = folder.attempts(said.append)
    except TrackerError as error:
        assert str(path) in str(error)
        return None
    reader = EventReader(path)
    if reader.new_events() == [] or not attempts:
        assert not attempts
        return None
    if reader.unreadable:
        assert len(said) == 1 and str(path) in said[0]
    [(_, events)] = attempts
    record = follow(new_attempt(1), events)
    makes_sense(record)
    job = job_of(events[0])
    assert job.threads >= 0 and job.device
    price = price_of(record.usage, price_point_from_row(events[0]["price_point"], ""), CostTerms())
    assert 0 <= price.usd < math.inf
    return record


def makes_sense(record):
    epochs = [each.epoch for each in record.checkpoints]
    assert epochs == sorted(set(epochs))
    usages = [record.usage, *(each.usage for each in record.checkpoints)]
    for usage in usages:
        for amount in (usage.wall_seconds, usage.cpu_seconds, usage.startup_seconds, usage.stored_bytes):
            assert 0 <= amount < math.inf
    assert record.usage.wall_seconds == max(usage.wall_seconds for usage in usages)
    assert all(math.isfinite(value) for each in record.checkpoints for value in each.metrics.values())
    assert (record.ended_at is None) == (record.state is TrialState.RUNNING)


@FUZZ
@given(changed_text(LOGS))
def test_event_logs_with_garbled_text(folder, text):
    tried["event logs garbled"] += 1
    read_as_a_study(folder, text)


@FUZZ
@given(st.sampled_from(LINES).flatmap(changed_value))
def test_event_logs_with_wrong_values(folder, events):
    tried["event logs with wrong values"] += 1
    read_as_a_study(folder, "".join(f"{as_json(event)}\n" for event in events))


@FUZZ
@given(st.sampled_from(LOGS), st.data())
def test_event_logs_that_are_cut_off(folder, log, data):
    """A log that ends anywhere is its whole lines."""
    tried["event logs cut off"] += 1
    end = data.draw(st.integers(0, len(log)))
    cut = read_as_a_study(folder, log[:end])
    assert cut == read_as_a_study(folder, log[: log.rfind("\n", 0, end) + 1])


@FUZZ
@given(st.sampled_from(LOGS), st.lists(st.integers(0, 30), max_size=5))
def test_event_logs_with_doubled_lines(folder, log, doubled):
    """A line that stands there twice counts once."""
    tried["event logs with doubled lines"] += 1
    lines = [line * (1 + doubled.count(at)) for at, line in enumerate(log.splitlines(keepends=True))]
    assert read_as_a_study(folder, "".join(lines)) == read_as_a_study(folder, log)


@FUZZ
@given(st.sampled_from(LOGS), st.randoms(use_true_random=False))
def test_event_logs_in_another_order(folder, log, order: random.Random):
    """What was used and the end are those of the whole log."""
    tried["event logs in another order"] += 1
    lines = log.splitlines(keepends=True)
    order.shuffle(lines)
    shuffled, right = read_as_a_study(folder, "".join(lines)), read_as_a_study(folder, log)
    assert (shuffled.usage.wall_seconds, shuffled.state) == (right.usage.wall_seconds, right.state)


@FUZZ
@given(st.lists(st.fixed_dictionaries({"event": ODD_VALUES, "time": ODD_VALUES}) | ODD_VALUES, max_size=5))
def test_event_logs_of_anything(folder, lines):
    tried["event logs of anything"] += 1
    path = folder.path / "1.jsonl"
    path.write_text("".join(f"{as_json(line)}\n" for line in lines))
    makes_sense(read_attempt(path, 1))
