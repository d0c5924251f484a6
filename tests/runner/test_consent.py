"""A study file from a stranger says what it would run before it runs it, and runs nothing before."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest

from tests.support.command import ROOT, tracker
from tests.support.studies import digits
from tracker.runner.consent import allow, code_to_allow, is_allowed, update_to_allow
from tracker.runner.detached import start_study
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.toml_text import to_toml

CODE = """
from pathlib import Path
Path({mark!r}).touch()

def train(run, width: int = 1):
    run.report(1, accuracy=0.5)
"""


def a_study(**changed):
    if "command" in changed:
        quality = {"metric": "accuracy", "direction": "maximize"}
        return {"name": "digits", "quality": quality, "budget": {"trials": 1}, "space": {"seed": [0, 1]}, **changed}
    return digits(budget={"trials": 1}, **changed)


@pytest.fixture
def stranger(tmp_path):
    """Writes a study file into a folder of its own, and says what stands there, as a StudyDocument."""
    folder = tmp_path / "downloads"
    folder.mkdir()

    def write(**changed):
        path = folder / "study.toml"
        path.write_text(to_toml(a_study(**changed)))
        return path

    return write


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "it ran"


def code_of(path):
    return code_to_allow(StudyDocument.read(path), path.parent)


def test_a_cluster_that_a_file_names_is_shown(stranger):
    assert code_of(stranger(engine={"name": "ray"})) == "", "that of this machine is its owner's"
    assert code_of(stranger(engine={"name": "local"})) == ""
    assert "'evil:1'" in code_of(stranger(engine={"address": "evil:1"})), "--engine ray may come with the command"
    assert code_of(stranger(engine="ray")) == "", "the checks of the file report it"
    said = code_of(stranger(engine={"name": "ray", "address": "ray://evil:1", "allow_open": True, "states": "s3://x"}))
    assert "uses the Ray cluster at 'ray://evil:1': whoever runs that can run code here" in said
    assert "without a token" in said
    assert said.endswith("writes the states of its trials to 's3://x'")


def test_a_file_that_names_a_cluster_runs_nothing_before_it_is_allowed(stranger, new_home):
    path, home = stranger(engine={"name": "ray", "address": "127.0.0.1:1"}), new_home()
    done = tracker("run", path, "--home", home)
    assert done.returncode == 2
    assert "uses the Ray cluster at '127.0.0.1:1'" in done.stderr
    assert "give --yes" in done.stderr


def test_installed_code_and_files_beside_the_study_need_no_word(stranger, mark):
    assert code_of(stranger()) == ""
    assert code_of(stranger(workload="experiments.workloads.tabular_classifier:TabularClassifier")) == ""
    path = stranger(workload="mine.py:train")
    (path.parent / "mine.py").write_text(CODE.format(mark=str(mark)))
    assert code_of(path) == ""
    assert str(path.parent / "mine.py") in code_to_allow(StudyDocument.read(path), None), "where a link opens it"
    assert not mark.exists()


@pytest.mark.parametrize("way", ["absolute", "../", "link", "module of the current folder", "package", "beside it"])
def test_code_from_elsewhere_is_named_and_not_imported(way, stranger, mark, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "a_package_of_mine").mkdir(parents=True)
    code = elsewhere / "a_module_of_mine.py"
    code.write_text(CODE.format(mark=str(mark)))
    (elsewhere / "a_package_of_mine" / "__init__.py").write_text(CODE.format(mark=str(mark)))
    monkeypatch.chdir(elsewhere)
    workload = {
        "absolute": str(code),
        "../": "../elsewhere/a_module_of_mine.py",
        "link": "linked.py",
        "module of the current folder": "a_module_of_mine",
        "package": "a_package_of_mine.inner",
        "beside it": "a_module_of_mine.py",  # found below the current folder, for there is none beside the study
    }[way]
    path = stranger(workload=f"{workload}:train")
    if way == "link":
        (path.parent / "linked.py").symlink_to(code)
    assert str(elsewhere / "a_package_of_mine" if way == "package" else code) in code_of(path)
    done = tracker("run", path, home=tmp_path / "home", folder=elsewhere)
    assert done.returncode == 2
    assert "--yes" in done.stderr and str(elsewhere) in done.stderr
    assert not mark.exists() and not (tmp_path / "home").exists()


def test_a_command_is_shown_whole_with_its_folder_and_every_text_that_goes_into_it(stranger, tmp_path):
    path = stranger(
        command="{python} train.py {script}\n# \x1b[2K\x1b[1A {width}",
        settings={"threads": 1, "script": "/tmp/evil.py"},
        space={"width": [1], "optimizer": ["adam", "; touch x"]},
        data={"url": "http://a.example/x"},
    )
    done = tracker("run", path, home=tmp_path / "home")
    assert done.returncode == 2
    for shown in (
        "    {python} train.py {script}\n",
        f"in the folder '{path.parent}'",
        "{script} = '/tmp/evil.py'",
        "{optimizer} = 'adam' or '; touch x'",
        "data.url = 'http://a.example/x'",
        "\\u001b[2K",
    ):
        assert shown in done.stderr
    assert "\x1b" not in done.stderr
    assert "width} =" not in done.stderr, "a number cannot be a command"


def test_what_is_allowed_is_exactly_what_was_shown(stranger, tmp_path):
    home = Home(tmp_path / "home")
    first = code_of(stranger(command="python a.py", settings={"script": "a.py"}))
    allow(home, first)
    assert is_allowed(home, first)
    for changed in ({"command": "python b.py"}, {"folder": "/tmp"}, {"settings": {"script": "b.py"}}):
        other = code_of(stranger(**{"command": "python a.py", "settings": {"script": "a.py"}, **changed}))
        assert not is_allowed(home, other), changed


def on_a_terminal(answer, *arguments, home):
    """What the command prints on a terminal, with an answer typed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tracker.cli.main", *map(str, arguments)]
    environment = {**os.environ, "TRACKER_HOME": str(home), "TERM": "dumb"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        shown = b""
        while True:
            try:
                shown += (part := os.read(ours, 4096))
            except OSError:  # the other side is closed
                break
            if not part:
                break
        os.close(ours)
        return process.wait(), shown.decode()


def test_on_a_terminal_a_person_is_asked_once(stranger, mark, new_home):
    path = stranger(command=f"touch '{mark}'")
    home = new_home()
    code, shown = on_a_terminal("n\n", "run", path, home=home)
    assert (code, mark.exists()) == (2, False)
    assert f"touch '{mark}'" in shown and "nothing was run" in shown
    code, shown = on_a_terminal("y\n", "run", path, home=home)
    assert mark.exists(), shown
    mark.unlink()
    tracker("run", path, "--name", "again", home=home)
    assert mark.exists(), "it was allowed before, so a script needs no --yes"


def test_with_yes_and_from_the_library_it_runs_unasked_and_a_resume_asks_nothing(stranger, mark, new_home):
    path = stranger(command=f"touch '{mark}'; exit 1")
    home = new_home()
    tracker("run", path, "--yes", home=home)
    assert mark.exists()
    assert not Home(home).allowed.exists(), "--yes is for this once"
    mark.unlink()
    assert "--yes" not in tracker("resume", "digits", "--trials", "2", home=home).stderr
    assert mark.exists()
    mark.unlink()
    start_study(path, home=home, name="detached")
    assert any(mark.exists() or time.sleep(0.1) for _ in range(1200))


def test_a_cluster_that_an_edit_names_is_asked_about_before_the_study_is_resumed_there(stranger, new_home):
    path, home = stranger(), new_home()
    assert tracker("run", path, home=home).returncode == 0
    stranger(engine={"name": "ray", "address": "127.0.0.1:1", "states": "s3://theirs"}, tags={"team": "a"})
    asked = tracker("resume", "digits", "--update", "--trials", "1", home=home)
    assert asked.returncode == 2
    assert "uses the Ray cluster at '127.0.0.1:1'" in asked.stderr
    assert "writes the states of its trials to 's3://theirs'" in asked.stderr and "give --yes" in asked.stderr
    allowed = tracker("resume", "digits", "--update", "--trials", "1", "--yes", home=home)
    assert "no Ray cluster at '127.0.0.1:1'" in allowed.stderr, "it was used"
    detached = tracker("resume", "digits", "--update", "--detach", home=home)
    assert detached.returncode == 2 and "give --yes" in detached.stderr


def test_only_what_an_edit_newly_reaches_is_asked_about(stranger):
    there = {"name": "ray", "address": "head:6379"}
    stored = StudyDocument.read(stranger(engine=there))
    same = StudyDocument.read(stranger(engine=there, tags={"team": "a"}))
    assert update_to_allow(stored, same) == ""
    other = StudyDocument.read(stranger(engine={**there, "allow_open": True}))
    assert update_to_allow(stored, other).count("\n") == 0
    assert "without a token" in update_to_allow(stored, other)
