"""Runs of a table brought into a home: what its rows say, priced by when they were logged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker import import_table, open_study
from tracker.errors import RequestError
from tracker.imports import table_file
from tracker.imports.table import TableColumns, table_runs

STARTED = 1_769_000_000.0
SKU = "aws/m7i.large"
LONG = TableColumns("run", "time", "", "step")


@pytest.fixture
def home(tmp_path):
    return put_mlflow_database(tmp_path / "home").parent


def long_form(runs=2, steps=4):
    """A row a step, a minute each; the accuracy at every second one."""
    rows = [
        {
            "run": f"wide {run}",
            "time": STARTED + 10_000 * run + 60 * step,
            "step": step,
            "width": 8 * (run + 1),
            "optimiser": "adam",
            "fast": run == 1,
            "loss": 1 / (step + run),
            "accuracy": 0.5 + step / 10 if step % 2 == 0 else np.nan,
            "note": f"note {step}",
        }
        for run in range(runs)
        for step in range(1, steps + 1)
    ]
    return pd.DataFrame(rows)


def written(folder: Path, frame: pd.DataFrame, name="log.csv"):
    path = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv", "log.parquet"])
def test_a_table_becomes_a_study_whose_checkpoints_are_price_points(name, home, tmp_path):
    path = written(tmp_path, long_form().sample(frac=1, random_state=0), name)
    before = path.read_bytes()
    study = import_table(path, quality="accuracy", run="run", time="time", step="step", sku=SKU, home=home)
    table = open_study("log", home=home).table()
    assert study.name == "log" and path.read_bytes() == before
    assert table.runs["label"].tolist() == ["wide 0", "wide 1"]
    assert table.settings.to_dict("records") == [
        {"width": 8, "optimiser": "adam", "fast": False},
        {"width": 16, "optimiser": "adam", "fast": True},
    ]
    assert table.checkpoints["epoch"].tolist() == [2, 4, 2, 4]
    assert table.checkpoints["quality"].tolist() == pytest.approx([0.7, 0.9, 0.7, 0.9])
    assert table.checkpoints["wall_seconds"].tolist() == pytest.approx([120, 240, 120, 240])
    assert table.checkpoints["price_usd"].tolist() == pytest.approx(
        (table.checkpoints["wall_seconds"] / 3600 * table.runs["usd_per_hour"][0]).tolist()
    )
    assert table.metrics["loss"][0] == pytest.approx(0.5)


def test_a_run_that_grew_is_updated_and_a_new_one_added(home, tmp_path):
    names = ("--quality", "accuracy", "--run", "run", "--time", "time", "--step", "step", "--sku", SKU, "--home", home)
    path = written(tmp_path, long_form(2, 4))
    assert "2 runs added" in tracker("import", "table", path, *names).stdout
    assert "nothing new in 2 runs" in tracker("import", "table", path, *names).stdout
    grown = pd.concat([long_form(2, 4), long_form(3, 6)]).drop_duplicates()
    grown = grown[(grown["run"] != "wide 0") | (grown["step"] <= 4)]
    written(tmp_path, grown)
    assert "1 run added, 1 updated, 1 unchanged" in tracker("import", "table", path, *names).stdout
    found = open_study("log", home=home).table()
    assert sorted(found.runs["label"]) == ["wide 0", "wide 1", "wide 2"]
    assert len(found.checkpoints) == 2 + 3 + 3


@pytest.mark.parametrize(
    "moments",
    [
        lambda time: time,
        lambda time: (time * 1000).astype("int64"),
        lambda time: pd.to_datetime(time, unit="s").dt.strftime("%Y-%m-%d %H:%M:%S"),
        lambda time: pd.to_datetime(time, unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda time: pd.to_datetime(time + 7200, unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S.000+02:00"),
        lambda time: [
            pd.Timestamp(each, unit="s").strftime("%Y-%m-%dT%H:%M:%S" + ("Z" if at % 2 else ""))
            for at, each in enumerate(time)
        ],
    ],
)
@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_timestamp_may_be_a_text_or_a_number(moments, name, tmp_path):
    frame = long_form()
    path = written(tmp_path, frame.assign(time=moments(frame["time"])), name)
    source = table_runs(path, "accuracy", LONG)
    values = source.read(list(source.versions())).values
    assert values["timestamp"].min() == STARTED + 60 and values["timestamp"].max() == STARTED + 10_240


def test_a_parquet_may_have_timestamps_as_a_type(tmp_path):
    frame = long_form()
    for zone in (None, "Europe/Berlin"):
        moments = pd.to_datetime(frame["time"], unit="s", utc=True).dt.tz_convert(zone)
        path = written(tmp_path, frame.assign(time=moments), "log.parquet")
        source = table_runs(path, "accuracy", LONG)
        assert source.read(list(source.versions())).values["timestamp"].min() == STARTED + 60


def test_seconds_since_the_start_are_dated_to_when_the_file_was_written(home, tmp_path):
    frame = long_form().assign(seconds=lambda each: each["step"] * 100.0).drop(columns="time")
    path = written(tmp_path, frame)
    os.utime(path, (STARTED, STARTED))
    table = import_table(path, quality="accuracy", run="run", seconds="seconds", sku=SKU, home=home).table()
    assert table.checkpoints["wall_seconds"].tolist() == pytest.approx([200, 400, 200, 400])
    assert table.runs["started_at"].tolist() == pytest.approx([STARTED - 400] * 2)
    os.utime(path)
    names = ("--quality", "accuracy", "--run", "run", "--seconds", "seconds", "--sku", SKU, "--home", home)
    assert "nothing new" in tracker("import", "table", path, *names).stdout


def test_seconds_beside_timestamps_say_when_a_run_started(home, tmp_path):
    path = written(tmp_path, long_form().assign(seconds=lambda each: each["step"] * 60.0 + 500))
    columns = {"run": "run", "time": "time", "seconds": "seconds", "step": "step"}
    table = import_table(path, quality="accuracy", sku=SKU, home=home, **columns).table()
    assert table.checkpoints["wall_seconds"].tolist() == pytest.approx([620, 740, 620, 740])


def test_without_a_run_column_the_file_is_one_run_and_without_steps_rows_are_counted(tmp_path):
    frame = long_form(1)[["time", "accuracy", "loss"]]
    source = table_runs(written(tmp_path, frame), "accuracy", TableColumns(time="time"))
    past = source.read(["log"])
    assert past.values.query("metric == 'accuracy'")["step"].tolist() == [2, 4]


def test_rows_twice_rows_without_a_time_and_values_that_are_none_are_left_out(tmp_path):
    frame = long_form(1, 6)
    frame.loc[0, "time"] = np.nan
    frame.loc[3, "accuracy"] = np.inf
    source = table_runs(written(tmp_path, pd.concat([frame, frame.iloc[[4]]])), "accuracy", LONG)
    past = source.read(["wide 0"])
    assert past.values.query("metric == 'accuracy'")["step"].tolist() == [2, 6]
    assert past.values.query("metric == 'loss'")["step"].tolist() == [2, 3, 4, 5, 6]
    said = "; ".join(source.remarks)
    assert "1 row without a timestamp" in said and "1 repeated row: counted once" in said
    assert "note" in said


def test_a_value_that_comes_late_in_a_large_file_is_read(tmp_path):
    count = 60_000
    frame = pd.DataFrame({"time": STARTED + np.arange(count), "filler": ["x" * 40] * count, "accuracy": ""})
    frame.loc[count - 1, "accuracy"] = "0.25"
    source = table_runs(written(tmp_path, frame), "accuracy", TableColumns(time="time"))
    assert source.read(["log"]).values["value"].tolist() == [0.25]


BAD = {
    "no such quality": ({}, ["--quality", "acuracy"], "did you mean 'accuracy'?"),
    "no such column": ({}, ["--run", "runs"], "did you mean 'run'?"),
    "steps that fall": ({"step": [1, 2, 3, 4, 1, 3, 2, 4]}, [], "fall from 3 to 2 in row 7"),
    "half a step": ({"step": [1, 2, 3.5, 4] * 2}, [], "row 3 has step 3.5"),
    "no step": ({"step": [1, 2, None, 4] * 2}, [], "row 3 has no step"),
    "no name": ({"run": ["a", "a", "", "a", "b", "b", "b", "b"]}, [], "row 3 has no 'run'"),
    "no time": ({"time": ["yesterday"] * 8}, [], "row 1 has 'yesterday'"),
    "seconds as time": ({"time": range(8)}, [], "give --seconds"),
    "empty time": ({"time": [None] * 8}, [], "has no timestamps"),
    "texts": ({"accuracy": [0.5, "good"] * 4}, [], "row 2 has 'good'"),
    "never": ({"accuracy": [np.nan] * 8}, [], "has logged 'accuracy'"),
    "the same column": ({}, ["--quality", "step"], "cannot be the quality"),
    "no machine": ({}, ["--sku", "aws/none"], "aws/none"),
}


@pytest.mark.parametrize(("columns", "options", "said"), BAD.values(), ids=BAD)
def test_a_table_that_is_not_as_said_is_refused(columns, options, said, home, tmp_path):
    path = written(tmp_path, long_form().assign(**columns))
    names = ["--quality", "accuracy", "--run", "run", "--time", "time", "--step", "step", "--sku", SKU]
    done = tracker("import", "table", path, *names, *options, "--home", home)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "log" not in tracker("studies", "--home", home).stdout


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", b"", "cannot be read"),
        ("log.csv", b"run,time,step,accuracy\n", "no rows"),
        ("log.csv", b"time,time,accuracy\n1,2,3\n", "two columns 'time'"),
        ("log.csv", b"time,accuracy\n1,2,3\n", "cannot be read"),
        ("log.csv", bytes(range(256)), "no csv"),
        ("log.parquet", b"time,accuracy\n1,2\n", "cannot be read"),
        ("log.xlsx", b"PK", "allowed: a file that ends with .csv"),
    ],
)
def test_a_file_that_is_no_table_is_refused(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=said):
        table_runs(tmp_path / name, "accuracy", TableColumns(time="time"))


def test_without_timestamps_the_message_says_how_to_name_them(tmp_path):
    with pytest.raises(RequestError, match=r"no timestamps.*--time.*--seconds"):
        table_runs(written(tmp_path, long_form()), "accuracy", TableColumns("run"))
    with pytest.raises(RequestError, match="there is no file"):
        table_runs(tmp_path / "none.csv", "accuracy", LONG)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, long_form())
    read = table_file._csv

    def read_while_written(path):
        table = read(path)
        with path.open("a") as file:
            file.write("more\n")
        return table

    monkeypatch.setattr(table_file, "_csv", read_while_written)
    with pytest.raises(RequestError, match="is being written to"):
        table_runs(path, "accuracy", LONG)
