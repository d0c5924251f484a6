"""The short form of `make faults`: a few strikes on one study."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest

from tests.faults.campaign import Campaign
from tests.faults.moments import Moment
from tests.faults.victims import Strike

SEED = 3
"""Draws a power cut and strikes on a worker and the coordinator."""


def test_a_study_that_is_struck_again_and_again_has_books_that_agree():
    said = []
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as folder:  # a socket's path is 107 bytes at most
        result = Campaign(6, SEED, "sqlite", Path(folder), said.append, rest=6).study(0, 6)
    assert result.problems == [], "\n".join([f"seed {SEED}:", *said])
    assert len(result.strikes) >= 3, said
    assert result.attempts >= 6
    assert result.price_usd > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_draws_the_same_strikes(seed):
    one, other = Random(seed), Random(seed)
    assert [Moment.drawn(one) for _ in range(20)] == [Moment.drawn(other) for _ in range(20)]
    strikes = [Strike.drawn(one) for _ in range(200)]
    assert strikes == [Strike.drawn(other) for _ in range(200)]
    assert {strike.victim for strike in strikes} == {"group", "coordinator", "worker", "forkserver", "disk"}
