"""The tables of a report, read back by other libraries: csv and parquet say the same, in full precision."""

from __future__ import annotations

import io
import json
import math

import pandas as pd
import pyarrow.parquet
import pytest

from tests.support.tables import build, run_row
from tracker.export import arrow_tables
from tracker.export.columns import column
from tracker.export.formats import report_files, write_report
from tracker.export.study_file import study_file
from tracker.records import Role
from tracker.report.tables import frontier_table
from tracker.store.run_table import CHECKPOINT_COLUMNS, RUN_COLUMNS, CheckpointMetrics

TABLES = list(arrow_tables.TABLES)


def read_csv(file, **options):
    return pd.read_csv(file, float_precision="round_trip", **options)


@pytest.fixture
def both(realistic, tmp_path):
    write_report(realistic, tmp_path, ["csv", "parquet"])
    return tmp_path


def test_one_study_file_stands_beside_the_tables_of_both_formats(both):
    expected = {f"{name}.{ending}" for name in TABLES for ending in ("csv", "parquet")}
    assert {path.name for path in both.iterdir()} == expected | {"study.json"}


@pytest.mark.parametrize("name", TABLES)
def test_csv_and_parquet_have_the_same_columns_and_values(both, name):
    typed = pd.read_parquet(both / f"{name}.parquet")
    text = read_csv(both / f"{name}.csv")
    assert list(text) == list(typed)
    assert len(text) == len(typed)
    for column_name in typed:
        ours, theirs = typed[column_name], text[column_name]
        if pd.api.types.is_numeric_dtype(ours):
            assert ours.astype(float).equals(theirs.astype(float)), column_name
        else:
            assert ours.fillna("").tolist() == theirs.fillna("").tolist(), column_name


def test_every_run_and_checkpoint_is_there_to_the_last_digit(both, realistic):
    runs, steps = pd.read_parquet(both / "runs.parquet"), pd.read_parquet(both / "checkpoints.parquet")
    assert list(runs)[: len(RUN_COLUMNS)] == list(RUN_COLUMNS)
    for name in ("run_id", "price_usd", "wall_seconds", "state", "message", "started_at"):
        assert runs[name].tolist() == realistic.runs[name].tolist()
    assert runs["settings.learning_rate"].dropna().tolist() == realistic.settings["learning_rate"].dropna().tolist()
    assert steps["metrics.validation_loss"].tolist() == realistic.metrics["validation_loss"].tolist()
    assert set(CHECKPOINT_COLUMNS) - set(steps) == {"run"}
    points = pd.read_parquet(both / "frontier.parquet")
    assert points["price_usd"].tolist() == frontier_table(realistic)["price_usd"].tolist()
    assert points["settings.size"].tolist() == [each["size"] for each in frontier_table(realistic)["settings"]]


def test_a_metric_that_a_few_runs_have_is_a_column(by_hand):
    rows = [by_hand.trial(0, [0.5, 0.6], [1.0, 2.0]), by_hand.trial(1, [0.4], [3.0], summary={"rare": 1.5})]
    table = by_hand.build(rows)
    values = {"accuracy": table.metrics["accuracy"], "rare": pd.Series([math.nan, math.nan, 1.5]).to_numpy()}
    # A large study names the metrics of a few runs only.
    metrics = CheckpointMetrics(lambda: ["accuracy"], values.__getitem__)
    exported = arrow_tables.checkpoints(by_hand.replaced(table, metrics=metrics))
    assert exported.column("metrics.rare").to_pylist() == [None, None, 1.5]


def test_settings_have_types_and_mixed_ones_are_texts(by_hand):
    chosen = [
        {"width": 8, "rate": 1.0, "fast": True, "mixed": 1, "name": "-a", "large": 2**70},
        {"width": 16, "rate": 1e-7, "fast": False, "mixed": True, "name": "b", "large": 1},
    ]
    table = by_hand.build([by_hand.trial(at, [0.5], [1.0], settings=each) for at, each in enumerate(chosen)])
    exported = arrow_tables.runs(table)
    types = {name: str(exported.schema.field(f"settings.{name}").type) for name in chosen[0]}
    assert types == {
        "width": "int64",
        "rate": "double",
        "fast": "bool",
        "mixed": "string",
        "name": "string",
        "large": "string",
    }
    assert exported.column("settings.mixed").to_pylist() == ["1", "true"]
    assert exported.column("settings.large").to_pylist() == [str(2**70), "1"]


def test_formulas_are_made_harmless_in_csv_alone_and_numbers_stay(by_hand, tmp_path):
    row, steps = by_hand.trial(0, [-0.5], [1.0], message="=cmd|'/C calc'!A0", settings={"name": "@x", "shift": -0.25})
    write_report(by_hand.build([(row, steps)]), tmp_path, ["csv", "parquet"])
    text = read_csv(tmp_path / "runs.csv").iloc[0]
    assert (text["message"], text["settings.name"]) == ("'=cmd|'/C calc'!A0", "'@x")
    assert (text["quality"], text["settings.shift"], text["trial"]) == (-0.5, -0.25, 0)
    typed = pd.read_parquet(tmp_path / "runs.parquet").iloc[0]
    assert (typed["message"], typed["settings.name"]) == ("=cmd|'/C calc'!A0", "@x")


def test_columns_carry_their_units(both):
    schema = pyarrow.parquet.read_schema(both / "runs.parquet")
    units = {name: (schema.field(name).metadata or {}).get(b"unit", b"").decode() for name in schema.names}
    assert (units["price_usd"], units["wall_seconds"], units["kept_bytes"], units["energy_kwh"]) == (
        *("USD", "s", "B", "kWh"),
    )
    assert units["quality"] == units["trial"] == ""


def test_every_column_has_a_meaning(realistic):
    for _, make in arrow_tables.TABLES.values():
        assert [name for name in make(realistic).column_names if not column(name).meaning] == []


def test_the_study_file_says_what_the_tables_do_not(small, both):
    document = json.loads((both / "study.json").read_text())
    assert (document["format_version"], document["study"], document["budget_usd"]) == (1, "docstrings", 0.05)
    assert document["quality"] == {"name": "accuracy", "direction": "maximize"}
    runs = document["tables"]["runs"]
    assert runs["rows"] == len(read_csv(both / "runs.csv"))
    assert list(runs["columns"]) == list(read_csv(both / "runs.csv"))
    assert runs["columns"]["price_usd"] == {
        "type": "double",
        "unit": "USD",
        "description": "all attempts together; at a checkpoint, up to there",
    }
    machine = document["price_points"][0]
    assert (machine["sku"], float(machine["usd_per_hour"])) == ("aws/m5.large", 0.096)
    assert json.loads(json.dumps(study_file(small), allow_nan=False))["spend_usd"] == pytest.approx(small.spend_usd)


def test_studies_without_anything_and_with_hostile_names_are_tables_too(empty, hostile, tmp_path):
    for at, study in enumerate((empty, hostile, build([(run_row("alone", role=Role.BASELINE), [])]))):
        folder = tmp_path / str(at)
        write_report(study, folder, ["csv", "parquet"])
        for name in TABLES:
            typed = pd.read_parquet(folder / f"{name}.parquet")
            assert list(read_csv(folder / f"{name}.csv")) == list(typed)
            assert len(read_csv(folder / f"{name}.csv")) == len(typed)
        assert json.loads((folder / "study.json").read_text())["study"] == study.study


def test_a_large_study_is_read_in_one_piece(build_large):
    table = build_large(700, 100)  # more rows than are written at once
    (file,) = [each for each in report_files(["csv"]) if each.name == "checkpoints.csv"]
    found = read_csv(io.BytesIO(file.content(table)))
    assert found["price_usd"].tolist() == table.checkpoints["price_usd"].tolist()
