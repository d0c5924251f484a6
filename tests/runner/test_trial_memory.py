"""A trial that takes memory for itself has that much, and what runs beside it has the rest."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys

import pytest

from tests.support.near_fleet import NearFleet
from tracker import run_study
from tracker.errors import HardwareError
from tracker.records import trial_memory_bytes
from tracker.training.cgroup import machine_memory_bytes

CORES = sorted(os.sched_getaffinity(0))
GB = 2**30
ROOM_GB = math.floor(10 * trial_memory_bytes(machine_memory_bytes()) / GB) / 10

two_cores = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="nothing limits a process's memory")


def study(memory_gb, **tables):
    """Two trials that need one core each."""
    return {
        "name": "restricted",
        "workload": "tests.support.restricted:restricted",
        "quality": {"metric": "accuracy"},
        "strategy": "grid",
        "budget": {"trials": 2},
        "pricing": {"sku_cpu": "aws/m7i.xlarge"},
        "settings": {"threads": 1, "device": "cpu", "precision": "fp32", "memory_gb": memory_gb},
        "space": {"size": [1, 2]},
        **tables,
    }


def trials_of(home):
    """Of each trial, its first event and its checkpoint."""
    for log in sorted(home.glob("studies/restricted/trials/[0-9]/1.jsonl")):
        events = [json.loads(line) for line in log.read_text().splitlines()]
        yield events[0], next(event for event in events if event["event"] == "checkpoint"), events[-1]


def ran_at_once(home):
    """Whether the trials' times overlap."""
    (_, _, first_ended), (second_asked, _, _) = sorted(trials_of(home), key=lambda each: each[0]["time"])
    return second_asked["time"] < first_ended["time"]


@two_cores
@on_linux
@pytest.mark.parametrize(("share", "at_once"), [(0.6, False), (0.4, True)])
def test_trials_run_at_once_as_far_as_their_memory_is_there(share, at_once, tmp_path):
    run_study(study(round(share * ROOM_GB, 1)), home=tmp_path, workers=2)
    assert ran_at_once(tmp_path) is at_once
    limits = [checkpoint["metrics"]["limit_bytes"] for _, checkpoint, _ in trials_of(tmp_path)]
    assert limits == pytest.approx([round(share * ROOM_GB, 1) * GB] * 2, abs=1), "and none takes more"


@two_cores
@on_linux
def test_the_processes_of_a_trial_share_its_memory(tmp_path):
    content = study(2.0, budget={"trials": 1}, space={"size": [1]})
    content["settings"] |= {"threads": 2, "processes": 2}
    run_study(content, home=tmp_path)
    assert [checkpoint["metrics"]["limit_bytes"] for _, checkpoint, _ in trials_of(tmp_path)] == [GB]


def test_more_memory_than_there_is_is_refused_with_what_there_is(tmp_path):
    said = rf"memory_gb = 100000 is impossible here: the machine has [0-9.]+ GB, and its trials may take {ROOM_GB:.1f}"
    with pytest.raises(HardwareError, match=said):
        run_study(study(100_000), home=tmp_path)


@on_linux
def test_less_memory_than_a_process_has_before_it_trains_fails_the_trial(tmp_path):
    run_study(study(0.1, budget={"trials": 1}, space={"size": [1]}), home=tmp_path)
    (log,) = tmp_path.glob("studies/restricted/trials/0/1.jsonl")
    end = json.loads(log.read_text().splitlines()[-1])
    assert (end["state"], end["reason"]) == ("failed", "out_of_memory")
    assert "GB before it trains, and may take 0.10 GB" in end["message"]


@two_cores
@on_linux
def test_on_a_cluster_a_trial_has_memory_of_its_own_on_its_machine(tmp_path, monkeypatch):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2]], {"tracker/sku": "aws/m7i.large"})
    monkeypatch.setattr("tracker.runner.machines.connected", lambda *_, **__: contextlib.nullcontext(fleet))
    content = study(0.0, engine={"name": "ray"}, strategy="grid", space={"memory_gb": [1.0, 2.0, 100.0]})
    del content["settings"]["memory_gb"]
    run_study(content, home=tmp_path)
    fleet.close()
    found = [(asked["settings"]["memory_gb"], end["metrics"]["limit_bytes"]) for asked, end, _ in trials_of(tmp_path)]
    assert sorted(found) == [(1.0, 1.0 * GB), (2.0, 2.0 * GB)], "of what no machine has, no trial"
