"""The page Compare, run without a browser."""

from __future__ import annotations


def texts(page):
    return " ".join(each.value.replace("\\", "") for kind in (page.markdown, page.info, page.warning) for each in kind)


def test_the_ends_of_the_frontier_are_compared_first(open_page):
    page = open_page("Compare", study="docstrings")
    assert not page.exception
    chosen = page.multiselect[0]
    assert len(chosen.value) == 2
    assert page.query_params["run"] == chosen.value
    figures, settings = (table.value for table in page.table)
    assert figures.columns[0] == "figure"
    assert "size" in settings["setting"].tolist()
    assert "dropout" not in settings["setting"].tolist()
    assert "are the same" in texts(page)


def test_a_link_opens_the_same_runs_and_says_which_are_gone(open_page, run_ids):
    page = open_page("Compare", study="docstrings", run=[run_ids["#1"], run_ids["#5"], "gone"])
    assert not page.exception
    assert page.multiselect[0].value == [run_ids["#1"], run_ids["#5"]]
    assert "No longer in this study: gone." in texts(page)
    assert page.table[0].value.columns.tolist() == ["figure", r"\#1", r"\#5"]


def test_one_run_alone_is_not_compared(open_page):
    page = open_page("Compare", study="docstrings")
    page.multiselect[0].set_value(page.multiselect[0].value[:1]).run()
    assert not page.exception
    assert "Choose 2 to 4 runs." in texts(page)


def test_whole_studies_are_compared_by_a_link(open_page):
    page = open_page("Compare", study="docstrings", **{"with": ["just <started> $1 🦊"]})
    assert not page.exception
    assert page.table[0].value.columns.tolist()[1] == "docstrings"
    assert page.query_params["with"] == "just <started> $1 🦊"


def test_studies_are_judged_at_equal_dollars_where_each_has_a_checkpoint(open_page, two_studies_home):
    page = open_page("Compare", at=two_studies_home, study="six", **{"with": ["four $1"]})
    assert not page.exception
    said = texts(page)
    assert "Hypervolume at equal dollars" in said
    assert "four $1 against six at" in said
    assert "What the same quality cost" in said
    columns = [table.value.columns.tolist() for table in page.table]
    assert ["spent", "study", "hypervolume", "95 %", "minus six", "95 % of that"] in columns


def test_a_study_without_two_runs_says_so(open_page):
    page = open_page("Compare", study="just <started> $1 🦊")
    assert not page.exception
    assert "fewer than two runs" in texts(page)
