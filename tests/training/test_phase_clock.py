"""The phases of an attempt add up to its wall time, and nothing counts as two of them."""

from __future__ import annotations

import time

import pytest
import torch

from experiments.benchmarks.bare_run import bare_run, bare_task
from tracker.records import Direction, PhaseSeconds, QualityMetric
from tracker.training.assignment import Place, Saving
from tracker.training.meter import Meter
from tracker.training.phase_clock import PhaseClock

WAIT = 0.05


class Clock(PhaseClock):
    """That of an attempt which was asked for now."""

    def __init__(self, **options):
        begin = time.monotonic()
        super().__init__(lambda: time.monotonic() - begin, **options)


def whole(phases: PhaseSeconds) -> float:
    return sum(getattr(phases, name) for name in PhaseSeconds.__slots__)


def add_up(clock: PhaseClock) -> bool:
    before, phases, after = clock._wall_seconds(), clock.phases(), clock._wall_seconds()
    return before - 1e-6 <= whole(phases) <= after + 1e-6


@pytest.fixture
def make_run(tmp_path):
    def make(**saving):
        meter, events = Meter(asked_steady=time.monotonic(), cores=1), []
        place = Place(tmp_path / "cache", tmp_path / "artifacts")
        task = bare_task(QualityMetric("accuracy", Direction.MAXIMIZE))
        write = lambda event, *fields: events.append((event, *fields))  # noqa: E731
        return bare_run(task, place, write, meter=meter, saving=Saving(**saving)), meter, events

    return make


def test_every_phase_has_its_time_and_together_they_are_the_wall_time():
    clock = Clock()
    time.sleep(WAIT)
    clock.ready()
    time.sleep(WAIT)
    for phase in (clock.evaluating, clock.saving, clock.waiting_for_data):
        with phase():
            time.sleep(WAIT)
    phases = clock.phases()
    assert min(getattr(phases, name) for name in PhaseSeconds.__slots__) >= WAIT
    assert add_up(clock)


def test_what_is_within_another_phase_counts_as_that_one():
    clock = Clock()
    clock.ready()
    with clock.evaluating():
        with clock.waiting_for_data(), clock.saving():
            time.sleep(WAIT)
        with clock.evaluating():
            time.sleep(WAIT)
    phases = clock.phases()
    assert phases.evaluation_seconds >= 2 * WAIT
    assert phases.data_seconds == phases.saving_seconds == 0.0
    assert add_up(clock)


def test_a_phase_that_has_not_ended_counts_until_now():
    clock = Clock()
    clock.ready()
    with clock.saving():
        time.sleep(WAIT)
        assert clock.phases().saving_seconds >= WAIT
        assert add_up(clock)


def test_what_is_evaluated_before_the_training_is_no_start_up():
    clock = Clock()
    with clock.evaluating():
        time.sleep(WAIT)
    assert add_up(clock)
    clock.ready()
    assert clock.startup_seconds >= WAIT, "the training began that late"
    assert clock.phases().evaluation_seconds >= WAIT
    assert add_up(clock)


def test_a_phase_that_fails_ends_there():
    clock = Clock()
    clock.ready()
    with pytest.raises(KeyError), clock.evaluating():
        raise KeyError
    counted = clock.phases().evaluation_seconds
    time.sleep(WAIT)
    assert clock.phases().evaluation_seconds == counted


def slow_batches(count):
    for number in range(count):
        time.sleep(WAIT)
        yield number


def test_batches_come_in_order_and_the_wait_for_each_is_no_training(make_run):
    run, meter, events = make_run()
    run.ready()
    seen = []
    for batch in run.batches(slow_batches(3)):
        time.sleep(WAIT)
        seen.append(batch)
    assert seen == [0, 1, 2]
    phases = meter.phases()
    assert phases.data_seconds >= 3 * WAIT and phases.train_seconds >= 3 * WAIT
    assert [event for event, *_ in events] == ["ready"]


def test_start_up_ends_with_the_first_batch_at_the_latest(make_run):
    run, meter, events = make_run()
    for _ in run.batches(slow_batches(1)):
        time.sleep(WAIT)
    phases = meter.phases()
    assert phases.train_seconds >= WAIT and phases.data_seconds >= WAIT
    assert phases.startup_seconds == pytest.approx(events[0][1]["startup_seconds"])
    assert [event for event, *_ in events] == ["ready"]


def test_batches_of_an_evaluation_are_evaluation(make_run):
    run, meter, _ = make_run()
    run.ready()
    with run.evaluating():
        assert len(list(run.batches(slow_batches(2)))) == 2
    assert meter.phases().data_seconds == 0.0
    assert meter.phases().evaluation_seconds >= 2 * WAIT


def test_a_loader_that_fails_fails_the_training_and_not_the_clock(make_run):
    run, meter, _ = make_run()

    def broken():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(run.batches(broken()))
    counted = meter.phases().data_seconds
    time.sleep(WAIT)
    assert meter.phases().data_seconds == counted


def test_writing_a_state_is_saving(make_run, tmp_path):
    run, meter, _ = make_run(path=tmp_path / "state.pt")
    run.ready()
    run.report(1, accuracy=0.5)
    run.save({"weights": torch.zeros(1000)})
    assert (tmp_path / "state.pt").exists()
    assert meter.phases().saving_seconds > 0.0
    assert add_up(meter.clock)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_while_a_gpu_still_computes_nobody_waits_for_data():
    clock, work = Clock(on_gpu=True), torch.randn(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    clock.ready()
    with clock.waiting_for_data():
        time.sleep(WAIT)
    torch.cuda.synchronize()
    idle = clock.phases().data_seconds
    assert idle >= WAIT, "it had nothing to do"
    for _ in range(50):
        work @ work
    with clock.waiting_for_data():
        pass
    torch.cuda.synchronize()
    assert clock.phases().data_seconds - idle < WAIT
    for _ in range(20):
        work @ work
    with clock.waiting_for_data():
        torch.cuda.synchronize()
        time.sleep(WAIT)
    torch.cuda.synchronize()
    assert clock.phases().data_seconds - idle >= WAIT, "it ran out of work meanwhile"
    assert add_up(clock)
