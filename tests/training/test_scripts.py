"""A file with training code works as a script does: its neighbours, its processes, its edits, its name."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import pytest

from tracker.errors import WorkloadError
from tracker.training.loading import arguments_of, load_workload

ROWS = """
from __future__ import annotations

from dataclasses import dataclass
from multiprocessing import get_context

from torch.utils.data import DataLoader, Dataset

from neighbour_of_this import double


@dataclass
class Config:
    rows: int = 4


class Rows(Dataset):
    def __init__(self, config: Config) -> None:
        self.config = config

    def __len__(self) -> int:
        return self.config.rows

    def __getitem__(self, number: int) -> int:
        return double(number)


def collated(rows):
    return Config(sum(rows))


def train(run, method: str = "fork"):
    loader = DataLoader(Rows(Config()), 2, num_workers=2, collate_fn=collated, multiprocessing_context=method)
    run.extend(batch.rows for batch in loader)


def in_a_pool(run, method: str = "spawn"):
    with get_context(method).Pool(1) as pool:
        run.extend(pool.map(collated, [[1, 2]]))


if __name__ == "__main__":
    raise SystemExit("this is no script")
"""


@pytest.fixture(autouse=True)
def modules_and_path_of_before(monkeypatch):
    """What a file brings along goes afterwards, and what another test's file of the same name brought is not there."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "neighbour_of_this"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(folder: Path, name: str = "mine.py", code: str = ROWS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "neighbour_of_this.py").write_text("def double(number):\n    return 2 * number\n")
    (folder / name).write_text(code)
    return folder / name


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_data_are_loaded_in_processes_of_every_kind(method, tmp_path):
    path = written(tmp_path / "a folder, with 🎉")
    batches: list[int] = []
    load_workload(f"{path}:train")(batches, method)
    assert batches == [2, 10]


@pytest.mark.parametrize(
    "name",
    ["code.py", "yaml.py", "two words.py", "version.2.py", "package_beside.py"],
    ids=["the standard library's", "a loaded package's", "no identifier", "a dot", "a package's beside it"],
)
def test_a_name_that_leads_elsewhere_is_no_obstacle(name, tmp_path):
    import code

    import yaml

    path = written(tmp_path, name)
    (tmp_path / "package_beside").mkdir()
    (tmp_path / "package_beside" / "__init__.py").touch()
    sums: list[int] = []
    workload = load_workload(f"{path}:in_a_pool")
    for method in ("fork", "spawn"):
        workload(sums, method)
    assert [each.rows for each in sums] == [3, 3]
    assert sys.modules["code"] is code and sys.modules["yaml"] is yaml


def test_the_modules_of_libraries_are_not_hidden_by_a_file_of_their_name(tmp_path):
    written(tmp_path, "profile.py")
    load_workload(f"{tmp_path / 'profile.py'}:train")
    import cProfile

    assert cProfile.Profile, "it imports the standard library's profile"


def test_two_files_of_the_same_name_do_not_mix_up(tmp_path):
    code = "class It:\n    number = {number}\n    def train(self, run):\n        run.append(type(self))\n"
    paths = [written(tmp_path / str(number), code=code.format(number=number)) for number in (1, 2)]
    kinds: list[type] = []
    for path in [*paths, *paths]:
        load_workload(f"{path}:It").train(kinds)
    assert [kind.number for kind in kinds] == [1, 2, 1, 2]
    assert len({kind.__module__ for kind in kinds}) == 2
    assert kinds[0].__module__ == "mine", "its own name, by which others import it: what is pickled can be read later"


def test_a_file_is_loaded_as_it_is_now(tmp_path):
    for number in (1, 2, 3):  # within a second, and of the same size: a cached one would count as up to date
        path = written(tmp_path, code=f"def train(run, size: int = {number}):\n    pass\n")
        assert load_workload(f"{path}:train").knobs["size"].default == number
    assert not (tmp_path / "__pycache__").exists()


def test_files_beside_it_go_before_others_of_their_name(tmp_path, monkeypatch):
    written(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "neighbour_of_this.py").write_text("raise ImportError('not this one')")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    load_workload(f"{written(tmp_path / 'here')}:train")
    assert sys.modules["neighbour_of_this"].__file__ == str(tmp_path / "here" / "neighbour_of_this.py")


def test_a_file_that_fails_leaves_no_half_of_it_behind(tmp_path):
    path = written(tmp_path, code="half = 1\nraise ValueError('the other half')\n")
    with pytest.raises(WorkloadError, match="cannot be imported: ValueError"):
        load_workload(f"{path}:train")
    assert "mine" not in sys.modules


PARSER = """
import argparse
options = argparse.ArgumentParser()
options.add_argument("--rate", type=float, default=0.5)
options = options.parse_args()
def train(run, rate: float = options.rate):
    run.extend(__import__("sys").argv)
"""


def test_code_that_parses_its_arguments_gets_its_own_defaults(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tracker", "run", "mine.toml", "--workers", "1"])
    path = written(tmp_path, code=PARSER)
    assert load_workload(f"{path}:train").knobs["rate"].default == 0.5
    assert sys.argv == ["tracker", "run", "mine.toml", "--workers", "1"]


def test_a_required_argument_is_a_problem_in_a_line(tmp_path):
    path = written(tmp_path, code=PARSER.replace("default=0.5", "required=True"))
    with pytest.raises(WorkloadError, match=r"cannot be imported: SystemExit\(2\)"):
        load_workload(f"{path}:train")


def test_the_arguments_are_the_codes_own_name_alone():
    assert arguments_of("/work/a b/mine.py:train") == ["/work/a b/mine.py"]
    assert arguments_of("package.module:train") == ["package.module"]
    assert arguments_of("$ {python} train.py: it  # in /work") == ["$ {python} train.py: it  # in /work"]
