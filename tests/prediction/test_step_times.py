"""Seconds of training steps elsewhere: by what they rest on, and why there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tracker.prediction.accelerators import accelerator
from tracker.prediction.step_times import (
    ANOTHER_PROCESSOR,
    BOUND_BY_LAUNCHES,
    FROM_FLOPS,
    FROM_PROCESSOR,
    LAUNCH_SECONDS,
    UTILISATION,
    MeasuredSteps,
    Source,
    predict_on,
)

H100, T4, L4 = accelerator("H100"), accelerator("T4"), accelerator("L4")


def steps(source, seconds=100.0, flops=np.nan, launches=np.nan, memory_bytes=0.0):
    values = (np.array([each], dtype=float) for each in (seconds, flops, launches, memory_bytes))
    return MeasuredSteps([source], np.array([0]), *values)


def on_gpu(**given):
    return steps(Source(accelerator("A100-80GB"), "bf16"), **given)


def on_cpu(**given):
    return steps(Source(None, "fp32"), **given)


def test_from_an_accelerator_the_range_lies_around_the_likely_time():
    found = predict_on(H100, on_gpu(flops=100 * 311.9e12 * 0.4))
    assert found.low[0] < found.seconds[0] < found.high[0]
    assert found.high[0] / found.seconds[0] == pytest.approx(found.seconds[0] / found.low[0])
    assert found.seconds[0] < 100.0 and found.basis[0] == "adjacent generation" and found.refused[0] == ""


def test_utilisation_is_flops_a_second_over_the_peak():
    assert on_gpu(flops=100 * 311.9e12 * 0.4).utilisation()[0] == pytest.approx(0.4)
    assert np.isnan(on_cpu(flops=1e12).utilisation()[0])


def test_from_a_processor_the_flops_tell_and_launches_are_a_floor():
    large = predict_on(L4, on_cpu(flops=30.29e12 * UTILISATION * 10, launches=1000.0))
    assert large.seconds[0] == pytest.approx(10.0) and large.basis[0] == FROM_PROCESSOR
    assert large.high[0] == pytest.approx(10.0 * FROM_FLOPS) and large.low[0] == pytest.approx(10.0 / FROM_FLOPS)
    small = predict_on(L4, on_cpu(flops=1e9, launches=1e6))
    assert small.basis[0] == BOUND_BY_LAUNCHES
    assert (small.low[0], small.seconds[0], small.high[0]) == pytest.approx(
        tuple(1e6 * each for each in LAUNCH_SECONDS)
    )
    assert predict_on(H100, on_cpu(flops=1e9, launches=1e6)).seconds[0] == small.seconds[0], "no faster anywhere"


def test_where_launches_were_not_counted_the_range_reaches_up_to_the_processors_time():
    found = predict_on(L4, on_cpu(flops=1e9, seconds=100.0))
    assert found.high[0] == 100.0 and found.low[0] < found.seconds[0] < 100.0


def test_another_processor_is_as_fast_within_an_assumed_factor():
    found = predict_on(None, on_cpu())
    assert (found.low[0], found.seconds[0], found.high[0]) == (100 / ANOTHER_PROCESSOR, 100, 100 * ANOTHER_PROCESSOR)
    assert found.refused[0] == ""


@pytest.mark.parametrize(
    ("target", "runs", "why"),
    [
        (H100, on_gpu(seconds=0.0), "how long its training steps took is not known"),
        (H100, on_gpu(seconds=np.nan), "how long its training steps took is not known"),
        (H100, steps(Source(H100, "bf16", 8)), "8 × H100 SXM"),
        (T4, on_gpu(), "T4 does not compute in bf16"),
        (L4, on_gpu(memory_bytes=30 * 2**30), "30.0 GiB of memory, L4 has 24"),
        (H100, steps(Source(accelerator("K80 (half board)"), "fp32")), "older than Pascal"),
        (accelerator("M60 (half board)"), on_gpu(), "older than Pascal"),
        (H100, on_cpu(), "FLOPs are not known"),
        (None, on_gpu(), "from an accelerator nothing is predicted for a processor"),
        (accelerator("H100-NVL"), on_cpu(flops=1e12), "no peak of H100 NVL in fp32"),
        (H100, steps(Source(None, "fp32", refused="it ran on a toaster")), "toaster"),
    ],
)
def test_what_cannot_be_predicted_is_refused_with_the_reason(target, runs, why):
    found = predict_on(target, runs)
    assert why in found.refused[0]
    assert np.isnan([found.seconds[0], found.low[0], found.high[0]]).all()


def test_many_runs_of_several_sources_at_once():
    sources = [Source(None, "fp32"), Source(T4, "fp16"), Source(None, "bf16")]
    runs = MeasuredSteps(
        sources, np.array([1, 0, 2, 1]), np.full(4, 10.0), np.array([1e14, 1e12, 1e12, np.nan]), *[np.full(4, 1e3)] * 2
    )
    found = predict_on(L4, runs)
    assert list(found.refused) == ["", "", "", ""]
    alone = replace(runs, codes=runs.codes[3:], step_seconds=runs.step_seconds[3:], flops=runs.flops[3:],
                    launches=runs.launches[3:], memory_bytes=runs.memory_bytes[3:])  # fmt: skip
    assert predict_on(L4, alone).seconds[0] == found.seconds[3]


def test_on_another_machine_with_the_same_accelerator_steps_take_as_long_within_the_range():
    found = predict_on(accelerator("A100-80GB"), on_gpu(flops=100 * 311.9e12 * 0.4))
    assert found.refused[0] == "" and found.seconds[0] == 100.0
    assert found.low[0] < 100.0 < found.high[0] and found.basis[0] == "same chip"
