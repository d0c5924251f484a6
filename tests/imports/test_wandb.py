"""Runs of Weights & Biases brought into a home, from logs that W&B 0.31 wrote offline and from exports in its shape."""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import pandas as pd
import pytest

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tests.support.past_runs import WANDB_LOGS
from tracker import import_wandb, open_study
from tracker.errors import RequestError
from tracker.imports.wandb import wandb_runs
from tracker.imports.wandb_log import read_wandb_log

STARTED = 1_769_000_000.0
SKU = "aws/m7i.large"


@pytest.fixture
def home(tmp_path):
    return put_mlflow_database(tmp_path / "home").parent


@pytest.fixture
def folder(tmp_path):
    """W&B's folder as it lies in a project."""
    for number, log in enumerate(sorted(WANDB_LOGS.glob("*.wandb"))):
        (tmp_path / "wandb" / f"offline-run-{number}" / "files").mkdir(parents=True)
        shutil.copy(log, tmp_path / "wandb" / f"offline-run-{number}")
    (tmp_path / "wandb" / "latest-run").symlink_to("offline-run-1")
    (tmp_path / "wandb" / "offline-run-0" / "files" / "predictions.csv").write_text("row,class\n1,2\n")
    return tmp_path / "wandb"


def history(steps=4, start=STARTED, every=60.0):
    """What ``run.history()`` gives."""
    at = np.arange(steps)
    accuracy = np.where(at % 2 == 1, 0.5 + at / 10, np.nan)
    return pd.DataFrame(
        {
            "_step": at,
            "val/acc": accuracy,
            "train/loss": 1 / (at + 1),
            "_timestamp": start + 30 + every * (at + 1),
            "_runtime": 30 + every * (at + 1),
            "media": None,
        }
    )


def test_the_logs_of_a_folder_become_a_study(folder, home):
    table = import_wandb(folder, quality="val_acc", sku=SKU, home=home, name="mine").table()
    assert table.runs["label"].tolist() == ["run 0", "run 1"]
    assert table.runs["state"].tolist() == ["completed", "failed"]
    assert table.runs["message"].tolist() == ["", "exit code 3"]
    assert table.settings.to_dict("records")[0] == {
        "lr": 0.1,
        "model.layers": 2,
        "bf16": True,
        "opt": "adam",
        "betas": "[0.9, 0.99]",
    }
    assert table.checkpoints["epoch"].tolist() == [1, 3, 1, 3]
    assert table.checkpoints["quality"].tolist() == pytest.approx([0.6, 0.8, 0.65, 0.85])
    assert table.metrics["best.acc"][0] == pytest.approx(0.6)
    assert (table.checkpoints["wall_seconds"] > 0.5).all() and (table.checkpoints["wall_seconds"] < 10).all()
    again = tracker("import", "wandb", folder, "--quality", "val_acc", "--sku", SKU, "--name", "mine", "--home", home)
    assert "nothing new in 2 runs" in again.stdout


def test_a_log_that_is_cut_off_is_of_a_run_that_has_not_ended(folder):
    log = next(folder.glob("offline-run-0/*.wandb"))
    content = log.read_bytes()
    log.write_bytes(content[: len(content) * 3 // 4])
    run = read_wandb_log(log)
    assert run.state[1] == "not_ended" and 0 < len(run.history["_step"]) <= 4


def test_a_log_of_a_run_that_was_killed_as_it_started_is_left_out(folder):
    log = next(folder.glob("offline-run-0/*.wandb"))
    log.write_bytes(log.read_bytes()[:7])
    source = wandb_runs(folder, "val_acc")
    assert len(source.versions()) == 1 and "nothing in it" in source.remarks[0]


def test_a_record_in_several_pieces_is_one_and_gpus_are_seen(folder):
    """A record that crosses a block is written in pieces: here, one with the GPUs of the machine."""
    log = next(folder.glob("offline-run-0/*.wandb"))
    content = log.read_bytes()
    padding = b"\xba\x06" + struct.pack("B", 0)  # an unknown field, which readers pass over
    environment = b"\xd2\x01\x03\x98\x01\x04"
    pieces = [(2, environment[:2]), (3, environment[2:4]), (4, environment[4:] + padding)]
    log.write_bytes(content + b"".join(struct.pack("<IHB", 0, len(data), kind) + data for kind, data in pieces))
    assert read_wandb_log(log).accelerators == 4


def test_a_resumed_run_has_several_logs_and_is_one(folder):
    log = next(folder.glob("offline-run-0/*.wandb"))
    shutil.copy(log, folder / "offline-run-1" / "run-again.wandb")
    source = wandb_runs(folder, "val_acc")
    assert len(source.versions()) == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_histories_of_a_folder_are_a_run_each_with_what_lies_beside_them(ending, home, tmp_path):
    for number in range(2):
        place = tmp_path / "exports" / f"run-{number}"
        place.mkdir(parents=True)
        frame = history(start=STARTED + number * 5000)
        if ending == "csv":
            frame.to_csv(place / "history.csv")  # with the frame's index, as most do
        else:
            frame.to_parquet(place / "history.parquet")
        (place / "config.json").write_text(json.dumps({"lr": {"value": 0.1 * number}, "_wandb": {"value": {}}}))
        (place / "wandb-metadata.json").write_text(json.dumps({"gpu": "A10G", "gpu_count": 1, "username": "ada"}))
    study = import_wandb(tmp_path / "exports", quality="val/acc", sku="aws/g5.12xlarge", home=home)
    table = study.table()
    assert study.name == "exports"
    assert table.runs["label"].tolist() == ["run-0", "run-1"] and table.runs["user"].tolist() == ["ada"] * 2
    assert table.runs["accelerators"].tolist() == [1, 1], "of four, as many as W&B saw"
    assert table.settings["lr"].tolist() == [0.0, 0.1]
    assert table.checkpoints["epoch"].tolist() == [1, 3, 1, 3]
    assert table.checkpoints["wall_seconds"].tolist() == pytest.approx([150, 270, 150, 270])


def test_a_history_alone_is_a_run_of_its_files_name(tmp_path):
    history().drop(columns="_timestamp").to_csv(tmp_path / "lively-sun-7.csv", index=False)
    source = wandb_runs(tmp_path / "lively-sun-7.csv", "val/acc")
    past = source.read(["lively-sun-7"])
    assert set(past.values["metric"]) == {"val/acc", "train/loss"} and past.accelerators == [0]


def runs_table():
    """A table of runs as W&B's pages export it."""
    return pd.DataFrame(
        {
            "Name": ["sun-1", "sea-2", "sky-3", "fog-4"],
            "State": ["finished", "crashed", "running", "finished"],
            "Notes": ["-", "", "", ""],
            "User": "ada",
            "Tags": "",
            "Created": [f"2026-05-0{day}T12:00:00.000Z" for day in range(1, 5)],
            "Runtime": ["3600", "1h 30m 5s", "60", ""],
            "Sweep": "",
            "lr": [0.1, 0.2, 0.3, 0.4],
            "optimizer": "adam",
            "epoch": 7,
            "val_acc": [0.8, 0.9, 0.7, 0.6],
            "train/loss": [0.1, 0.2, 0.3, 0.4],
            "_step": [100, 200, 50, 10],
        }
    )


def test_a_table_of_runs_is_a_point_a_run_at_its_end(home, tmp_path):
    runs_table().to_csv(tmp_path / "wandb_export.csv", index=False)
    names = ("--quality", "val_acc", "--sku", SKU, "--home", home)
    done = tracker("import", "wandb", tmp_path / "wandb_export.csv", *names)
    assert done.returncode == 0 and "1 run of wandb_export.csv without a start or a runtime" in done.stderr
    table = open_study("wandb_export", home=home).table()
    assert table.runs["label"].tolist() == ["sun-1", "sea-2", "sky-3"]
    assert table.runs["state"].tolist() == ["completed", "failed", "stopped"]
    assert table.runs["wall_seconds"].tolist() == pytest.approx([3600, 5405, 60])
    assert table.checkpoints["wall_seconds"].tolist() == pytest.approx([3600, 5405, 60])
    assert table.checkpoints["epoch"].tolist() == [100, 200, 50]
    assert table.settings.to_dict("records")[0] == {"lr": 0.1, "optimizer": "adam", "epoch": 7}
    assert table.metrics["train/loss"].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_the_csv_that_wandbs_guide_writes_has_summary_and_config_as_dictionaries(tmp_path):
    frame = pd.DataFrame(
        {
            "summary": [
                {"_step": 9, "_timestamp": STARTED + 500, "_runtime": 500.0, "val_acc": 0.75, "loss": float("nan")},
                {"_step": 9, "_timestamp": STARTED + 900, "_runtime": 300.0, "val_acc": 0.5, "table": {"path": "x"}},
            ],
            "config": [{"lr": 0.1, "name of": "it's"}, {"lr": 0.2}],
            "name": ["a", "b"],
        }
    )
    frame.to_csv(tmp_path / "project.csv")
    source = wandb_runs(tmp_path / "project.csv", "val_acc")
    past = source.read(list(source.versions()))
    assert past.runs["started_at"].tolist() == pytest.approx([STARTED, STARTED + 600])
    assert past.values.query("metric == 'val_acc'")["value"].tolist() == [0.75, 0.5]
    assert past.settings[0]["lr"] == 0.1 and past.settings[0]["name of"] == "it's"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run-a.wandb", b"none", "no log of a W&B run"),
        ("run-a.wandb", b":W&B\xe1\xbe\x00" + struct.pack("<IHB", 0, 3, 1) + b"\xff\xff\xff", "is damaged"),
        ("chart.csv", b"Step,run - val_acc\n1,0.5\n", "is of a chart"),
        ("other.csv", b"a,b\n1,2\n", "neither a W&B run's history"),
        ("a.csv", b"_step,val_acc\n1,0.5\n", "lacks _timestamp and _runtime"),
        ("a.csv", b"_step,_timestamp,run,val_acc\n1,1769000000,a,0.5\n1,1769000000,b,0.5\n", "tracker import table"),
        ("a.csv", b"_step,_timestamp,val_acc\n2,1769000000,0.5\n1,1769000009,0.5\n", "fall from 2 to 1"),
        ("runs.csv", b"Name,State,val_acc\na,finished,0.5\n", "no timestamps"),
        ("runs.csv", b"name,summary\na,os.remove\n", "no dictionary"),
        ("notes.txt", b"", "is no table"),
    ],
)
def test_what_is_no_export_is_refused(name, content, said, home, tmp_path):
    (tmp_path / name).write_bytes(content)
    names = ("--quality", "val_acc", "--sku", SKU, "--home", home)
    done = tracker("import", "wandb", tmp_path / name, *names)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(RequestError, match="neither a W&B log"):
        wandb_runs(tmp_path, "val_acc")
    with pytest.raises(RequestError, match="there is no file or folder"):
        wandb_runs(tmp_path / "none", "val_acc")
