from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, precision_recall_curve, roc_auc_score

from experiments.ranking_scores import auroc, balanced_accuracy, ranking_scores, recall_at_precision


def random_scores(seed, count=300, levels=20):
    """Scores with many ties, and positives that score a little higher."""
    chance = np.random.default_rng(seed)
    positives = chance.random(count) < 0.2
    scores = np.round((chance.random(count) + 0.4 * positives) * levels) / levels
    return scores, positives


def random_classes(seed, count=200, classes=4):
    chance = np.random.default_rng(seed)
    labels = chance.choice(classes, count, p=[0.6, 0.2, 0.15, 0.05])
    logits = chance.normal(size=(count, classes)).round(1) + 1.5 * np.eye(classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_scikit_learn_ties_included(seed):
    scores, positives = random_scores(seed)
    assert auroc(scores, positives) == pytest.approx(roc_auc_score(positives, scores), abs=1e-12)


def test_scores_that_tell_nothing_have_an_area_of_a_half():
    assert auroc(np.ones(10), np.arange(10) < 3) == 0.5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("floor", [0.2, 0.5, 0.9])
def test_the_recall_is_the_best_of_scikit_learns_curve_where_it_is_precise_enough(seed, floor):
    scores, positives = random_scores(seed)
    precisions, recalls, _ = precision_recall_curve(positives, scores)
    expected = recalls[precisions >= floor].max()
    assert recall_at_precision(scores, positives, floor) == pytest.approx(expected, abs=1e-12)


def test_no_recall_is_left_where_no_threshold_is_precise_enough():
    assert recall_at_precision(np.array([0.9, 0.8, 0.7]), np.array([False, True, False]), 0.9) == 0.0


def test_a_threshold_takes_all_that_are_tied():
    assert recall_at_precision(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]), 0.9) == 0.0
    assert recall_at_precision(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]), 0.5) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_balanced_accuracy_is_that_of_scikit_learn(seed):
    probabilities, labels = random_classes(seed)
    predicted = probabilities.argmax(axis=1)
    expected = balanced_accuracy_score(labels, predicted)
    assert balanced_accuracy(predicted, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_several_classes_are_ranked_one_against_the_rest_and_averaged(seed):
    probabilities, labels = random_classes(seed)
    scores = ranking_scores(probabilities, labels, precision_floor=0.6)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert scores["auroc"] == pytest.approx(expected, abs=1e-12)
    recalls = []
    for each in range(4):
        precisions, recall, _ = precision_recall_curve(labels == each, probabilities[:, each])
        recalls.append(recall[precisions >= 0.6].max())
    assert scores["recall_at_precision"] == pytest.approx(np.mean(recalls), abs=1e-12)


def test_of_two_classes_the_positive_one_is_recalled():
    scores, positives = random_scores(1)
    probabilities, labels = np.stack([1 - scores, scores], axis=1), positives.astype(int)
    shown = {each: ranking_scores(probabilities, labels, each)["recall_at_precision"] for each in (0, 1)}
    assert shown == {0: recall_at_precision(1 - scores, ~positives), 1: recall_at_precision(scores, positives)}
    assert shown[0] != shown[1]


def test_a_class_without_an_example_is_left_out():
    probabilities, labels = random_classes(0)
    some = labels != 3
    scores = ranking_scores(probabilities[some], labels[some])
    assert all(0 < value <= 1 for value in scores.values())
