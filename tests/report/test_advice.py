"""Which run to take: for a quality, a sum, a deadline, several of them, or none."""

from __future__ import annotations

import json

import pytest

from tracker.errors import RequestError
from tracker.report.advice import advise, candidates
from tracker.report.advice_document import advice_document
from tracker.report.advice_words import advice_sentences
from tracker.report.wish import Wish, answer_to
from tracker.study.spec import Limit

HOUR = 3600 / 0.096  # seconds that cost one dollar


def again(by_hand, trial, qualities, usd):
    """Repeats of a trial, one for each quality."""
    rows = []
    for at, quality in enumerate(qualities):
        row, steps = by_hand.trial(trial, [quality], [usd * HOUR])
        changed = {"run_id": f"again-{trial}-{at}", "role": "repeat"}
        rows.append(({**row, **changed}, [{**step, **changed} for step in steps]))
    return rows


@pytest.fixture
def quick(by_hand):
    """Three trials of which a slow machine is the cheaper one: $1 in 9 h, $2 in 1 h, $3 in 2 h."""
    rows = []
    for at, (quality, usd, hours) in enumerate([(0.6, 1.0, 9), (0.65, 2.0, 1), (0.7, 3.0, 2)]):
        rows.append(by_hand.trial(at, [quality], [hours * 3600], usd_per_hour=usd / hours))
    return by_hand.build(rows)


def said(table, **bounds):
    return answer_to(candidates(table), Wish(**bounds))


def test_a_quality_and_a_deadline_have_the_cheapest_that_meets_both(quick):
    both = said(quick, quality=0.6, wall_seconds=3 * 3600)
    assert both.question == "Cheapest reaching accuracy 0.6000, in 3 h 0 min or less"
    assert both.sentence == "Trial #1 after epoch 1, accuracy 0.6500 for $2.00."
    assert said(quick, quality=0.6).sentence.startswith("Trial #0")


def test_a_deadline_alone_has_the_best_within_it_and_nothing_better_in_that_time(quick):
    answer = said(quick, wall_seconds=3600)
    assert answer.question == "Best in 1 h 0 min or less"
    assert answer.sentence == "Trial #1 after epoch 1, accuracy 0.6500 for $2.00."
    assert answer.next_better == "No checkpoint is better at any price in that time."


def test_a_quality_that_takes_longer_is_named_with_its_time(quick):
    answer = said(quick, quality=0.7, wall_seconds=3600)
    assert not answer.reached
    assert answer.sentence == (
        "No checkpoint reaches accuracy 0.7000 in that time; the best is trial #1 after epoch 1, accuracy 0.6500 for"
        " $2.00. Without the deadline it is trial #2 after epoch 1, accuracy 0.7000 for $3.00, after 2 h 0 min."
    )


def test_a_deadline_before_everything_has_the_quickest(quick):
    answer = said(quick, wall_seconds=60, quality=0.5)
    assert not answer.reached
    assert answer.sentence == (
        "No checkpoint was reached in 1 min 0 s; the quickest is trial #1 after epoch 1, accuracy 0.6500 for $2.00,"
        " after 1 h 0 min."
    )


def test_a_quality_that_costs_more_than_the_sum_is_priced_and_the_best_for_the_sum_is_the_answer(small):
    answer = said(small, quality=0.7, cost=2.5)
    assert not answer.reached
    assert answer.key == "run-0@2"
    assert answer.sentence == (
        "The cheapest with accuracy 0.7000 costs more than that: trial #2 after epoch 1, accuracy 0.7000 for $4.00."
        " The best for $2.50 is trial #0 after epoch 2, accuracy 0.6000 for $2.00."
    )
    assert said(small, quality=0.6, cost=2.0).reached
    nothing = said(small, quality=0.9, cost=0.5)
    assert "No checkpoint reaches accuracy 0.9000" in nothing.sentence
    assert "No checkpoint costs $0.50 or less" in nothing.sentence


def test_a_sum_and_a_deadline_name_what_is_cheaper_only_where_it_is_within_the_sum(by_hand, quick):
    assert said(quick, cost=1.5, wall_seconds=3600).sentence == (
        "No checkpoint costs $1.50 or less in that time; the cheapest is trial #1 after epoch 1, accuracy 0.6500 for"
        " $2.00."
    )
    assert "Without the deadline" not in said(quick, quality=0.7, cost=2.5, wall_seconds=3600).sentence
    assert "Without the deadline it is trial #2" in said(quick, quality=0.7, cost=3.0, wall_seconds=3600).sentence
    in_time = said(quick, quality=0.65, cost=1.5, wall_seconds=3600).sentence
    assert "The cheapest with accuracy 0.6500 in that time costs more than that: trial #1" in in_time
    assert "Without the deadline" not in in_time


def test_predictions_change_what_is_cheapest(by_hand):
    fast, slow = {"predictions_per_second": 100.0}, {"predictions_per_second": 1.0}
    rows = [
        by_hand.trial(0, [0.6], [1 * HOUR], summary=slow),
        by_hand.trial(1, [0.6], [2 * HOUR], summary=fast),
    ]
    table = by_hand.build(rows)
    assert answer_to(candidates(table), Wish(quality=0.6)).sentence.startswith("Trial #0")
    found = candidates(table, predictions=1_000_000)
    answer = answer_to(found, Wish(quality=0.6))
    # A prediction by the slow one costs a second of the machine.
    assert answer.sentence == (
        "Trial #1 after epoch 1, accuracy 0.6000 for $2.27 including 1,000,000 predictions, $2.00 of it for training."
    )
    document = advice_document(advise(found, Wish(quality=0.6)), 1_000_000)
    assert document["point"]["total_usd"] == pytest.approx(2 + 1e6 / 100 / HOUR)
    assert document["point"]["price_usd"] == pytest.approx(2.0)


def test_without_a_known_speed_predictions_cannot_be_priced(small):
    with pytest.raises(RequestError, match=r"no predictions_per_second.*allowed: ask without --predictions"):
        candidates(small, predictions=1000)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"quality": float("nan")}, "quality nan: allowed is a finite number"),
        ({"cost": 0.0}, "cost 0: allowed is a finite number above 0"),
        ({"cost": float("inf")}, "cost inf"),
        ({"wall_seconds": -1.0}, "deadline in seconds -1"),
    ],
)
def test_bounds_that_are_none_are_refused(small, bounds, words):
    with pytest.raises(RequestError, match=words):
        advise(candidates(small), Wish(**bounds))


def test_a_study_without_a_checkpoint_or_within_no_limit_has_no_advice(empty, small, by_hand):
    with pytest.raises(RequestError, match="no checkpoint to advise on: none was reached"):
        candidates(empty)
    limited = by_hand.replaced(small, limits=(Limit("validation_loss", low=2.0),))
    with pytest.raises(RequestError, match="none keeps the study's limits"):
        candidates(limited)


def test_without_repeats_no_confidence_is_claimed_and_it_says_what_the_answer_rests_on(small):
    advice = advise(candidates(small), Wish(quality=0.6))
    text = "\n".join(advice_sentences(advice))
    assert "It was measured once, so its uncertainty is unknown." in text
    assert "confidence" not in text
    document = advice_document(advice)
    assert document["point"]["confidence"] is None
    assert document["point"]["quality_low"] is None
    assert document["confident_point"] is None


def test_repeats_say_with_what_confidence_a_quality_is_reached(by_hand):
    rows = [by_hand.trial(0, [0.60], [HOUR]), by_hand.trial(1, [0.75], [2 * HOUR])]
    table = by_hand.build([*rows, *again(by_hand, 1, (0.70, 0.71, 0.72), 2.0)])
    advice = advise(candidates(table), Wish(quality=0.7))
    document = advice_document(advice)
    # The mean is 0.01 above, with a standard error of 0.01 / sqrt(3): 1.73 of them, at 2 degrees of freedom.
    assert document["point"]["confidence"] == pytest.approx(0.887, abs=0.001)
    assert "On average it reaches 0.7000 with 89 % confidence." in advice_sentences(advice)[3]
    assert document["confident_point"] is None
    sure = advice_document(advise(candidates(table), Wish(quality=0.69)))
    assert sure["point"]["confidence"] > 0.95
    assert (sure["confident_point"]["trial"], sure["confident_point"]["repeats"]) == (1, 3)


def test_the_cheapest_that_surely_reaches_it_is_named_beside_a_lucky_one(by_hand):
    rows = [by_hand.trial(0, [0.72], [HOUR]), by_hand.trial(1, [0.75], [2 * HOUR])]
    repeats = [*again(by_hand, 0, (0.64, 0.65, 0.66), 1.0), *again(by_hand, 1, (0.74, 0.75, 0.76), 2.0)]
    advice = advise(candidates(by_hand.build([*rows, *repeats])), Wish(quality=0.7))
    text = "\n".join(advice_sentences(advice))
    assert advice.answer.sentence.startswith("Trial #0")
    assert "all of it worse than 0.7000: its first run was lucky" in text
    assert "On average it reaches 0.7000 with less than 1 % confidence." in text
    assert "The cheapest that reaches accuracy 0.7000 with 90 % confidence is trial #1 after epoch 1" in text
    assert advice_document(advice)["confident_point"]["trial"] == 1
    none = "\n".join(advice_sentences(advise(candidates(by_hand.build([*rows, *repeats])), Wish(quality=0.755))))
    assert "None of the 2 repeated checkpoints reaches accuracy 0.7550 with 90 % confidence." in none


def test_repeats_beyond_the_other_bounds_are_not_said_to_miss_the_quality(by_hand):
    rows = [by_hand.trial(0, [0.60], [HOUR]), by_hand.trial(1, [0.95], [5 * HOUR])]
    found = candidates(by_hand.build([*rows, *again(by_hand, 1, (0.949, 0.950, 0.951), 5.0)]))
    for bounds in ({"cost": 2.0}, {"wall_seconds": 2 * HOUR}):
        sentences = advice_sentences(advise(found, Wish(quality=0.9, **bounds)))
        assert "No checkpoint within these bounds was repeated." in sentences
    within = "\n".join(advice_sentences(advise(found, Wish(quality=0.96, cost=6.0))))
    assert "None of the 1 repeated checkpoint within these bounds reaches accuracy 0.9600 with 90 %" in within


def test_a_baseline_that_would_do_for_no_more_is_named(small):
    # The baseline has 0.65 for $1.50; the cheapest trial with 0.55 costs $2.
    advice = advise(candidates(small), Wish(quality=0.55))
    baseline = "A baseline would do: tf-idf + logistic regression, accuracy 0.6500 for $1.50."
    assert baseline in advice_sentences(advice)
    assert [each["name"] for each in advice_document(advice)["baselines"]] == ["tf-idf + logistic regression"]
    for wish in (Wish(quality=0.5), Wish(quality=0.66), Wish(cost=1.2), Wish(quality=0.55, wall_seconds=1.0)):
        assert baseline not in advice_sentences(advise(candidates(small), wish))
    assert baseline in advice_sentences(advise(candidates(small), Wish(cost=3.0)))


def test_a_baseline_that_misses_the_study_s_limits_would_not_do(small, by_hand):
    # The baseline has a validation loss of 0.35, the trials within the limit have 0.5 and 0.4.
    wish = Wish(quality=0.55)
    assert len(advise(candidates(small), wish).baselines) == 1
    limited = by_hand.replaced(small, limits=(Limit("validation_loss", low=0.38),))
    advice = advise(candidates(limited), wish)
    assert advice.baselines.empty
    assert "baseline" not in "\n".join(advice_sentences(advice))
    kept = by_hand.replaced(small, limits=(Limit("validation_loss", high=0.45),))
    assert len(advise(candidates(kept), wish).baselines) == 1


def test_out_of_reach_it_names_the_best_and_what_the_curves_suggest(small):
    advice = advise(candidates(small), Wish(quality=0.9))
    text = "\n".join(advice_sentences(advice))
    assert "No checkpoint reaches accuracy 0.9000; the best is trial #2 after epoch 1, accuracy 0.7000" in text
    assert "What the curves suggest: the search has no open forecast" in text
    assert advice_document(advice)["reached"] is False


def test_asked_for_nothing_it_reads_the_frontier_out(small):
    advice = advise(candidates(small), Wish())
    assert advice.answer is None
    sentences = advice_sentences(advice)
    assert sentences[0].startswith("It starts at accuracy 0.5000 for $1.00")
    assert any("0.5000 → 0.6000 costs $1.00 more, $0.10 a point" in each for each in sentences)
    document = advice_document(advice)
    assert document["point"] is None and document["reached"] is None
    assert [step["more_usd"] for step in document["steps"]] == pytest.approx([1.0, 2.0])


def test_the_document_is_strict_json_with_the_answer_in_full(realistic):
    document = advice_document(advise(candidates(realistic), Wish(quality=0.7)))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    point = document["point"]
    assert set(point) >= {"trial", "epoch", "quality", "price_usd", "wall_seconds", "sku", "settings", "price_basis"}
    assert point["quality"] >= 0.7
    assert document["stop_rule"].startswith("the knee")
    assert document["stops_paying"]["usd_per_step_beyond"] > document["stops_paying"]["usd_per_step"]
