"""Scenarios written as files and into links, and read back."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import RequestError, ScenarioError
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.pricing.scenario_file import read_scenario, read_scenario_text
from tracker.pricing.scenario_writing import compact_scenario_toml, scenario_toml, write_scenario
from tracker.records import Market

NAMES = ["", "H100", 'he said "1/2"', "a\nb\\c\x7f\x00", "🦊 <b>", "#", "long " * 60]
texts = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
days = st.dates(date(2020, 1, 1), date(2040, 1, 1))
amounts = st.floats(1e-9, 1e6)
changes = (
    st.builds(RateChange, provider=texts, accelerator=texts, factor=amounts)
    | st.builds(RateChange, sku=texts, market=st.sampled_from(["", *Market]), usd_per_hour=amounts)
    | st.builds(RateChange, part=st.sampled_from(["storage", "energy"]), factor=st.integers(1, 9))
    | st.builds(RateChange, decline_per_year=st.floats(-10, 0.9), until=days)
)
scenarios = st.builds(
    Scenario,
    name=texts,
    market=st.none() | st.sampled_from(list(Market)),
    region=st.none() | texts,
    as_of=st.none() | days,
    skus=st.lists(texts.filter(bool), max_size=2).map(tuple),
    changes=st.lists(changes, max_size=3).map(tuple),
    terms=st.fixed_dictionaries({}, optional={"keep_months": st.floats(0, 10), "idle_billed": st.booleans()}),
).filter(lambda scenario: not scenario.is_empty)


@given(scenario=scenarios)
def test_what_is_written_reads_back_equal(scenario):
    assert read_scenario_text(scenario_toml(scenario)) == scenario
    assert read_scenario_text(compact_scenario_toml(scenario)) == scenario


def test_a_link_is_short_and_reads_as_what_it_does():
    scenario = Scenario(
        market=Market.SPOT,
        as_of=date(2026, 8, 3),
        skus=("aws/m5.large",),
        changes=(RateChange(accelerator="H100", factor=0.6), RateChange(part="storage", factor=2)),
        terms={"idle_billed": True},
    )
    assert compact_scenario_toml(scenario).splitlines() == [
        'market="spot"',
        "as_of=2026-08-03",
        'sku=["aws/m5.large"]',
        'change=[{accelerator="H100",factor=0.6},{part="storage",factor=2}]',
        "costs={idle_billed=true}",
    ]
    assert compact_scenario_toml(AS_BILLED) == "" and read_scenario_text(" \n") == AS_BILLED


def test_a_file_is_written_whole_and_reads_back(tmp_path):
    scenario = Scenario(name="price war", region="", changes=(RateChange(provider="gcp", factor=0.7),))
    path = tmp_path / "scenarios" / "war.toml"
    write_scenario(scenario, path)
    assert read_scenario(path) == scenario
    assert [each.name for each in path.parent.iterdir()] == ["war.toml"]
    with pytest.raises(RequestError, match=r"'.*war\.toml' is there already; choose another name, or replace it"):
        write_scenario(Scenario(market=Market.SPOT), path)
    assert read_scenario(path) == scenario
    write_scenario(Scenario(market=Market.SPOT), path, replace=True)
    assert read_scenario(path).market is Market.SPOT


def test_what_an_example_includes_is_written_out(tmp_path):
    solution = read_scenario("experiments/scenarios/solution.toml")
    write_scenario(solution, tmp_path / "copy.toml")
    assert read_scenario(tmp_path / "copy.toml") == solution
    assert [change.provider for change in solution.changes[:2]] == ["gcp", "azure"]


def test_nothing_is_left_of_a_scenario_that_cannot_be_written(tmp_path):
    with pytest.raises(ScenarioError, match="'empty' changes nothing, so there is nothing to write"):
        write_scenario(Scenario(), tmp_path / "empty.toml")
    with pytest.raises(RequestError, match="cannot be written"):
        write_scenario(Scenario(region="\udc80"), tmp_path / "broken.toml")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"'.*file/new\.toml' cannot be written: "):
        write_scenario(Scenario(market=Market.SPOT), tmp_path / "file" / "new.toml")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('include = ["a.toml"]\n', "link, include: ['a.toml'] is for files"),
        ('name = "x"', "link: changes nothing; give at least one of: market"),
        ("change=[{factor=0}]", "change: factor is 0, and a rate is above 0"),
        ("change=[{factor=1,usd_per_hour=2}]", "factor, usd_per_hour are given"),
        ("market=[", "link: not valid TOML"),
        ("costs={keep_month=1}", "did you mean 'keep_months'?"),
    ],
)
def test_what_is_wrong_with_a_text_is_reported_as_of_a_file(text, shown):
    with pytest.raises(ScenarioError) as caught:
        read_scenario_text(text, "link")
    assert shown in str(caught.value)
