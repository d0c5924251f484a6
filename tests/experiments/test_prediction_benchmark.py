"""The benchmark of predictions, on its own rows and on a table that it never saw."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import prediction
from experiments.benchmarks.figures import main
from experiments.benchmarks.prediction_fit import fit, halfway, left_out_errors, log_predictions, spread
from experiments.benchmarks.throughput_pairs import TABLE, read_pairs
from tracker.errors import RequestError
from tracker.prediction.speed import COEFFICIENTS, FITTED, log_distance


def test_the_installed_coefficients_are_those_that_its_rows_give():
    installed, found = json.loads(COEFFICIENTS.read_text()), fit(read_pairs())
    assert [installed[name] for name in FITTED] == pytest.approx([getattr(found, name) for name in FITTED], abs=2e-3)
    for name in ("spread", "blind_spread"):
        assert installed[name] == pytest.approx(dataclasses.asdict(getattr(found, name)), abs=0.01)
    assert installed["measured_shares"] == pytest.approx(found.measured_shares, abs=0.01)


def test_the_rows_may_be_shipped_and_each_has_its_source():
    rows = pd.read_csv(TABLE)
    assert set(rows["licence"]) <= {"MIT", "Apache-2.0"} and rows["source"].notna().all()


def test_it_is_better_on_sources_left_out_than_what_fits_nothing():
    report = prediction.measure(None, fit_again=False)
    figures = {each.name: each.value for each in report.figures}
    ours = {name.split(": ")[-1]: value for name, value in figures.items() if name.startswith("each source")}
    for simple in ("ratio of peak FLOP/s", "ratio of bandwidths", "geometric mean of both"):
        for error in ("median error", "mean error"):
            assert ours[error] < figures[f"{simple}: {error}"]
    assert all(each.holds for each in report.figures if "left out" in each.name)


def test_an_unseen_table_is_judged_and_what_is_unknown_is_counted(tmp_path, capsys, monkeypatch):
    rows = pd.read_csv(TABLE)
    rows = rows[rows["suite"] == "LF"].assign(source="elsewhere", suite="new <&>")
    strange = rows.head(2).assign(gpu="Mystery 9000")
    pd.concat([rows, strange]).to_csv(tmp_path / "table.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["prediction", str(tmp_path / "table.csv"), "--json"])
    main("prediction", prediction._arguments, prediction.measure)
    document = json.loads(capsys.readouterr().out)
    assert document["left_out"] == {"rows of accelerators that are not in the table": 2}
    assert any(figure["name"].startswith("suite new <&>") for figure in document["figures"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu,model\nT4,a\n", "column 'source' is missing"),
        ("", "No columns"),
        (None, "No such file"),
        (
            "source,suite,model,precision,direction,n_gpu,gpu,per_gpu_throughput,flops_per_item\na,b,c,fp32,train,1,T4,1,\n",
            "no training is there on two known accelerators",
        ),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(tmp_path, text, message):
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RequestError, match=message):
        read_pairs(path)


def test_more_trainings_on_both_never_widen_the_range():
    shares = fit(read_pairs()).measured_shares
    assert list(shares) == sorted(shares, reverse=True) and 0 < shares[-1] <= shares[0] < 1


def test_ranges_that_grow_with_distance_are_narrower_on_sources_left_out_than_one_width_for_all():
    pairs = read_pairs()
    sources = pairs.rows["source"].to_numpy()
    scores = {"by distance": [], "one width": []}
    for source in np.unique(sources):
        others, left = pairs.take(sources != source), pairs.take(sources == source)
        learnt = left_out_errors(others)
        errors = np.abs(left.rows["log_speed_up"].to_numpy() - log_predictions(left, fit(others)))
        of_sources = {each: np.abs(learnt[sources[sources != source] == each]) for each in np.unique(sources)}
        one = np.full(len(left), halfway({each: sizes for each, sizes in of_sources.items() if len(sizes)}))
        by_distance = spread(others, learnt).log_factors(log_distance(left.origin, left.target))
        for name, widths in (("by distance", by_distance), ("one width", one)):
            scores[name].append(
                np.mean(2 * widths + 2 / 0.1 * np.maximum(errors - widths, 0))
            )  # Gneiting, Raftery 2007
    assert np.mean(scores["by distance"]) < 0.9 * np.mean(scores["one width"])
