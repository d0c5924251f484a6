"""Study tables built by hand: one that looks like a real one, and the edges around it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tracker.pricing.price_book import load_price_book
from tracker.records import STEADY_USAGE, Direction, Market, QualityMetric
from tracker.store.run_table import CHECKPOINT_COLUMNS, RUN_COLUMNS, CheckpointMetrics, StudyTable

USD_PER_HOUR = 0.096
PRICE_POINT = json.dumps(load_price_book().point("aws/m5.large", Market.ON_DEMAND).row)
HOSTILE = """<b>"tf-idf" & 'Ünï' 🎉</b></script><script>alert(1)</script>$x$"""


def run_row(run_id, **given):
    row = {
        "run_id": run_id,
        "role": "trial",
        "trial": -1,
        "label": run_id,
        "state": "completed",
        "reason": "",
        "message": "",
        "attempts": 1,
        "quality": math.nan,
        "price_usd": 0.0,
        "wall_seconds": 0.0,
        "sku": "aws/m5.large",
        "market": "on_demand",
        "usd_per_hour": USD_PER_HOUR,
        "price_source": "aws/karpenter-provider-aws@1d92708",
        "price_date": "2026-07-20",
        "hardware": "Intel Xeon, 2 cores, 8 GiB",
        "energy_source": "unavailable",
        "busy": False,
        "started_at": 1.7e9,
        "user": "ada",
        "region": "us-east-1",
        "price_basis": "billed",
        **dict.fromkeys(("data_usd", "compute_usd", "storage_usd", "maintenance_usd"), 0.0),
        "billed_seconds": math.nan,
        "machine_share": 1.0,
        "cores": 2,
        "accelerators": 0,
        **dict.fromkeys(STEADY_USAGE, 0.0),
        **dict.fromkeys(("energy_joules", "energy_kwh", "co2_grams"), math.nan),
        "price_point": PRICE_POINT,
        "settings": {},
        "summary": {},
    }
    return {**row, **given}


def checkpoint_rows(run, qualities, seconds, name="accuracy"):
    return [
        {
            **{key: run[key] for key in ("run_id", "role", "trial", "label")},
            "epoch": epoch,
            "quality": quality,
            "price_usd": second * run["usd_per_hour"] / 3600,
            "wall_seconds": second,
            "timestamp": run["started_at"] + second,
            "metrics": {name: quality, "validation_loss": 1 - quality},
        }
        for epoch, (quality, second) in enumerate(zip(qualities, seconds, strict=True), 1)
    ]


def build(rows, study="docstrings", direction=Direction.MAXIMIZE, **given):
    """A study of ``rows``: pairs of a run's row and its checkpoints' rows."""
    runs, checkpoints = [], []
    for run, steps in rows:
        if steps:
            run = {**run, "quality": steps[-1]["quality"]}
            run["price_usd"] = run["price_usd"] or steps[-1]["price_usd"]
            run["wall_seconds"] = run["wall_seconds"] or steps[-1]["wall_seconds"]
        run["compute_usd"] = run["compute_usd"] or run["price_usd"]
        runs.append(run)
        checkpoints += steps
    places = {run["run_id"]: at for at, run in enumerate(runs)}
    names = {name for step in checkpoints for name in step["metrics"]}
    metrics = {name: np.array([step["metrics"].get(name, math.nan) for step in checkpoints]) for name in names}
    steps = [{**step, "run": places[step["run_id"]]} for step in checkpoints]
    index = pd.RangeIndex(len(runs))
    table = StudyTable(
        study=study,
        quality=QualityMetric("accuracy", direction),
        budget_usd=0.05,
        price_book="3f9a1c",
        state="completed",
        runs=pd.DataFrame(runs, columns=[*RUN_COLUMNS, "price_point"]),
        settings=pd.DataFrame([run["settings"] for run in runs], index=index, dtype=object).replace({np.nan: None}),
        summary=pd.DataFrame([run["summary"] for run in runs], index=index, dtype=float),
        checkpoints=pd.DataFrame(steps, columns=list(CHECKPOINT_COLUMNS)),
        metrics=CheckpointMetrics.of(metrics),
    )
    return replace(table, **given)


def trial(number, qualities, seconds, **given):
    settings = given.pop("settings", {"precision": "fp32", "device": "cpu", "threads": 1})
    row = run_row(f"run-{number}", trial=number, label=f"#{number}", settings=settings, **given)
    return row, checkpoint_rows(row, qualities, seconds)


def baseline(quality, seconds, name="tf-idf + logistic regression"):
    row = run_row("run-baseline", role="baseline", label=name, summary={"test_accuracy": quality - 0.01})
    return row, checkpoint_rows(row, [quality], [seconds])


@pytest.fixture
def by_hand():
    """The functions to build a study with: ``build``, ``trial``, ``baseline``."""
    return SimpleNamespace(build=build, trial=trial, baseline=baseline, replaced=replace)


@pytest.fixture
def small():
    """Three trials, a failed one, a baseline; every figure easy to work out by hand."""
    hour = 3600 / USD_PER_HOUR  # seconds that cost one dollar
    rows = [
        (run_row("run-preparation", role="preparation", label="preparation", price_usd=0.5), []),
        baseline(0.65, 1.5 * hour),
        trial(0, [0.5, 0.6], [1 * hour, 2 * hour], summary={"test_accuracy": 0.58, "parameters": 1000.0}),
        trial(1, [0.4, 0.55], [3 * hour, 6 * hour], state="stopped", reason="budget"),
        trial(2, [0.7, math.nan], [4 * hour, 5 * hour], state="failed", reason="not_finite", price_usd=7.0),
        (run_row("run-3", trial=3, label="#3", state="failed", reason="error", price_usd=0.25), []),
    ]
    return build(rows, budget_usd=20.0)


def realistic_rows(seed=1, trials=22):
    generator = np.random.default_rng(seed)
    rows = [(run_row("run-preparation", role="preparation", label="preparation", price_usd=0.0006), [])]
    rows.append(baseline(0.70, 9.0))
    clock = 1.7e9
    for number in range(trials):
        size = float(2 ** generator.uniform(0, 6))
        precision = str(generator.choice(["fp32", "bf16"]))
        threads = int(generator.choice([1, 2]))
        epochs = int(generator.integers(2, 9))
        epoch_seconds = 1.3 * size**0.75 * (0.8 if precision == "bf16" else 1) / threads**0.6
        top = 0.83 - 0.33 / size**0.55 - generator.uniform(0, 0.1) - (0.03 if precision == "bf16" else 0)
        qualities = [top * (1 - math.exp(-0.9 * (epoch + 0.4))) for epoch in range(epochs)]
        seconds = [2 + epoch_seconds * (epoch + 1) for epoch in range(epochs)]
        state = "failed" if number in (4, 13) else "stopped" if number % 7 == 6 else "completed"
        rows.append(
            trial(
                number,
                [] if number == 4 else qualities,
                [] if number == 4 else seconds,
                state=state,
                reason="not_finite" if state == "failed" else "",
                message="the loss was not a number after step 12" if state == "failed" else "",
                price_usd=0.0011 if number == 4 else 0.0,
                started_at=clock,
                settings={
                    "size": round(size, 2),
                    "precision": precision,
                    "device": "cpu",
                    "threads": threads,
                    "dropout": 0.1,
                    "batch_size": int(2 ** generator.integers(4, 8)),
                    "learning_rate": float(10 ** generator.uniform(-4, -2)),
                },
                summary={"test_accuracy": qualities[-1] - 0.01, "parameters": round(size * 21_000)},
            )
        )
        clock += seconds[-1]
    return rows


@pytest.fixture
def realistic():
    """A study like those that people run: 22 trials, two precisions, one and two threads."""
    return build(realistic_rows())


@pytest.fixture
def empty():
    """A study in which nothing has reached a checkpoint yet."""
    return build([], study="just started", state="running", budget_usd=None)


@pytest.fixture
def hostile():
    """Names that would break a page or a chart that trusts them."""
    rows = [baseline(0.65, 5.0, name=HOSTILE)]
    rows.append(trial(0, [0.5, 0.6], [2.0, 4.0], settings={"precision": HOSTILE, "device": HOSTILE, "threads": 1}))
    rows.append(trial(1, [0.4, 0.5], [3.0, 5.0], sku=HOSTILE, message=HOSTILE, price_source=HOSTILE))
    return build(rows, study=HOSTILE, quality=QualityMetric(HOSTILE, Direction.MAXIMIZE))


@pytest.fixture
def build_large():
    """Builds a study of as many runs and epochs as asked for."""

    def large(runs, epochs):
        generator = np.random.default_rng(0)
        seconds = np.arange(1, epochs + 1)
        rows = [
            trial(number, generator.random(epochs).tolist(), (seconds * generator.uniform(1, 90)).tolist())
            for number in range(runs)
        ]
        return build(rows)

    return large
