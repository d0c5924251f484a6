"""A study's file that was edited since the study was started: what differs is said, and what may change is taken."""

from __future__ import annotations

import pytest

from tracker.errors import RequestError, StudyFileError
from tracker.runner.study_folder import StudyFolder
from tracker.study.document import StudyDocument
from tracker.study.edits import to_resume

STUDY = """
name = "s"
command = "python train.py --lr {lr}"

[quality]
metric = "accuracy"
direction = "maximize"

[budget]
usd = 1.0
trials = 4

[space]
lr = { low = 0.1, high = 0.2 }

[data]
until = 2026-01-01

[smoke]
lr = 0.1
"""


@pytest.fixture
def started(tmp_path):
    """A function that starts the study, as options have it, and gives its file and what is stored of it."""

    def start(smoke=False, **options):
        path = tmp_path / "s.toml"
        path.write_text(STUDY)
        document = StudyDocument.read(path)
        document = document.smoke() if smoke else document
        StudyFolder(tmp_path).save(document.override(**options))
        return path, StudyFolder(tmp_path).document()

    return start


def edit(path, *replacements):
    text = path.read_text()
    for before, now in replacements:
        assert before in text
        text = text.replace(before, now)
    path.write_text(text)


def test_nothing_is_said_of_a_file_that_was_not_edited_whatever_options_changed(started):
    said = []
    _, stored = started(budget_usd=5.0, seed=7, name="other", settings={"lr": 0.15})
    assert to_resume(stored, said.append) is stored
    assert said == []
    assert stored.content["budget"]["usd"] == 5.0


def test_edits_are_said_with_their_keys_and_both_values_and_the_stored_copy_is_used(started):
    path, stored = started()
    edit(
        path,
        ("usd = 1.0", "usd = 2.0"),
        ("trials = 4\n", ""),
        ("high = 0.2", "high = 0.3"),
        ("2026-01-01", "2027-01-01"),
    )
    said = []
    assert to_resume(stored, said.append) is stored
    head, *edits = said[0].splitlines()
    assert str(path) in head and "2 of these edits cannot be applied" in head
    assert [each.strip() for each in edits] == [
        "budget.trials: 4 → absent",
        "budget.usd: 1.0 → 2.0",
        'data.until: "2026-01-01" → "2027-01-01"',
        "space.lr.high: 0.2 → 0.3",
    ]


def test_update_takes_what_may_change_beside_what_options_changed(started, tmp_path):
    path, stored = started(settings={"lr": 0.15}, budget_usd=5.0)
    edit(
        path,
        ("usd = 1.0", "usd = 2.0"),
        ("trials = 4\n", ""),
        ("[space]", "[pricing]\nmarket = 'spot'\n[search]\noptions = { n_startup_trials = 3 }\n[space]"),
    )
    said = []
    now = to_resume(stored, said.append, update=True)
    assert now.content["budget"] == {"usd": 2.0}
    assert now.content["pricing"] == {"market": "spot"}
    assert now.content["search"] == {"options": {"n_startup_trials": 3}}
    assert (now.content["settings"], now.content["space"]) == ({"lr": 0.15}, {})
    assert "budget.usd: 1.0 → 2.0" in said[0]
    assert now.source == str(path), "what is wrong with it is wrong in the file"
    StudyFolder(tmp_path).save(now)
    said.clear()
    to_resume(StudyFolder(tmp_path).document(), said.append)
    assert said == [], "what was taken is no edit any more"


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ('metric = "accuracy"', 'metric = "f1"', 'quality.metric: "accuracy" → "f1"'),
        ('name = "s"', 'name = "t"', 'name: "s" → "t"'),
        ("[space]", "[search]\npredictions = 5\n[space]", "search.predictions: absent → 5"),
        ("lr = { low = 0.1, high = 0.2 }", "lr = [0.1]", 'space.lr: {"low": 0.1, "high": 0.2} → [0.1]'),
    ],
)
def test_update_refuses_what_cannot_change_with_the_list_and_the_remedy(before, now, line, started):
    path, stored = started()
    edit(path, ("usd = 1.0", "usd = 2.0"), (before, now))
    with pytest.raises(RequestError) as refused:
        to_resume(stored, print, update=True)
    assert refused.value.exit_code == 2
    assert line in str(refused.value)
    assert "budget.usd" not in str(refused.value)
    assert "--from s learns from this one" in str(refused.value)


def test_a_smoke_study_is_compared_with_the_files_smoke_table_and_no_other_is(started):
    path, stored = started()
    edit(path, ("[smoke]\nlr = 0.1", "[smoke]\nlr = 0.2"))
    said = []
    to_resume(stored, said.append)
    assert said == []
    path, stored = started(smoke=True)
    edit(path, ("[smoke]\nlr = 0.1", "[smoke]\nlr = 0.2"))
    to_resume(stored, said.append)
    assert [line.strip() for line in said[0].splitlines()[1:]] == ["settings.lr: 0.1 → 0.2"]


def test_a_file_that_is_gone_or_broken_is_said_and_cannot_be_taken(started):
    path, stored = started()
    path.write_text("name = ")
    said = []
    assert to_resume(stored, said.append) is stored
    assert "not valid TOML" in said[0] and "stored copy is used" in said[0]
    with pytest.raises(StudyFileError):
        to_resume(stored, print, update=True)
    path.unlink()
    assert to_resume(stored, said.append) is stored
    assert "cannot be read" in said[1]
    with pytest.raises(RequestError, match="cannot be read"):
        to_resume(stored, print, update=True)


def test_a_study_without_a_known_file_resumes_and_has_nothing_to_update(tmp_path):
    (tmp_path / "study.json").write_text('{"source": "s.toml", "content": {"name": "s"}}')  # as it was stored before
    stored = StudyFolder(tmp_path).document()
    assert to_resume(stored, pytest.fail) is stored
    with pytest.raises(RequestError, match="--update: the file that the study was started from is unknown"):
        to_resume(stored, print, update=True)
