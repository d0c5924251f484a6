"""The benchmark of studies on many machines: each row alone, and what cannot be measured is said."""

from __future__ import annotations

import importlib.util

from experiments.benchmarks import cluster


def test_a_row_is_measured_alone():
    report = cluster.measure(only=("cut",))
    (figure,) = report.figures
    assert (figure.value, figure.holds) == (0, True)


def test_rows_on_ray_are_skipped_with_a_reason_where_it_is_not_installed(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    report = cluster.measure(only=tuple(cluster.ON_RAY))
    assert not report.figures
    assert [each for each in cluster.ON_RAY if f"{each}: skipped, Ray is not installed" in report.text] == list(
        cluster.ON_RAY
    )
