"""All about one checkpoint and its run."""

from __future__ import annotations

import pytest

from tracker.errors import RequestError
from tracker.report.axes import Axes
from tracker.report.axis_points import axis_points
from tracker.report.run_detail import decisions_about, mlflow_place, run_detail
from tracker.store.home import Home


def test_a_point_is_reported_with_its_settings_parts_curve_and_standing(realistic):
    found = axis_points(realistic)
    point = found.frontier.iloc[-1]
    detail = run_detail(found, f"{point['run_id']}@{point['epoch']}")
    assert detail.title == f"#{point['trial']}, epoch {point['epoch']} · completed"
    assert list(detail.settings["searched"]) == sorted(detail.settings["searched"], reverse=True)
    assert set(detail.settings["setting"][detail.settings["searched"]]) == {
        *("size", "precision", "threads", "batch_size", "learning_rate")
    }
    assert detail.parts["usd"].sum() == pytest.approx(realistic.runs["price_usd"].iloc[detail.run])
    assert list(detail.parts["part"]) == ["data", "compute", "storage", "maintenance"]
    assert detail.curve["quality"].iloc[-1] == point["y"]
    assert detail.standing.startswith("on the frontier: one more point costs")
    assert detail.figures["accuracy"]
    assert "m$" in detail.figures["price until here"]


def test_what_dominates_it_is_reported_by_how_much_on_the_axes_shown(small):
    detail = run_detail(axis_points(small), "run-1@1")
    assert detail.standing == "dominated by #0 e2: +0.2 accuracy for 33 % less"
    assert run_detail(axis_points(small, Axes(turned=True)), "run-1@1").standing.startswith("on the frontier")


def test_a_key_without_an_epoch_is_the_last_checkpoint(small):
    assert run_detail(axis_points(small), "run-1").epoch == 2
    assert run_detail(axis_points(small), "run-baseline").title.startswith("tf-idf")


def test_what_is_not_there_any_more_is_reported(small):
    found = axis_points(small)
    with pytest.raises(RequestError, match="no run 'gone': it was deleted"):
        run_detail(found, "gone@3")
    with pytest.raises(RequestError, match="no checkpoint after epoch 9; it has 1, 2"):
        run_detail(found, "run-0@9")
    with pytest.raises(RequestError, match="run '#3' has no checkpoint; it has none"):
        run_detail(found, "run-3")


def test_a_study_without_decisions_says_so(small, tmp_path):
    home = Home(tmp_path)
    (line,) = decisions_about(home, small, 2)
    assert line.startswith("The search's decisions are unknown: the study's folder")
    assert decisions_about(home, small, 1) == ["The search does not decide on a baseline."]


def test_its_mlflow_run_is_found_at_a_server_or_with_a_command(small):
    assert mlflow_place("http://mlflow.example:5000/", "7", small, 2).address == (
        "http://mlflow.example:5000/#/experiments/7/runs/run-0"
    )
    assert mlflow_place("http://mlflow.example:5000/", "7", small, 2).command == ""
    local = mlflow_place("sqlite:////data/my runs/mlflow.db", "7", small, 2)
    assert local.command == "mlflow ui --backend-store-uri 'sqlite:////data/my runs/mlflow.db' --port 5000"
    assert local.address == "http://127.0.0.1:5000/#/experiments/7/runs/run-0"
