"""No pickle is ever loaded from a store: states, models, arrays and caches that hold one run nothing."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.data.array_data import load_examples
from tests.support.command import ROOT, tracker
from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker import open_study, run_study
from tracker.store.home import Home
from tracker.training.state import StateLostError, read_state

UNSAFE = re.compile(
    r"pickle\.(?:load|Unpickler)|read_pickle|joblib|shelve|marshal\.load|cloudpickle|dill\b|allow_pickle=True"
    r"|weights_only=False|load_model\(|yaml\.(?:load|unsafe_load|full_load)\(|torch\.load\((?![^\n]*weights_only=True)"
)


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "it ran"


def write_bomb(path, mark, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "torch":
        torch.save({"epoch": 1, "best_quality": 0.5, "state": Bomb(mark), "source_files": {}}, path)
    elif kind == "numpy":
        with path.open("wb") as file:
            np.save(file, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))


def test_the_bomb_goes_off_where_a_pickle_is_loaded(tmp_path, mark):
    write_bomb(tmp_path / "x", mark, "pickle")
    pickle.loads((tmp_path / "x").read_bytes())
    assert mark.exists()


def test_no_file_of_the_product_loads_one():
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for folder in ("tracker", "experiments", "dashboard")
        for path in (ROOT / folder).rglob("*.py")
        for match in UNSAFE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_saved_state_with_an_object_in_it_is_lost_and_runs_nothing(kind, tmp_path, mark):
    write_bomb(tmp_path / "state.pt", mark, kind)
    with pytest.raises(StateLostError):
        read_state(tmp_path / "state.pt")
    assert not mark.exists()


def test_a_prepared_array_with_an_object_in_it_is_refused(tmp_path, mark):
    write_bomb(tmp_path / "train-inputs.npy", mark, "numpy")
    with pytest.raises(ValueError, match="Array can't be memory-mapped: Python objects in dtype"):
        load_examples(tmp_path, "train", torch.device("cpu"))
    assert not mark.exists()


def test_a_home_full_of_pickles_is_read_resumed_and_reported_without_running_one(tmp_path, mark):
    home = Home(tmp_path / "home")
    put_mlflow_database(home.path)
    run_study(digits(budget={"trials": 2}), home=home.path)
    open_study("digits", home=home.path)
    folders = [path for path in (home.study("digits") / "trials").iterdir() if path.is_dir()]
    for folder in folders:
        write_bomb(folder / "state.pt", mark, "torch")
    cached = [path for path in home.cache.rglob("*") if path.is_file()]
    kept = [path for path in home.artifacts("digits").rglob("*") if path.is_file()]
    assert folders and cached
    for path in [*cached, *kept]:
        write_bomb(path, mark, "torch" if path.suffix in (".pt", ".bin") else "pickle")
    for command in ("status", "runs", "frontier", "report"):
        assert tracker(command, "digits", home=home.path).returncode == 0
    done = tracker("resume", "digits", "--trials", "3", home=home.path)
    assert done.returncode in (0, 1), done.stderr  # its prepared data are broken, which may fail the new trial
    assert not mark.exists()
