"""The meter tells what was used, from the moment that the attempt was asked for."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from tracker.records import DataCard, EnergySource, Usage
from tracker.training import meter as meter_module
from tracker.training.busy import measured_while_busy
from tracker.training.energy_counters import NvmlEnergy, RaplEnergy
from tracker.training.meter import Meter


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_wall_time_begins_when_the_attempt_was_asked_for():
    asked_steady = time.monotonic() - 5.0
    meter = Meter(asked_steady=asked_steady, cores=1)
    assert 5.0 <= meter.usage().wall_seconds <= time.monotonic() - asked_steady


def test_what_the_process_did_before_is_not_the_attempts():
    spin(0.3)
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    assert meter.usage().cpu_seconds < 0.1


def test_phases_add_up_to_the_wall_time():
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    spin(0.05)
    meter.clock.ready()
    spin(0.05)
    with meter.clock.evaluating():
        spin(0.05)
    before, phases, after = meter.wall_seconds(), meter.phases(), meter.wall_seconds()
    assert min(phases.startup_seconds, phases.train_seconds, phases.evaluation_seconds) >= 0.05
    total = phases.startup_seconds + phases.train_seconds + phases.evaluation_seconds
    assert before <= total <= after


def test_energy_is_a_measurement_or_it_is_unavailable():
    usage = Meter(asked_steady=time.monotonic(), cores=1).usage()
    assert (usage.energy_joules is None) == (usage.energy_source is EnergySource.UNAVAILABLE)


def test_what_the_first_of_several_machines_used_counts_for_each(tmp_path):
    data = {"asked_steady": time.monotonic(), "cores": 2, "data_bytes": 1000, "kept_files": tmp_path}
    (tmp_path / "model").write_bytes(bytes(10))
    one, three = Meter(**data), Meter(**data, machines=3)
    spin(0.2)
    alone, together = one.usage(), three.usage()
    assert together.cores == 6
    assert together.peak_memory_bytes == pytest.approx(3 * alone.peak_memory_bytes, rel=0.1)
    assert together.cpu_seconds == pytest.approx(3 * alone.cpu_seconds, rel=0.2)
    assert (together.stored_bytes, together.kept_bytes) == (3010, 10), "data on each, its own files on the first"
    assert together.wall_seconds == pytest.approx(alone.wall_seconds, abs=0.1)
    assert together.energy_source is not EnergySource.MEASURED


def a_zone(powercap, index, name, microjoules):
    zone = powercap / f"intel-rapl:{index}"
    zone.mkdir()
    for file, content in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", 10_000_000)):
        (zone / file).write_text(f"{content}\n")
    return zone


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """A folder that stands for /sys/class/powercap, empty."""
    find = RaplEnergy.find
    monkeypatch.setattr(meter_module, "energy_counter", lambda cores, accelerator: find(tmp_path))
    return tmp_path


def test_the_energy_of_every_package_is_summed_since_the_meter_was_made(powercap):
    first, second = a_zone(powercap, 0, "package-0", 5_000_000), a_zone(powercap, 1, "package-1", 1_000_000)
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    (first / "energy_uj").write_text("7000000\n")
    (second / "energy_uj").write_text("1500000\n")
    usage = meter.usage()
    assert usage.energy_joules == pytest.approx(2.5)
    assert usage.energy_source is EnergySource.MEASURED


def test_a_counter_that_wraps_goes_on(powercap):
    zone = a_zone(powercap, 0, "package-0", 9_000_000)
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    (zone / "energy_uj").write_text("500000\n")
    assert meter.usage().energy_joules == pytest.approx(1.5)


def test_a_zone_that_has_the_packages_in_it_is_not_counted_beside_them(powercap):
    package, whole = a_zone(powercap, 0, "package-0", 0), a_zone(powercap, 1, "psys", 0)
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    (package / "energy_uj").write_text("1000000\n")
    (whole / "energy_uj").write_text("4000000\n")
    assert meter.usage().energy_joules == pytest.approx(1.0)


@pytest.mark.parametrize("content", [None, "", "not a number"])
def test_a_counter_that_cannot_be_read_at_the_start_gives_no_figure(powercap, content):
    a_zone(powercap, 0, "package-0", 0)
    unreadable = a_zone(powercap, 1, "package-1", 0) / "energy_uj"
    if content is None:
        unreadable.unlink()
    else:
        unreadable.write_text(content)
    usage = Meter(asked_steady=time.monotonic(), cores=1).usage()
    assert usage.energy_joules is None
    assert usage.energy_source is EnergySource.UNAVAILABLE


def test_a_counter_that_fails_on_the_way_ends_the_figure_and_not_the_run(powercap):
    counter = a_zone(powercap, 0, "package-0", 0) / "energy_uj"
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    assert meter.usage().energy_source is EnergySource.MEASURED
    counter.unlink()
    usage = meter.usage()
    assert usage.energy_joules is None
    assert usage.energy_source is EnergySource.UNAVAILABLE
    counter.write_text("1000000\n")  # readable again, but it may have wrapped unseen
    assert meter.usage().energy_source is EnergySource.UNAVAILABLE


class FailingDriver:
    """Stands for pynvml: a counter that says 5 J, then 7 J, and then fails or begins anew."""

    def __init__(self, last):
        self.readings = iter([5000, 7000, last])

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802 - NVML's name
        reading = next(self.readings)
        if isinstance(reading, Exception):
            raise reading
        return reading


@pytest.mark.parametrize("last", [RuntimeError("GPU is lost"), 100])
def test_a_gpu_that_is_lost_on_the_way_ends_the_figure_and_not_the_run(monkeypatch, last):
    driver = FailingDriver(last)
    monkeypatch.setattr(meter_module, "energy_counter", lambda *_: NvmlEnergy(driver, [None]))
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    assert meter.usage().energy_joules == pytest.approx(2.0)
    assert meter.usage().energy_source is EnergySource.UNAVAILABLE


def _keep_busy(core, spinning):
    os.sched_setaffinity(0, {core})
    spinning.set()
    spin(60.0)


def _measure(core, seconds, results):
    os.sched_setaffinity(0, {core})
    meter = Meter(asked_steady=time.monotonic(), cores=1)
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


def test_what_an_attempt_keeps_and_what_it_brought_in_are_measured(tmp_path):
    meter = Meter(asked_steady=time.monotonic(), cores=1, data_bytes=500, kept_files=tmp_path / "later")
    assert (meter.usage().stored_bytes, meter.usage().kept_bytes) == (500, 0)
    (tmp_path / "later/below").mkdir(parents=True)
    (tmp_path / "later/model.pt").write_bytes(b"x" * 100)
    (tmp_path / "later/below/words").write_bytes(b"x" * 20)
    usage = meter.usage()
    assert (usage.stored_bytes, usage.kept_bytes) == (620, 120)
    meter.acquired(DataCard("reviews", "abc", {"train": 7, "test": 3}, size_bytes=1000))
    usage = meter.usage()
    assert (usage.acquired_samples, usage.acquired_bytes, usage.kept_bytes) == (10, 1000, 1120)


def test_start_up_is_all_the_time_until_training_begins():
    meter = Meter(asked_steady=time.monotonic() - 2.0, cores=1)
    usage = meter.usage()
    assert usage.startup_seconds == usage.wall_seconds
    meter.clock.ready()
    spin(0.05)
    usage = meter.usage()
    assert 2.0 <= usage.startup_seconds < usage.wall_seconds - 0.04


def test_energy_is_estimated_from_the_chip_only_where_no_counter_can_be_read(monkeypatch):
    monkeypatch.setattr(meter_module, "energy_counter", lambda *_: None)
    known = Meter(asked_steady=time.monotonic(), cores=1, cpu_model="AMD EPYC 7763 64-Core Processor")
    spin(0.2)
    usage = known.usage()
    assert usage.energy_source is EnergySource.ESTIMATED
    assert usage.energy_joules == pytest.approx(280 * usage.cpu_seconds / 128)
    unknown = Meter(asked_steady=time.monotonic(), cores=1, cpu_model="Intel Xeon Processor @ 2.80GHz").usage()
    assert (unknown.energy_joules, unknown.energy_source) == (None, EnergySource.UNAVAILABLE)
