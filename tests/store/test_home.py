"""A study of any name has a folder of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import RequestError
from tracker.store.home import Home, folder_name
from tracker.study.study_name import composed


@given(st.text(min_size=1, max_size=80))
def test_every_name_gives_one_plain_folder_name(name):
    folder = folder_name(name)
    assert folder
    assert set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert not folder.startswith(".")
    assert len(folder) < 60


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_two_names_never_share_a_folder(one, other):
    assert (folder_name(one) == folder_name(other)) == (composed(one) == composed(other))


def test_the_home_comes_from_the_option_the_environment_or_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Home.find().path == tmp_path / "results"
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "env"))
    assert Home.find().path == tmp_path / "env"
    assert Home.find(tmp_path / "given").path == tmp_path / "given"


def test_a_home_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written: Not a directory"):
        Home.find(tmp_path / "file" / "home").make()
