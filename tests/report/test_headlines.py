"""What the answers say in words."""

from __future__ import annotations

from dataclasses import replace

from tracker.records import Direction, QualityMetric
from tracker.report.headlines import headlines


def by_title(study):
    return {answer.title: answer for answer in headlines(study)}


def test_best_cheapest_and_the_price_of_one_more_point(small):
    answers = by_title(small)
    assert answers["Best accuracy"].figure == "0.7000"
    assert answers["Best accuracy"].sentence == "for $4.00, by trial #2 after epoch 1"
    assert answers["Cheapest"].figure == "$1.00"
    assert answers["One more point"].figure == "$0.20"
    assert "from 0.6000 to 0.7000 for $2.00 more" in answers["One more point"].sentence


def test_the_spend_stands_against_the_budget_with_what_failed(small):
    spent = by_title(small)["Spent"]
    assert spent.figure == "$17.25"
    assert spent.sentence == "of $20.00 (86 % of the budget), 4 trials; $7.25 of it by trials that failed"
    assert by_title(replace(small, budget_usd=None))["Spent"].sentence.startswith(
        "by 4 trials; the study has no budget"
    )


def test_the_baseline_is_compared_honestly(small):
    sentence = by_title(small)["Baseline tf-idf + logistic regression"].sentence
    assert "it dominates 1 of 3 frontier points" in sentence
    assert "trial #2 after epoch 1 is the cheapest that beats its accuracy, at 2.7 times its price" in sentence


def test_a_baseline_that_nothing_beats_is_said_to_win(by_hand):
    winning = by_hand.build([by_hand.baseline(0.9, 1.0, name="tf-idf"), by_hand.trial(0, [0.5, 0.6], [2.0, 4.0])])
    assert "dominates the whole frontier: no trial is worth its price" in by_title(winning)["Baseline tf-idf"].sentence


def test_a_good_but_dear_baseline_is_reported_as_such(by_hand):
    dear = by_hand.build([by_hand.baseline(0.9, 9.0, name="tf-idf"), by_hand.trial(0, [0.5, 0.6], [2.0, 4.0])])
    sentence = by_title(dear)["Baseline tf-idf"].sentence
    assert "it dominates no frontier point; no trial reaches its accuracy" in sentence


def test_lower_is_better_for_a_loss(small):
    answers = by_title(replace(small, quality=QualityMetric("loss", Direction.MINIMIZE)))
    assert answers["Best loss"].figure == "0.4000"


def test_a_study_without_points_tells_its_spend_only(empty):
    assert [answer.title for answer in headlines(empty)] == ["Spent"]
