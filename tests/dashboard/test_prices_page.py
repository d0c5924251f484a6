"""The page Prices, run without a browser: the scenario builder, its files, the book and a SKU's history."""

from __future__ import annotations

import json
import shlex
from datetime import date

import pytest

from tests.support.command import tracker
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario, read_scenario_text
from tracker.pricing.scenario_writing import compact_scenario_toml
from tracker.records import Market

FACTOR = "what-if-0-amount"


@pytest.fixture
def open_prices(open_page, home):
    """Opens the page at a study and under a scenario, as a link does."""

    def open_at(study="docstrings", scenario=None):
        text = compact_scenario_toml(scenario) if isinstance(scenario, Scenario) else scenario
        return open_page("Prices", study=study, **({} if text is None else {"scenario": text}))

    yield open_at
    for path in (home / "scenarios").glob("*"):
        path.unlink()


def words(elements):
    return " | ".join(each.value.replace("\\", "") for each in elements)


def scenario_of(page):
    """The scenario that the page's link has now."""
    given = page.query_params.get("scenario", "")
    return read_scenario_text(given if isinstance(given, str) else given[0])


def levels(page):
    """The visible table of the comparison; a table has its twin of the same columns before it."""
    return tables(page, "after ÷ before")[-1]


def tables(page, column):
    return [table.value for table in page.dataframe if column in table.value]


def test_the_page_opens_at_the_billed_prices(open_prices):
    page = open_prices()
    assert not page.exception and not page.error
    assert "These are the billed prices" in words(page.info)
    assert len(levels(page)) == 22
    assert levels(page)["after ÷ before"].eq(1.0).all()
    assert levels(page)["quality"].is_monotonic_decreasing


def test_a_change_re_prices_what_is_on_screen_and_lives_in_the_link(open_prices):
    page = open_prices()
    page.button(key="what-if-add").click().run()
    page.number_input(key=FACTOR).set_value(0.5).run()
    page.selectbox(key="what-if-0-provider").set_value("aws").run()
    assert not page.exception
    assert scenario_of(page) == Scenario(changes=(RateChange(provider="aws", factor=0.5),))
    assert levels(page)["after ÷ before"].tolist() == pytest.approx([0.5] * 22)
    assert "The same quality costs 0.5 times as much." in words(page.markdown)
    page.button(key="what-if-0-remove").click().run()
    assert scenario_of(page).is_empty
    assert levels(page)["after ÷ before"].eq(1.0).all()


def test_a_link_fills_the_form(open_prices):
    scenario = Scenario(
        name="war <b>",
        market=Market.SPOT,
        as_of=date(2026, 8, 3),
        skus=("aws/m5.large",),
        changes=(
            RateChange(part="storage", factor=2.0),
            RateChange(accelerator="H100", decline_per_year=0.2, until=date(2028, 1, 1)),
        ),
        terms={"keep_months": 6.0, "idle_billed": True},
    )
    page = open_prices(scenario=scenario)
    assert not page.exception
    assert page.text_input(key="what-if-name").value == "war <b>"
    assert page.selectbox(key="what-if-market").value == "spot"
    assert page.selectbox(key="what-if-1-accelerator").value == "H100"
    assert page.date_input(key="what-if-1-until").value == date(2028, 1, 1)
    assert page.toggle(key="what-if-idle_billed-term").value is True
    page.number_input(key="what-if-keep_months-term").set_value(3.0).run()
    assert scenario_of(page).terms == {"keep_months": 3.0, "idle_billed": True}
    assert scenario_of(page).changes == scenario.changes and scenario_of(page).skus == scenario.skus


def test_the_frontier_of_a_saved_scenario_is_that_of_the_command(open_prices, home):
    page = open_prices()
    page.date_input(key="what-if-as_of").set_value(date(2024, 3, 1)).run()
    page.button(key="what-if-add").click().run()
    page.number_input(key=FACTOR).set_value(0.7).run()
    page.text_input(key="what-if-name").set_value("Cheap chips").run()
    page.text_input(key="what-if-save-name").set_value("cheap chips").run()
    page.button(key="what-if-save-now").click().run()
    assert not page.exception and not page.error
    command = shlex.split(page.code[0].value)
    assert command[:4] == ["tracker", "frontier", "docstrings", "--scenario"]
    path = command[4]
    assert read_scenario(path) == scenario_of(page)
    document = json.loads(tracker(*command[1:], "--json").stdout)
    shown = [(point["quality"], point["price_usd"]) for point in document["points"]]
    rows = levels(page)
    after = dict(zip(rows["quality"], rows["price after"], strict=True))
    unit = 1e3 if "m$" in words(page.markdown) else 1e6
    assert [after[quality] / unit for quality, _ in shown] == pytest.approx([price for _, price in shown])
    assert document["scenario"]["name"] == "Cheap chips"


def test_a_file_is_not_replaced_unasked_and_can_be_opened(open_prices, home):
    page = open_prices(scenario=Scenario(name="one", as_of=date(2024, 3, 1)))
    for _ in range(2):
        page.button(key="what-if-save-now").click().run()
    assert "is there already; choose another name, or replace it" in words(page.error)
    assert [path.name for path in (home / "scenarios").iterdir()] == ["one.toml"]
    page.toggle(key="what-if-save-replace").set_value(True).run()
    page.button(key="what-if-save-now").click().run()
    assert not page.error
    other = open_prices()
    other.selectbox(key="what-if-open-file").set_value("one").run()
    other.button(key="what-if-open-now").click().run()
    assert scenario_of(other) == Scenario(name="one", as_of=date(2024, 3, 1))
    assert other.date_input(key="what-if-as_of").value == date(2024, 3, 1)


def test_an_example_is_opened_by_its_path(open_prices):
    page = open_prices()
    page.text_input(key="what-if-open-path").set_value("experiments/scenarios/solution.toml").run()
    page.button(key="what-if-open-now").click().run()
    assert not page.exception and not page.error
    assert scenario_of(page) == read_scenario("experiments/scenarios/solution.toml")
    page.text_input(key="what-if-open-path").set_value("no/such.toml").run()
    page.button(key="what-if-open-now").click().run()
    assert "scenario file 'no/such.toml' cannot be read: No such file or directory" in words(page.error)
    assert scenario_of(page).name == "cloud + solution"


def test_what_is_wrong_is_a_sentence_and_the_last_good_scenario_stays(open_prices):
    good = Scenario(changes=(RateChange(factor=0.5),))
    page = open_prices(scenario=good)
    page.number_input(key=FACTOR).set_value(0.0).run()
    assert "change: factor is 0, and a rate is above 0" in words(page.error)
    assert scenario_of(page) == good and levels(page)["after ÷ before"].iloc[0] == pytest.approx(0.5)
    page.selectbox(key="what-if-0-how").set_value("decline_per_year").run()
    assert not page.error
    page.number_input(key=FACTOR).set_value(1.0).run()
    assert "decline_per_year" in words(page.error) and "from -10 to 0.9999" in words(page.error)
    page.number_input(key=FACTOR).set_value(0.3).run()
    page.date_input(key="what-if-0-since").set_value(date(2040, 1, 1)).run()
    assert "is not after since 2040-01-01" in words(page.error)
    page.date_input(key="what-if-0-since").set_value(None).run()
    assert not page.error and scenario_of(page).changes[0].decline_per_year == 0.3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('change=[{accelerator="H1000",factor=0.5}]', "unknown accelerator 'H1000'; did you mean 'H100'?"),
        ('sku=["aws/p5.48xlarge"]', "is another kind of device"),
        ("as_of=1999-01-01", "no on_demand rate on 1999-01-01"),
        ('region="eastus"', "in region 'eastus'"),
    ],
)
def test_a_scenario_that_does_not_fit_the_study_leaves_the_form_usable(open_prices, text, shown):
    page = open_prices(scenario=text)
    assert not page.exception
    assert shown in words(page.error)
    page.button(key="billed").click().run()
    assert not page.error and len(levels(page)) == 22


def test_a_link_whose_scenario_cannot_be_read_leads_back(open_prices):
    page = open_prices(scenario="market=[")
    assert "the scenario of this link: not valid TOML" in words(page.error)
    page.button(key="billed").click().run()
    assert not page.error and not page.exception


def test_a_study_without_a_point_is_reported(open_prices):
    page = open_prices("just <started> $1 🦊", scenario=Scenario(market=Market.SPOT))
    assert not page.exception
    assert levels(page).empty


def test_the_book_is_searched(open_prices):
    page = open_prices()
    page.text_input(key="book-search").set_value("P5.48xlarge h100").run()
    rates = tables(page, "licence")[0]
    assert set(rates["sku"]) == {"aws/p5.48xlarge"} and rates["source"].str.len().min() > 5
    today = len(rates)
    page.toggle(key="book-dated").set_value(True).run()
    assert len(tables(page, "licence")[0]) > today
    page.text_input(key="book-search").set_value("no such machine").run()
    assert tables(page, "licence")[0].empty and not page.exception


def test_the_history_of_a_sku_is_a_chart_with_its_table(open_prices):
    page = open_prices()
    page.selectbox(key="view-sku").set_value("aws/p5.48xlarge").run()
    rates = tables(page, "licence")[-1]
    assert {98.32, 55.04} <= set(rates["usd_per_hour"])
    assert "aws/p5.48xlarge" in page.query_params["sku"]
