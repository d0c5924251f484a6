"""tracker compare, as a person or a script uses it."""

from __future__ import annotations

import csv
import json

import pytest

import tracker as library
from tests.support.command import tracker

NAME = "it's <b>a/b</b>, 🦊"
STUDY = """
name = "first"
workload = "tests.support.quick:quick"
strategy = "optuna"

[quality]
metric = "accuracy"

[budget]
trials = 2

[settings]
epochs = 2

[space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
width = [4, 8]
"""


@pytest.fixture(scope="module")
def home(new_home, tmp_path_factory):
    """A home with three studies: two that differ in the seed, and one, of a hostile name, in its search space too."""
    path, home = tmp_path_factory.mktemp("studies") / "quick.toml", new_home()
    path.write_text(STUDY)
    for name, seed in (("first-1", 1), ("first-2", 2)):
        done = tracker("run", path, "--name", name, "--seed", seed, home=home)
        assert done.returncode == 0, done.stderr
    path.write_text(STUDY.replace("width = [4, 8]", "width = [4, 16]"))
    done = tracker("run", path, "--name", NAME, "--trials", "1", "--set", "width=16", home=home)
    assert done.returncode == 0, done.stderr
    return home


def test_a_person_reads_the_answer_what_changed_and_both_tables(home):
    done = tracker("compare", "first-1", NAME, home=home)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    answers = (
        "against first-1",
        "first-1: 2 trials",
        "What changed",
        "Hypervolume at equal",
        "What the same quality",
    )
    assert [said.index(each) for each in answers] == sorted(said.index(each) for each in answers)
    assert "settings.width" in said
    assert "minus first-1" in said
    assert "Student's t" in said


def test_a_script_reads_one_document(home):
    done = tracker("compare", "first-1,first-2", NAME, "--json", home=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [side["name"] for side in document["sides"]] == ["first (2 studies)", NAME]
    assert {row["interval_by"] for row in document["equal_dollars"]} <= {"seeds", "halves", ""}
    assert {row["what"] for row in document["changes"]} >= {"seed", "budget.trials", "settings.width"}


def test_the_files_are_a_page_tables_and_a_document(home, tmp_path):
    done = tracker("compare", "first-1", NAME, "--out", tmp_path / "out", home=home)
    written = [line.rpartition("/")[2] for line in done.stdout.splitlines() if line.startswith(str(tmp_path))]
    assert {"comparison.html", "comparison.csv", "comparison.json"} <= set(written)
    page = (tmp_path / "out/comparison.html").read_text()
    assert "<b>a/b" not in page.replace("\\u003cb", "<not ")
    with (tmp_path / "out/comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = json.loads((tmp_path / "out/comparison.json").read_text())["equal_dollars"]
    assert [float(row["hypervolume"]) for row in rows] == [row["hypervolume"] for row in shown]
    again = tracker("compare", "first-1", NAME, "--out", tmp_path / "out", home=home)
    assert (again.returncode, "--force replaces them" in again.stderr) == (2, True)
    forced = tracker("compare", "first-1", NAME, "--out", tmp_path / "out", "--force", "--format", "csv", home=home)
    assert forced.returncode == 0


def test_a_scenario_and_a_currency_change_the_prices_of_all(home):
    done = tracker("compare", "first-1", "first-2", "--market", "spot", "--json", home=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scenario"]["market"] == "spot"
    unknown = tracker("compare", "first-1", "first-2", "--currency", "XYZ", home=home)
    assert (unknown.returncode, "XYZ" in unknown.stderr) == (2, True)


def test_from_python_it_is_the_same(home):
    study = library.open_study("first-1", home=home)
    found = library.compare(study, ["first-2"], at_usd=[study.spend_usd / 2])
    said = tracker("compare", "first-1", "first-2", "--at-usd", repr(study.spend_usd / 2), "--json", home=home)
    assert json.loads(said.stdout) == json.loads(json.dumps(found.document()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("first-1",), "1 side given: 2 to 8"),
        (("first-1", "first-1"), "study 'first-1' is given twice"),
        (("first-1,first-1", "first-2"), "study 'first-1' is given twice"),
        (("first-1", "frist-2"), "did you mean 'first-2'?"),
        (("first-1,nothing", "first-2"), "there is no study 'nothing'"),
        (("first-1", "first-2", "--at-usd", "0"), "--at-usd 0: allowed is an amount of dollars above 0"),
        (("first-1", "first-2", "--at-usd", "a lot"), "--at-usd 'a lot': allowed are numbers"),
        (("first-1", "first-2", "--at-usd", "nan"), "--at-usd nan"),
        (("first-1", "first-2", "--reference", "0.5"), "--reference '0.5': allowed is a quality, a comma and a price"),
        (("first-1", "first-2", "--reference", "0.5,-1"), "reference 0.5,-1"),
        (("first-1", "first-2", "--format", "html,pfd"), "unknown report format 'pfd'"),
        (("first-1", "first-2", "--format", "md"), "unknown report format 'md'"),
        (("first-1", "first-2", "--format", "json"), "--format is for files; say by --out where"),
        (("first-1", "first-2", "--out", "/proc/none"), "'/proc/none' cannot be written: "),
        ((), "Missing argument"),
    ],
)
def test_a_wrong_request_is_said_in_a_line_or_two(home, arguments, said):
    done = tracker("compare", *arguments, home=home)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert "internal error of the tracker" not in done.stderr
