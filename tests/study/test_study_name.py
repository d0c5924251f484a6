"""A study's name: any printable text, the same in both spellings, and nothing that leads elsewhere."""

from __future__ import annotations

import unicodedata

import pytest

from tests.support.command import tracker
from tests.support.studies import digits
from tracker import run_study
from tracker.errors import RequestError, StudyFileError
from tracker.imports.names import importable_name
from tracker.store.home import Home, folder_name
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.training.describe import describe_workload

COMPOSED = unicodedata.normalize("NFC", "Crème brûlée é")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
TEXT = (
    *(
        "<script>alert(1)</script>",
        "**bold** [a](javascript:alert(1))",
        "=HYPERLINK(1)",
        "+1",
        "@SUM(A1)",
        "$(touch x)",
    ),
    *(
        "`id`;|&",
        "..",
        "../../etc",
        "a/../b",
        "%2e%2e%2fetc",
        "/etc/passwd",
        "C:\\x",
        "[red]x[/red]",
        "🦊",
        'it\'s "q"',
    ),
    *("con", "null", "a.b", "--", " ", COMPOSED),
)
REFUSED = ("a\nb", "a\x1b[31mb", "a\u202eb", "a\x00b", "x" * 10_000, "-rf", "--help", "", "   ", "\udcff", 7)


def spec_of(name):
    content = digits(name=name)
    return check_study(StudyDocument("study", content), describe_workload(content["workload"]))


@pytest.mark.parametrize("name", [name for name in TEXT if not name.startswith("-") and name.strip()])
def test_a_name_of_any_printable_text_is_kept_and_its_folder_stays_in_the_home(name, tmp_path):
    home = Home(tmp_path)
    assert spec_of(name).name == name == importable_name(name)
    for folder in (home.study(name), home.artifacts(name)):
        assert folder.parent.resolve() == folder.resolve().parent
        assert folder.resolve().is_relative_to(tmp_path.resolve())
        assert folder.name.isascii() and not folder.name.startswith(".")


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: ascii(name)[:12])
def test_a_name_that_a_screen_or_a_command_would_misread_is_refused_in_a_short_line(name):
    with pytest.raises(StudyFileError) as refused:
        spec_of(name)
    assert len(str(refused.value)) < 700
    if isinstance(name, str):
        with pytest.raises(RequestError, match="give another --name"):
            importable_name(name)


def test_no_two_names_share_a_folder_and_two_spellings_do():
    names = {name for name in TEXT if name.strip()}
    assert len({folder_name(name).lower() for name in names}) == len(names)
    assert COMPOSED != DECOMPOSED
    assert folder_name(COMPOSED) == folder_name(DECOMPOSED)


def test_two_spellings_of_a_name_are_one_study_for_every_command(new_home):
    home = new_home()
    assert run_study(digits(name=DECOMPOSED, budget={"trials": 1}), home=home).name == COMPOSED
    for name in (COMPOSED, DECOMPOSED):
        for command in ("status", "runs", "frontier", "stop", "audit"):
            done = tracker(command, name, home=home)
            assert done.returncode == 0, (command, done.stderr)
    with pytest.raises(RequestError, match="already exists"):
        run_study(digits(name=DECOMPOSED), home=home)


@pytest.mark.parametrize("name", ["x" * 10_000, "../../etc/passwd", "a\x1b[31mb", "%2e%2e", "=1+1", "[red]", "\udcff"])
@pytest.mark.parametrize("command", ["status", "runs", "frontier", "stop", "resume", "confirm", "report"])
def test_no_command_takes_a_name_for_anything_else(command, name, tmp_path):
    (tmp_path / "home").mkdir()
    done = tracker(command, name, home=tmp_path / "home")
    assert done.returncode == 2
    assert "there is no study" in done.stderr and "internal error" not in done.stderr
    assert "\x1b" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
