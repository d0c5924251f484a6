"""The table of accelerators: names that people use, peaks by precision, and a source for every row."""

from __future__ import annotations

import math

import pytest

from tracker.errors import PredictionError
from tracker.prediction.accelerators import GENERATIONS, accelerator, is_known, known_accelerators
from tracker.pricing.price_book import load_price_book


def test_an_accelerator_has_the_makers_name_and_the_price_books():
    assert accelerator("H100") is accelerator("H100 SXM") is accelerator("h100-sxm")
    assert accelerator("A100-80GB").bandwidth == 2040e9
    assert accelerator("V100").name == "V100 SXM2 16GB"


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(PredictionError, match=r"no 'H1000'; .*H100"):
        accelerator("H1000")
    assert not is_known("Trainium1")


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("H100", "bf16", 989.4),
        ("H100", "tf32", 494.7),
        ("H100", "fp32", 66.91),
        ("V100", "fp16", 125.3),
        ("V100", "tf32", 15.67),  # which has no TF32 and computes fp32 where it is asked for
        ("MI300X", "fp16", 1307.4),
    ],
)
def test_the_peak_is_that_of_the_precision(name, precision, tflops):
    assert accelerator(name).peak(precision) == pytest.approx(tflops * 1e12)


def test_bfloat16_came_with_ampere():
    assert [accelerator(name).has("bf16") for name in ("T4", "V100", "A10", "H100", "MI300X")] == [0, 0, 1, 1, 1]


def test_every_row_is_whole_and_has_a_source():
    rows = known_accelerators()
    assert len({each.name for each in rows}) == len(rows)
    for each in rows:
        assert each.source and each.generation in GENERATIONS and each.maker in ("NVIDIA", "AMD"), each.name
        assert each.half > 0 and each.bandwidth > 0 and each.power > 0 and each.memory_gb > 0, each.name
        assert math.isnan(each.fp32) or each.fp32 <= each.half * 1.1, each.name


def test_memory_agrees_with_the_price_book():
    book = load_price_book()
    for point in book.points:
        if point.accelerator_memory_gb and is_known(point.accelerator):
            memory_gb = accelerator(point.accelerator).memory_gb
            assert point.accelerator_memory_gb == pytest.approx(memory_gb, rel=0.08), point.sku
