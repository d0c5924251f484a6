"""Which knob moves what: on outcomes whose truth is known, and where nothing can be said."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tracker.report.importance import EPOCHS, MOST_TRIALS, importance, knob_importance
from tracker.report.importance_charts import importance_figure, importance_table, longest_share


def drawn(trials, seed=0):
    """Independent knobs of every kind, as object columns."""
    generator = np.random.default_rng(seed)
    return generator, pd.DataFrame(
        {
            "size": 2 ** generator.uniform(0, 6, trials),
            "precision": generator.choice(["fp32", "bf16"], trials),
            "compile": generator.choice([True, False], trials),
            "dropout": generator.random(trials),
        }
    ).astype(object)


def test_the_share_of_a_knob_is_its_share_of_the_variance():
    """Of x + 2 [bf16], with x uniform on 0 to 1: variances 1/12 and 1."""
    generator, settings = drawn(400)
    size = generator.random(400)
    settings["size"] = size.astype(object)
    outcome = size + 2.0 * (settings["precision"] == "bf16").to_numpy()
    found = importance(settings, outcome, "quality")
    assert found.shares["knob"].tolist()[:2] == ["precision", "size"]
    shares = found.shares.set_index("knob")
    assert shares.loc["precision", "share"] == pytest.approx(12 / 13, abs=0.05)
    assert shares.loc["size", "share"] == pytest.approx(1 / 13, abs=0.03)
    assert shares.loc[["compile", "dropout"], "share"].abs().max() < 0.01
    assert (shares["low"] <= shares["share"]).all() and (shares["share"] <= shares["high"]).all()
    assert found.explained[0] > 0.95
    assert "precision 9" in found.sentence and "dropout" not in found.sentence


def test_an_interval_is_wider_where_there_are_fewer_trials():
    widths = []
    for trials in (24, 400):
        generator, settings = drawn(trials)
        noisy = np.log2(settings["size"].astype(float).to_numpy()) + generator.normal(0, 0.5, trials)
        row = importance(settings, noisy, "quality").shares.set_index("knob").loc["size"]
        widths.append(row["high"] - row["low"])
    assert widths[1] < widths[0] / 2


def test_of_luck_no_knob_is_said_to_matter():
    for seed in range(3):
        generator, settings = drawn(60, seed)
        found = importance(settings, generator.standard_normal(60), "quality")
        assert found.shares.empty
        assert found.sentence.startswith("From 60 trials the knobs do not reliably explain the quality")


@pytest.mark.parametrize(
    ("trials", "settings", "outcome", "shown"),
    [
        (7, {"size": range(7)}, range(7), "7 trials have a checkpoint; 8 are needed to say what drives quality."),
        (1, {"size": [1]}, [0.5], "1 trial has a checkpoint; 8 are needed"),
        (9, {"size": [1] * 9}, range(9), "Every trial has the same settings"),
        (9, {"size": range(9)}, [0.1 + 0.2] * 9, "The quality of every trial is the same"),
    ],
)
def test_where_nothing_can_be_asked_a_sentence_says_why(trials, settings, outcome, shown):
    found = importance(pd.DataFrame(settings), np.array(outcome, dtype=float), "quality")
    assert found.shares.empty and shown in found.sentence


def test_a_knob_that_only_some_trials_have_is_one_like_others():
    generator, settings = drawn(200)
    momentum = np.where(generator.random(200) < 0.5, None, generator.choice([0.9, 0.99], 200))
    settings["momentum"] = momentum
    outcome = np.array([0.0 if value is None else 1.0 for value in momentum]) + generator.normal(0, 0.05, 200)
    assert importance(settings, outcome, "quality").shares["knob"].iloc[0] == "momentum"


def study(by_hand, trials, epochs=lambda number: 1, seed=0):
    generator, settings = drawn(trials, seed)
    rows = []
    for number in range(trials):
        given = {**settings.iloc[number].to_dict(), "seed": number}
        count = epochs(number)
        top = 0.5 + 0.05 * np.log2(given["size"]) + 0.1 * (1 - 0.5**count)
        seconds = [given["size"] * (0.5 if given["precision"] == "bf16" else 1.0) * (1 + each) for each in range(count)]
        rows.append(by_hand.trial(number, [top + generator.normal(0, 0.005)] * count, seconds, settings=given))
    return by_hand.build(rows)


def test_a_study_is_asked_at_the_last_checkpoint_of_each_trial(by_hand):
    found = knob_importance(study(by_hand, 80))
    both = importance_table(found).set_index("knob")
    assert both.index[0] == "size" and "seed" not in both.index and EPOCHS not in both.index
    assert both.loc["precision", "price_low"] > 0 >= both.loc["precision", "quality_low"]
    assert (found.trials, found.known, found.sample_sentence) == (80, 80, "")
    again = importance_table(knob_importance(study(by_hand, 80))).set_index("knob")
    pd.testing.assert_frame_equal(both, again)


def test_how_far_a_trial_was_trained_is_not_taken_for_a_knobs_doing(by_hand):
    found = knob_importance(study(by_hand, 80, epochs=lambda number: 1 + number % 6))
    assert EPOCHS in set(found.price.shares[found.price.shares["low"] > 0]["knob"])


def test_of_a_large_study_a_sample_is_asked_and_said(by_hand):
    found = knob_importance(study(by_hand, MOST_TRIALS + 100))
    assert found.sample_sentence == "From a random sample of 1,000 of 1,100 trials."
    assert found.quality.shares["knob"].iloc[0] == "size"


def test_the_bars_are_in_one_order_with_whiskers_and_what_is_not_sure_is_faint(by_hand):
    found = knob_importance(study(by_hand, 80))
    order = importance_table(found)["knob"].tolist()
    figure = importance_figure(found.price, order, longest_share(found))
    bars = figure.data[0]
    assert [name.strip() for name in bars.y] == order
    sure = found.price.shares.set_index("knob").loc[order, "low"] > 0
    assert [opacity == 1.0 for opacity in bars.marker.opacity] == sure.tolist()
    assert "95 % interval" in bars.hovertext[0]
    assert "may be chance" in bars.hovertext[sure.tolist().index(False)]
    nothing = importance_figure(importance(pd.DataFrame({"a": [1]}), np.array([1.0]), "price"), [])
    assert nothing.layout.annotations[0].text == "No knob has a certain effect on price"


def test_an_empty_or_hostile_study_gives_a_sentence(empty, hostile):
    for table in (empty, hostile):
        found = knob_importance(table)
        assert importance_table(found).empty
        assert "are needed to say what drives price" in found.price.sentence


def test_the_forest_is_loaded_only_when_it_is_asked():
    code = "import sys, tracker.report.importance_charts; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
