"""Pages while MLflow is behind or away: the study's events are shown, and a line says so."""

from __future__ import annotations

import pytest

from tests.dashboard.test_bad_input import OF_STUDIES, said
from tests.support.mlflow_database import put_mlflow_database
from tests.support.studies import digits
from tracker import run_study
from tracker.runner.study_notes import StudyNotes
from tracker.store.home import Home


@pytest.fixture(scope="module")
def study_home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("away"))
    home.make()
    put_mlflow_database(home.path)
    run_study(digits(), home=home.path, trials=2)
    return home


@pytest.mark.parametrize("title", OF_STUDIES)
def test_every_page_shows_the_events_of_a_study_while_mlflow_is_away(open_page, study_home, monkeypatch, title):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:geheim@127.0.0.1:9")
    page = open_page(title, at=study_home.path, study="digits")
    assert not page.exception and not page.error
    assert [each for each in page.warning if "events are read instead" in each.value]
    assert "geheim" not in said(page)


def test_a_page_says_that_mlflow_is_behind_until_it_is_not(open_page, study_home):
    notes = StudyNotes(study_home.study("digits"))
    notes.save_behind(12)
    assert "behind by 12 values of study 'digits'" in said(open_page("Study", at=study_home.path, study="digits"))
    notes.save_behind(0)
    assert "behind" not in said(open_page("Study", at=study_home.path, study="digits"))
