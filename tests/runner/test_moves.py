"""What a trial's epoch is forecast to cost where it continues."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.attempts import request_for
from tracker.engine.reservations import Reservation
from tracker.pricing.price_book import load_price_book
from tracker.records import AttemptRecord, Checkpoint, Market, TrialState, Usage
from tracker.runner.moves import Moves
from tracker.study.costs import CostTerms

BOOK = load_price_book()
SMALL, LARGE = (BOOK.point(sku, Market.ON_DEMAND) for sku in ("aws/m7i.large", "aws/m7i.2xlarge"))
GPU, OTHER_GPU = (
    next(row for row in BOOK.offers(market=Market.ON_DEMAND) if row.accelerator == name and row.accelerator_count == 1)
    for name in ("L4", "A10G")
)


def record(seconds, epochs=(1, 2, 3, 4), accelerators=0):
    usages = [Usage(2.0 + seconds * epoch, 0.0, 1, accelerators) for epoch in epochs]
    reached = tuple(Checkpoint(epoch, {}, usage, 0.0) for epoch, usage in zip(epochs, usages, strict=True))
    return AttemptRecord(1, TrialState.PAUSED, 0.0, usages[-1], reached)


def request(folder, point, accelerators=0):
    made = request_for(Reservation((0,), price_point=point), folder)
    return replace(made, accelerators=tuple(range(accelerators)))


def test_a_trial_that_stays_where_it_was_does_not_move(tmp_path):
    moves = Moves(CostTerms())
    assert moves.of(0, request(tmp_path, SMALL)) is None, "its first attempt"
    moves.ended(0, SMALL, record(5.0))
    assert moves.of(0, request(tmp_path, SMALL)) is None


def test_the_same_machine_at_another_price_takes_as_long(tmp_path):
    moves = Moves(CostTerms())
    moves.ended(0, SMALL, record(5.0))
    cheap = replace(SMALL, market=Market.RESERVED, usd_per_hour=SMALL.usd_per_hour / 4)
    move = moves.of(0, request(tmp_path, cheap))
    assert (move.usd_ratio, move.low, move.high, move.seconds_ratio) == pytest.approx((0.25, 0.25, 0.25, 1.0))


def test_where_nothing_was_measured_cores_are_about_as_fast_and_gpus_are_predicted(tmp_path):
    moves = Moves(CostTerms())
    moves.ended(0, SMALL, record(5.0))
    move = moves.of(0, request(tmp_path, LARGE))
    assert move.low == pytest.approx(move.usd_ratio / 2)
    assert move.high == pytest.approx(move.usd_ratio * 2)
    assert "nothing measured there yet" in move.why
    moves.ended(1, GPU, record(5.0, accelerators=1))
    move = moves.of(1, request(tmp_path, OTHER_GPU, 1))
    assert move.low < move.usd_ratio < move.high and "by their specifications" in move.why
    assert move.seconds_ratio < 1.0, "an A10G has twice the bandwidth of an L4"
    moves.ended(2, SMALL, record(5.0))
    assert moves.of(2, request(tmp_path, OTHER_GPU, 1)) is None, "from a processor to an accelerator nothing is known"


def test_what_was_measured_on_another_machine_prices_an_epoch_there(tmp_path):
    moves = Moves(CostTerms())
    for trial, (here, there) in enumerate([(6.0, 2.0), (9.0, 3.0), (3.0, 1.0)]):
        moves.ended(trial, GPU, record(here, accelerators=1))
        moves.ended(trial, OTHER_GPU, record(there, accelerators=1))
    moves.ended(3, GPU, record(12.0, accelerators=1))
    move = moves.of(3, request(tmp_path, OTHER_GPU, 1))
    rates = OTHER_GPU.usd_per_hour / GPU.usd_per_hour
    assert (move.seconds_ratio, move.usd_ratio) == pytest.approx((1 / 3, rates / 3))
    assert "3 trials on both" in move.why
    assert OTHER_GPU.sku in move.why
