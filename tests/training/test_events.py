"""The event log survives what happens to files: torn lines, full disks, being read while it is written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.records import EnergySource, PhaseSeconds, TrialState, Usage
from tracker.training.ending import Ending, end_lost, write_ending
from tracker.training.events import EventLog, EventReader, read_attempt, seconds_seen

USAGE = Usage(2.0, 1.5, 1, 0, 100, 0, 0.1, None, EnergySource.UNAVAILABLE)
ASKED = {"role": "trial", "label": "#0", "attempt": 1, "seed": 0, "cores": [0], "accelerator": None, "sku": "a/b"}
ASKED |= {"settings": {"device": "cpu", "threads": 1}}


def write_attempt(path):
    log = EventLog(path)
    log.write("asked", ASKED)
    log.write("ready", {"startup_seconds": 0.25})
    log.write("checkpoint", {"epoch": 1, "metrics": {"accuracy": 0.5}, "usage": USAGE})
    ended = {"state": TrialState.COMPLETED, "reason": "", "message": "", "summary": {"test_accuracy": 0.4}}
    log.write("ended", {**ended, "usage": USAGE, "phases": PhaseSeconds(0.25, 1.25, 0.25, 0.125, 0.125)})


def test_what_was_written_is_read_back_as_records(tmp_path):
    write_attempt(tmp_path / "1.jsonl")
    record = read_attempt(tmp_path / "1.jsonl", 1)
    assert record.state is TrialState.COMPLETED
    assert record.usage == USAGE
    assert record.phases == PhaseSeconds(0.25, 1.25, 0.25, 0.125, 0.125)
    assert record.summary == {"test_accuracy": 0.4}
    assert [(each.epoch, dict(each.metrics), each.usage) for each in record.checkpoints] == [
        (1, {"accuracy": 0.5}, USAGE)
    ]


def test_figures_are_known_as_soon_as_they_are_written_and_stay_however_the_attempt_ends(tmp_path):
    path = tmp_path / "1.jsonl"
    log = EventLog(path)
    log.write("asked", ASKED)
    log.write("figures", {"figures": {"step_flops": 4e6, "parameters": 1}})
    log.write("figures", {"figures": {"parameters": 2}})
    assert read_attempt(path, 1).summary == {"step_flops": 4e6, "parameters": 2}
    ended = write_ending(path, read_attempt(path, 1), Ending(TrialState.KILLED, "killed"), 2.0)
    assert ended.summary == read_attempt(path, 1).summary == {"step_flops": 4e6, "parameters": 2}


def test_what_an_attempt_ends_with_adds_to_its_figures(tmp_path):
    path = tmp_path / "1.jsonl"
    EventLog(path).write("figures", {"figures": {"step_flops": 4e6, "test_accuracy": 0.1}})
    write_attempt(path)
    assert read_attempt(path, 1).summary == {"step_flops": 4e6, "test_accuracy": 0.4}


@pytest.mark.parametrize("figures", [{"step_flops": "many"}, {"step_flops": float("nan")}, [1.0], None], ids=str)
def test_figures_that_are_no_numbers_are_no_event(tmp_path, figures):
    path = tmp_path / "1.jsonl"
    EventLog(path).write("figures", {"figures": figures})
    reader = EventReader(path)
    assert reader.new_events() == []
    assert "figures of event 'figures' is" in reader.unreadable[0]


def test_older_logs_have_fewer_phases_and_newer_ones_may_have_more(tmp_path):
    path = tmp_path / "1.jsonl"
    ended = {"state": TrialState.COMPLETED, "reason": "", "message": "", "summary": {}, "usage": USAGE}
    phases = {"startup_seconds": 0.25, "train_seconds": 1.5, "evaluation_seconds": 0.25}
    EventLog(path).write("ended", {**ended, "phases": phases})
    assert read_attempt(path, 1).phases == PhaseSeconds(0.25, 1.5, 0.25)
    EventLog(path).write("ended", {**ended, "phases": {**phases, "saving_seconds": 0.125, "moving_seconds": 1.0}})
    assert read_attempt(path, 1).phases == PhaseSeconds(0.25, 1.5, 0.25, saving_seconds=0.125)


def test_of_a_worker_that_vanished_evaluation_is_known_until_its_last_checkpoint(tmp_path):
    path = tmp_path / "1.jsonl"
    log = EventLog(path)
    log.write("asked", ASKED)
    log.write("ready", {"startup_seconds": 0.25})
    reached = {"epoch": 1, "metrics": {"accuracy": 0.5}, "usage": USAGE, "evaluation_seconds": 0.5}
    log.write("checkpoint", reached)
    ended = write_ending(path, read_attempt(path, 1), Ending(TrialState.KILLED, "killed"), 4.0)
    assert ended.phases == PhaseSeconds(0.25, 3.25, 0.5)


@pytest.mark.parametrize(
    ("state", "reason"), [("completed", ""), ("paused", "interrupted"), ("stopped", "interrupted")]
)
def test_a_training_that_completes_while_it_is_asked_to_stop_has_no_reason_for_its_end(state, reason, tmp_path):
    path = tmp_path / "1.jsonl"
    log = EventLog(path)
    log.write("asked", ASKED)
    log.write("stop_asked", {"reason": "interrupted"})
    asked = read_attempt(path, 1)
    ended = write_ending(path, asked, Ending(TrialState(state)), 2.0)
    assert (ended.state, ended.reason) == (state, reason)
    assert read_attempt(path, 1).reason == reason
    path.write_text(path.read_text().replace(f'"reason": "{reason}", "message"', '"reason": "", "message"'))
    assert read_attempt(path, 1).reason == reason, "as a worker writes it, that does not know why it was asked"


def test_a_request_to_stop_that_comes_after_the_end_is_not_its_reason(tmp_path):
    path = tmp_path / "1.jsonl"
    log = EventLog(path)
    log.write("asked", ASKED)
    failed = {"state": "failed", "reason": "error", "message": "no", "summary": {}}
    log.write("ended", {**failed, "usage": USAGE, "phases": PhaseSeconds()})
    log.write("stop_asked", {"reason": "study_failed"})
    assert read_attempt(path, 1).reason == "error"


def test_a_line_that_is_still_being_written_is_left_for_the_next_look(tmp_path):
    path = tmp_path / "1.jsonl"
    reader = EventReader(path)
    assert reader.new_events() == []
    path.write_text('{"event": "started", "time": 1.0, "pid": 2}\n{"event": "rea')
    assert [event["event"] for event in reader.new_events()] == ["started"]
    with path.open("a") as file:
        file.write('dy", "time": 2.0, "startup_seconds": 1.0}\n')
    assert [event["event"] for event in reader.new_events()] == ["ready"]


def test_a_torn_line_costs_itself_alone(tmp_path):
    path = tmp_path / "1.jsonl"
    write_attempt(path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b'\x00\xff{"event": "che', b"[1, 2]", *lines[1:]]) + b"\n")
    assert read_attempt(path, 1) == read_attempt(path, 1)
    assert read_attempt(path, 1).state is TrialState.COMPLETED


def test_a_full_disk_does_not_stop_the_training_and_loses_nothing(tmp_path, monkeypatch, capfd):
    log = EventLog(tmp_path / "gone" / "1.jsonl")
    log.write("heartbeat", {"usage": USAGE})
    assert "keeping it for later" in capfd.readouterr().err
    (tmp_path / "gone").mkdir()
    log.write("checkpoint", {"epoch": 1, "metrics": {"accuracy": 0.5}, "usage": USAGE})
    events = EventReader(tmp_path / "gone" / "1.jsonl").new_events()
    assert [event["event"] for event in events] == ["heartbeat", "checkpoint"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 250)), max_size=25))
def test_whatever_a_disk_tears_every_event_of_both_writers_is_read_once_and_in_order(tmp_path_factory, writes):
    """Each write of a worker, ``a``, and its coordinator, ``b``, takes so many bytes, then the disk is full."""
    path = tmp_path_factory.mktemp("torn") / "1.jsonl"
    logs, seen, reader = {"a": EventLog(path), "b": EventLog(path)}, {"a": [], "b": []}, EventReader(path)
    whole_write = os.write

    def take(room):
        def write(descriptor, text):
            nonlocal room
            if room is not None and room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = whole_write(descriptor, text if room is None else text[:room])
            room = None if room is None else room - written
            return written

        return write

    def look():
        for event in reader.new_events():
            seen[event["by"]].append(event["number"])

    for number, (by, room) in enumerate(writes):
        with mock.patch("tracker.training.events.os.write", take(room)):
            assert logs[by].write("stop_asked", {"reason": "", "by": by, "number": number}) or room is not None
        look()
    assert all(log.flush() for log in logs.values())
    look()
    for by, numbers in seen.items():
        assert numbers == [number for number, (writer, _) in enumerate(writes) if writer == by]


LIMITED = """
import resource, sys
from pathlib import Path
from tracker.training.events import EventLog
log, (_, hard) = EventLog(Path(sys.argv[1])), resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
number = 0
while log.write("stop_asked", {"reason": "", "number": number}):
    number += 1
log.write("stop_asked", {"reason": "", "number": number + 1})
assert log.problem == "File too large" and log.failing_seconds > 0
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.write("progress", {"message": "", "number": number + 2})
assert not log.problem and log.failing_seconds == 0
"""


def test_a_file_that_may_not_grow_keeps_its_lines_whole_and_gets_the_rest_later(tmp_path):
    subprocess.run([sys.executable, "-c", LIMITED, tmp_path / "1.jsonl"], check=True, capture_output=True)
    numbers = [event["number"] for event in EventReader(tmp_path / "1.jsonl").new_events()]
    assert numbers == list(range(len(numbers))) and len(numbers) > 3


def test_an_end_after_a_torn_line_is_read(tmp_path):
    path = tmp_path / "1.jsonl"
    write_attempt(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    EventLog(path).write("note", {"message": "the coordinator's"})
    assert read_attempt(path, 1).notes == ("the coordinator's",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0.0, 3600.0), min_size=1, max_size=6), st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6))
def test_a_lost_attempt_is_billed_by_the_steady_clock_wherever_the_other_one_is_set(tmp_path_factory, waits, set_by):
    path = tmp_path_factory.mktemp("lost") / "1.jsonl"
    steady, wall = 1000.0, 1.8e9
    events = [{"event": "asked", "time": wall, "steady": steady, **ASKED}]
    for wait, moved in zip(waits, set_by, strict=False):
        steady, wall = steady + wait, wall + wait + moved
        events.append({"event": "progress", "time": wall, "steady": steady, "message": ""})
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    ended = end_lost(path, read_attempt(path, 1), events)
    assert ended == read_attempt(path, 1)
    assert ended.usage.wall_seconds == pytest.approx(sum(waits))
    assert ended.ended_at >= ended.started_at


def test_older_logs_without_a_steady_clock_are_billed_until_what_they_say_was_used(tmp_path):
    write_attempt(tmp_path / "1.jsonl")
    events = [dict(event) for event in EventReader(tmp_path / "1.jsonl").new_events()]
    for number, event in enumerate(events):
        del event["steady"]
        event["time"] = 1e9 + 7200 * number
    assert seconds_seen(events) == USAGE.wall_seconds
    assert seconds_seen(events[:2]) == 7200, "nothing else is known"
