"""Numbers as people read them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.report.words import NOTHING, decimals_for, duration, percent, quality, setting, several, usd


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "$0"),
        (1.234e-9, "$0.00000000123"),
        (0.0001, "$0.0001"),
        (0.25, "$0.25"),
        (0.5, "$0.50"),
        (0.9996, "$1.00"),
        (1234567.891, "$1,234,567.89"),
        (-0.002, "-$0.002"),
        (math.nan, NOTHING),
    ],
)
def test_dollars(value, text):
    assert usd(value) == text


@given(st.floats(1e-12, 1e9))
def test_dollars_are_within_half_a_percent_and_plain(value):
    text = usd(value)
    assert re.fullmatch(r"\$[\d,]+\.\d+", text)
    assert float(text[1:].replace(",", "")) == pytest.approx(value, rel=0.006)


def test_other_figures():
    assert [quality(0.5), quality(0.74219), quality(1234.0), quality(math.nan)] == ["0.5000", "0.7422", "1234", NOTHING]
    assert [duration(0.5), duration(59.99), duration(7300), duration(math.nan)] == [
        *("0.5 s", "1 min 0 s", "2 h 1 min", NOTHING)
    ]
    assert [percent(0.004), percent(0), percent(1.33)] == ["< 1 %", "0 %", "133 %"]
    assert [several(1, "run"), several(0, "run")] == ["1 run", "0 runs"]
    assert [setting(0.00087066), setting(True), setting("bf16")] == ["0.0008707", "True", "bf16"]
    assert [decimals_for(0.0000667), decimals_for(math.nan), decimals_for(5)] == [7, 2, 2]
