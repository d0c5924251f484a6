"""The README's commands and its Python do what they say, in a folder that looks like a fresh clone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.support.command import tracker, tracker_process
from tests.support.mlflow_database import put_mlflow_database
from tests.test_docs import README, ROOT, commands_shown


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like a clone to the commands, and keeps their results to itself."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    put_mlflow_database(folder / "results")
    return folder


def test_the_readmes_tour_runs_as_it_stands(workplace):
    for line in commands_shown():
        name, *words = line.split()
        if name == "tracker" and line != "tracker dashboard":
            start = tracker_process if words[0] in ("doctor", "run", "resume", "confirm") else tracker
            done = start(*words, folder=workplace)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_readmes_python_runs_as_it_stands(workplace):
    """After the tour, whose study the second block opens."""
    run, reprice = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for shown, last_line in ((run, float), (reprice, ast.literal_eval)):
        command = [sys.executable, "-c", shown]
        done = subprocess.run(command, cwd=workplace, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert last_line(done.stdout.splitlines()[-1])


def test_a_plain_script_becomes_a_workload_by_ten_changed_lines_at_most(workplace):
    """Both the script before and the code after run as they stand."""
    (diff,) = re.findall(r"```diff\n(.*?)```", README, re.DOTALL)
    lines = diff.splitlines()
    before = [line[1:] for line in lines if not line.startswith("+")]
    after = [line[1:] for line in lines if not line.startswith("-")]
    changed = max(sum(line.startswith(sign) and line[1:].strip() != "" for line in lines) for sign in "+-")
    assert changed <= 10
    (workplace / "before.py").write_text("\n".join(before))
    (workplace / "after.py").write_text("\n".join(after) + "\n")
    printed = subprocess.run([sys.executable, "before.py"], cwd=workplace, capture_output=True, text=True, check=True)
    assert float(printed.stdout.split()[-1]) > 0.8
    code = (
        "from tracker import run_study\n"
        "study = run_study({'name': 'after', 'workload': 'after.py:train', 'quality': {'metric': 'accuracy'},"
        " 'budget': {'trials': 1}, 'settings': {'threads': 1}, 'space': {'width': [64]}})\n"
        "print(study.frontier()['quality'].max())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.8
