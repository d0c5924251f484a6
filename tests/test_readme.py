"""The README's commands and its Python do what they say, in a folder that looks like a fresh clone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.test_docs import README, ROOT, commands_shown


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like a clone to the commands, and keeps their results to itself."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    return folder


def test_the_readmes_tour_runs_as_it_stands(workplace):
    for line in commands_shown():
        if line.startswith("tracker ") and line != "tracker dashboard":
            command = [sys.executable, "-m", "tracker.cli.main", *line.split()[1:]]
            done = subprocess.run(command, cwd=workplace, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_readmes_python_runs_as_it_stands(workplace):
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", shown], cwd=workplace, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) > 0
