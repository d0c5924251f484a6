"""What the documents show is true: commands run and print what is shown, Python runs, files are valid ones."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import textwrap
import tomllib

import pytest

from tests.conftest import ROOT
from tests.docs import shown
from tracker import run_study
from tracker.imports.machines import read_machine_rules
from tracker.pricing.price_book import load_price_book
from tracker.pricing.scenario_file import read_scenario
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.training.describe import describe_workload


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like a clone to the commands, and keeps their results to itself."""
    return shown.workplace(tmp_path_factory.mktemp("clone"))


def code_of(page, language):
    """The blocks of a page in this language."""
    text = (ROOT / page).read_text()
    found = re.findall(rf"^( *)```{language}[^\n]*\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


def without(diff, sign):
    """A file as it is before ("+") or after ("-") a change."""
    return "".join(line[1:] for line in diff.splitlines(keepends=True) if not line.startswith(sign))


@pytest.mark.parametrize("page", shown.PAGES)
def test_a_page_shows_what_its_commands_print_and_its_python_runs(page, workplace):
    for block in shown.blocks(page):
        for each in shown.shown(block):
            shown.run(each, workplace)
            assert each.is_true, f"{page}: $ {each.command}\nshown:\n{each.output}\nprinted:\n{each.printed}"
    for code in code_of(page, "python"):
        with contextlib.chdir(workplace):
            exec(compile(code, page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", shown.PAGES)
def test_a_page_shows_valid_files(page, workplace, tmp_path):
    for diff in code_of(page, "diff"):  # the code that a study of the page trains
        (tmp_path / "mine.py").write_text(without(diff, "-"))
    for text in code_of(page, "toml"):
        content, path = tomllib.loads(text), tmp_path / "shown.toml"
        path.write_text(text)
        if {"name", "budget"} <= content.keys():  # without them it is a part of a study's file
            document = StudyDocument.read(path)
            assert check_study(document, describe_workload(document.workload)).name
        elif content.keys() & {"rate", "own", "currency"}:
            assert load_price_book().with_user_rates(path)
        elif "map" in content:
            assert read_machine_rules(path)
        elif content.keys() & {"change", "market", "as_of"}:
            assert not read_scenario(path).is_empty


def test_a_plain_script_becomes_a_workload_by_ten_changed_lines_at_most(workplace):
    """Both the script before and the code after run as they stand."""
    (diff,) = code_of("docs/how-to/pytorch.md", "diff")
    lines = diff.splitlines()
    changed = max(sum(line.startswith(sign) and line[1:].strip() != "" for line in lines) for sign in "+-")
    assert changed <= 10
    (workplace / "before.py").write_text(without(diff, "+"))
    (workplace / "after.py").write_text(without(diff, "-"))
    printed = subprocess.run([sys.executable, "before.py"], cwd=workplace, capture_output=True, text=True, check=True)
    assert float(printed.stdout.split()[-1]) > 0.8
    after = {"name": "after", "workload": "after.py:train", "quality": {"metric": "accuracy"}, "budget": {"trials": 1}}
    with contextlib.chdir(workplace):
        study = run_study({**after, "settings": {"threads": 1}, "space": {"width": [64]}})
    assert study.frontier()["quality"].max() > 0.8
