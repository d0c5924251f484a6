"""The event log survives what happens to files: torn lines, full disks, being read while it is written."""

from __future__ import annotations

from tracker.records import EnergySource, PhaseSeconds, TrialState, Usage
from tracker.training.events import EventLog, EventReader, read_attempt

USAGE = Usage(2.0, 1.5, 1, 0, 100, 0, 0.1, None, EnergySource.UNAVAILABLE)
ASKED = {"role": "trial", "label": "#0", "attempt": 1, "seed": 0, "cores": [0], "accelerator": None, "sku": "a/b"}
ASKED |= {"settings": {"device": "cpu", "threads": 1}}


def write_attempt(path):
    log = EventLog(path)
    log.write("asked", ASKED)
    log.write("ready", {"startup_seconds": 0.25})
    log.write("checkpoint", {"epoch": 1, "metrics": {"accuracy": 0.5}, "usage": USAGE})
    ended = {"state": TrialState.COMPLETED, "reason": "", "message": "", "summary": {"test_accuracy": 0.4}}
    log.write("ended", {**ended, "usage": USAGE, "phases": PhaseSeconds(0.25, 1.5, 0.25)})


def test_what_was_written_is_read_back_as_records(tmp_path):
    write_attempt(tmp_path / "1.jsonl")
    record = read_attempt(tmp_path / "1.jsonl", 1)
    assert record.state is TrialState.COMPLETED
    assert record.usage == USAGE
    assert record.phases == PhaseSeconds(0.25, 1.5, 0.25)
    assert record.summary == {"test_accuracy": 0.4}
    assert [(each.epoch, dict(each.metrics), each.usage) for each in record.checkpoints] == [
        (1, {"accuracy": 0.5}, USAGE)
    ]


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
