"""The meter tells what was used, from the moment that the attempt was asked for."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from tracker.records import EnergySource, Usage
from tracker.training.meter import Meter, measured_while_busy


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_wall_time_begins_when_the_attempt_was_asked_for():
    meter = Meter(started_at=time.time() - 5.0, cores=1)
    assert 5.0 <= meter.usage().wall_seconds < 6.0


def test_what_the_process_did_before_is_not_the_attempts():
    spin(0.3)
    meter = Meter(started_at=time.time(), cores=1)
    assert meter.usage().cpu_seconds < 0.1


def test_phases_add_up_to_the_wall_time():
    meter = Meter(started_at=time.time(), cores=1)
    spin(0.05)
    meter.ready()
    spin(0.05)
    with meter.evaluating():
        spin(0.05)
    phases = meter.phases()
    assert min(phases.startup_seconds, phases.train_seconds, phases.evaluation_seconds) >= 0.05
    total = phases.startup_seconds + phases.train_seconds + phases.evaluation_seconds
    assert total == pytest.approx(meter.wall_seconds(), abs=0.02)


def test_energy_is_a_measurement_or_it_is_unavailable():
    usage = Meter(started_at=time.time(), cores=1).usage()
    assert (usage.energy_joules is None) == (usage.energy_source is EnergySource.UNAVAILABLE)


def _keep_busy(core, spinning):
    os.sched_setaffinity(0, {core})
    spinning.set()
    spin(60.0)


def _measure(core, seconds, results):
    os.sched_setaffinity(0, {core})
    meter = Meter(started_at=time.time(), cores=1)
    spin(seconds)
    results.put(meter.usage())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to a core")
def test_a_run_that_shares_its_core_is_flagged():
    core = min(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    results, spinning = context.Queue(), context.Event()
    other = context.Process(target=_keep_busy, args=(core, spinning))
    other.start()
    assert spinning.wait(60)
    measured = context.Process(target=_measure, args=(core, 1.5, results))
    measured.start()
    usage = results.get(timeout=60)
    measured.join()
    other.kill()
    assert measured_while_busy(usage), usage


def test_a_run_that_has_its_cores_to_itself_is_not_flagged():
    assert not measured_while_busy(Usage(10.0, 19.5, 2, waiting_seconds=0.2))


def test_a_training_loop_that_leaves_its_cores_idle_by_itself_is_not_flagged():
    assert not measured_while_busy(Usage(10.0, 8.0, 2, waiting_seconds=0.2))


def test_without_a_figure_for_waiting_half_unused_cores_are_flagged():
    assert measured_while_busy(Usage(10.0, 9.0, 2, waiting_seconds=None))
    assert not measured_while_busy(Usage(10.0, 15.0, 2, waiting_seconds=None))
