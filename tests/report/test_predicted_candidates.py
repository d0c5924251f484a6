"""Which run to take on hardware that nobody has rented: ranges, never points, and no order where they overlap."""

from __future__ import annotations

import json

import pytest

from tracker.errors import PredictionError, RequestError
from tracker.pricing.price_book import load_price_book
from tracker.report.advice import advise, candidates
from tracker.report.advice_document import advice_document
from tracker.report.advice_words import advice_sentences
from tracker.report.predicted_candidates import predicted_candidates
from tracker.report.prediction_targets import find_targets
from tracker.report.wish import Wish

L4 = "Intel Xeon, 8 cores, 31 GiB + 1 × L4"


@pytest.fixture
def table(by_hand):
    """Two trials on an L4: 0.60 in 10 minutes, 0.70 in an hour."""
    on_l4 = {"hardware": L4, "accelerators": 1, "sku": "gcp/g2-standard-8", "usd_per_hour": 0.85}
    settings = {"precision": "bf16", "device": "cuda"}
    return by_hand.build(
        [
            by_hand.trial(0, [0.60], [600.0], settings=settings, **on_l4),
            by_hand.trial(1, [0.70], [3600.0], settings=settings, **on_l4),
        ]
    )


def on(table, *names, predictions=None):
    return predicted_candidates(candidates(table, predictions), find_targets(names, load_price_book()))


def test_an_answer_elsewhere_has_ranges_and_says_that_it_is_predicted(table):
    advice = advise(on(table, "H100"), Wish(quality=0.65))
    document = advice_document(advice)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    point = document["point"]
    assert (document["basis"], point["price_basis"], point["on"]) == ("predicted", "predicted", "H100")
    assert point["price_usd_low"] < point["price_usd"] < point["price_usd_high"]
    assert point["wall_seconds_low"] < point["wall_seconds"] < point["wall_seconds_high"]
    assert point["wall_seconds"] < 3600  # it is the faster one
    assert document["more_money"] is None
    text = "\n".join(advice_sentences(advice))
    assert "Trial #1 after epoch 1 on H100, accuracy 0.7000 for" in text
    assert "Predicted, not measured" in text
    assert "Its quality is the one measured on" in text


def test_where_ranges_overlap_no_order_is_claimed(table):
    text = "\n".join(advice_sentences(advise(on(table, "H100", "H200"), Wish(quality=0.65))))
    assert "It is not surely cheaper there than on" in text


def test_a_sum_that_the_range_passes_is_no_promise(table):
    found = on(table, "H100")
    likely = found.points["price_usd"].max()
    text = "\n".join(advice_sentences(advise(found, Wish(cost=likely * 1.01))))
    assert "It may cost more than" in text
    far = "\n".join(advice_sentences(advise(found, Wish(cost=likely * 100, wall_seconds=1e7))))
    assert "may cost more" not in far
    assert "may take longer" not in far
    low = found.points["price_usd_low"].min()
    none = "\n".join(advice_sentences(advise(found, Wish(cost=low / 2, wall_seconds=1e7))))
    assert "It costs more than" in none
    assert "may cost more" not in none


def test_a_deadline_is_held_by_the_likely_time_there(table):
    found = on(table, "H100")
    answer = advise(found, Wish(wall_seconds=float(found.points["wall_seconds"].min()) * 1.01)).answer
    assert answer.sentence.startswith("Trial #0 after epoch 1 on H100")


def test_what_cannot_be_predicted_is_refused_with_the_reason(table, by_hand):
    old = by_hand.build([by_hand.trial(0, [0.6], [600.0], hardware="x + 1 × Tesla K80", accelerators=1)])
    with pytest.raises(PredictionError, match="nothing can be predicted on H100: "):
        on(old, "H100")
    with pytest.raises(PredictionError, match="neither an accelerator nor a SKU"):
        on(table, "H1000")
    with pytest.raises(RequestError, match="no predictions_per_second"):
        on(table, "H100", predictions=1000)
