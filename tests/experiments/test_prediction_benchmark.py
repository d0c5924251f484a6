"""The benchmark of predictions, on its own rows and on a table that it never saw."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import prediction
from experiments.benchmarks.figures import main
from experiments.benchmarks.prediction_fit import fit, measured_factors
from experiments.benchmarks.throughput_pairs import TABLE, read_pairs
from tracker.errors import RequestError
from tracker.prediction.speed import COEFFICIENTS, FITTED


def test_the_installed_coefficients_are_those_that_its_rows_give():
    installed, found = json.loads(COEFFICIENTS.read_text()), fit(read_pairs())
    assert [installed[name] for name in FITTED] == pytest.approx([getattr(found, name) for name in FITTED], abs=2e-3)
    assert installed["factors"] == pytest.approx({str(pair): value for pair, value in found.factors.items()}, abs=0.02)


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
    factors = measured_factors(read_pairs())
    assert list(factors) == sorted(factors, reverse=True) and np.isfinite(factors).all()
