from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import PriceBookError, RequestError, ScenarioError
from tracker.pricing.price_book import load_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario, compose
from tracker.pricing.scenario_file import read_scenario
from tracker.records import CostPart, Market
from tracker.study.costs import CostTerms

BOOK = load_price_book()
E2 = BOOK.point("gcp/e2-standard-2", Market.ON_DEMAND)
P5 = BOOK.point("aws/p5.48xlarge", Market.ON_DEMAND)
OWN = replace(
    P5,
    sku="lab/dgx",
    provider="lab",
    market=Market.ON_PREM,
    usd_per_hour=16.0,
    energy_usd_per_hour=1.0,
    maintenance_usd_per_hour=3.0,
)


def changed(point, *changes):
    return Scenario(name="test", changes=changes).point_for(point, BOOK)


# --- which rates are taken -----------------------------------------------------------------------


def test_nothing_chosen_is_the_billed_rate_whatever_became_of_it_since():
    billed = replace(E2, usd_per_hour=0.5)
    assert Scenario().point_for(billed, BOOK) is billed


def test_another_market_region_day_or_sku_is_looked_up():
    assert Scenario(market=Market.SPOT).point_for(E2, BOOK).usd_per_hour == 0.040212
    assert Scenario(as_of=date(2024, 3, 1)).point_for(P5, BOOK).usd_per_hour == 98.32
    assert Scenario(skus=("aws/m5.large",), as_of=date(2024, 3, 1)).point_for(E2, BOOK).usd_per_hour == 0.096
    assert Scenario(region="europe-west4").point_for(E2, BOOK).usd_per_hour == 0.073772
    with pytest.raises(PriceBookError, match=r"no on_demand rate in region 'eastus'; it has: .*, us-central1"):
        Scenario(region="eastus").point_for(E2, BOOK)


def test_a_day_before_the_first_price_is_reported_with_those_that_exist_and_machines_that_had_one():
    with pytest.raises(PriceBookError, match=r"begin on: 2026-08-03; of the same kind .*aws/m5\.large"):
        Scenario(as_of=date(2024, 3, 1)).point_for(E2, BOOK)


def test_another_kind_of_device_is_never_re_priced():
    scenario = Scenario(skus=("aws/m7i.xlarge",))  # four vCPU; the run took one of two
    assert scenario.point_for(E2, BOOK).sku == E2.sku
    assert Scenario(skus=("gcp/a3-highgpu-8g",)).point_for(P5, BOOK).sku == "gcp/a3-highgpu-8g"
    both = Scenario(skus=("aws/m5.large", "gcp/a3-highgpu-8g"))
    assert [both.point_for(point, BOOK).sku for point in (E2, P5)] == ["aws/m5.large", "gcp/a3-highgpu-8g"]
    with pytest.raises(PriceBookError, match=r"unknown SKU 'aws/m7i\.xlage'; did you mean"):
        Scenario(skus=("aws/m7i.xlage",)).point_for(E2, BOOK)


# --- what is changed about them ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rate"),
    [
        (RateChange(factor=0.5), 27.52),
        (RateChange(provider="aws", accelerator="H100", factor=0.5), 27.52),
        (RateChange(provider="gcp", factor=0.5), 55.04),
        (RateChange(accelerator="A100-80GB", factor=0.5), 55.04),
        (RateChange(usd_per_hour=40.0), 40.0),
        (RateChange(usd_per_accelerator_hour=2.0), 16.0),
        (RateChange(decline_per_year=0.5, since=date(2026, 1, 1), until=date(2028, 1, 1)), 55.04 / 4),
        (RateChange(decline_per_year=0.5, until=date(2020, 1, 1)), 55.04),
        (RateChange(part="storage", factor=0.5), 55.04),
    ],
)
def test_a_change_concerns_those_that_it_names(change, rate):
    point = changed(P5, change)
    assert point.usd_per_hour == pytest.approx(rate, rel=2e-3)
    assert (point is P5) == (rate == 55.04 and not change.decline_per_year)


def test_changes_follow_one_another():
    assert changed(P5, RateChange(usd_per_hour=40.0), RateChange(factor=0.5)).usd_per_hour == pytest.approx(20.0)
    assert changed(P5, RateChange(factor=0.5), RateChange(usd_per_hour=40.0)).usd_per_hour == pytest.approx(40.0)


def test_own_hardware_may_change_in_its_electricity_and_a_new_rate_stands_for_all_of_it():
    dearer = changed(OWN, RateChange(part="energy", factor=3.0))
    assert (dearer.usd_per_hour, dearer.energy_usd_per_hour) == (pytest.approx(18.0), pytest.approx(3.0))
    halved = changed(OWN, RateChange(factor=0.5))
    assert (halved.usd_per_hour, halved.maintenance_usd_per_hour) == (pytest.approx(6.0 + 0.5 + 3.0), 3.0)
    assert changed(OWN, RateChange(usd_per_hour=8.0)).maintenance_usd_per_hour == pytest.approx(1.5)


def test_a_changed_rate_says_where_it_is_from():
    assert changed(P5, RateChange(factor=0.5)).source == f"{P5.source}; changed by scenario test"


def test_a_rate_that_cannot_be_one_is_refused():
    with pytest.raises(PriceBookError, match="usd_per_hour is 5504; a rate is above 0 and at most 1000"):
        changed(P5, RateChange(factor=100.0))


def test_other_parts_are_multiplied_and_terms_replaced():
    scenario = Scenario(
        changes=(RateChange(part="storage", factor=2.0), RateChange(part="storage", provider="aws", factor=3.0)),
        terms={"keep_months": 6.0},
    )
    assert scenario.part_factor(CostPart.STORAGE, P5) == 6.0
    assert scenario.part_factor(CostPart.STORAGE, E2) == 2.0
    assert scenario.part_factor(CostPart.DATA, E2) == 1.0
    assert scenario.cost_terms(CostTerms(maintenance_share=0.1)) == CostTerms(maintenance_share=0.1, keep_months=6.0)


scenarios = st.builds(
    Scenario,
    name=st.sampled_from(["a", "b", ""]),
    market=st.none() | st.sampled_from([Market.SPOT, Market.ON_DEMAND]),
    as_of=st.none() | st.just(date(2026, 8, 3)),
    changes=st.lists(st.builds(RateChange, factor=st.floats(0.1, 2)), max_size=3).map(tuple),
    terms=st.dictionaries(st.sampled_from(["keep_months", "maintenance_share"]), st.floats(0, 10)),
)


@given(one=scenarios, two=scenarios, three=scenarios)
def test_scenarios_compose(one, two, three):
    assert one.then(two).then(three) == one.then(two.then(three)) == compose([one, two, three])
    assert Scenario(terms={}).then(one) == one == one.then(Scenario(terms={}))
    together = one.then(two).point_for(E2, BOOK)
    factor = 1.0
    for change in (*one.changes, *two.changes):
        factor *= change.factor
    chosen = BOOK.point(E2.sku, two.market or one.market or E2.market)
    assert together.usd_per_hour == pytest.approx(chosen.usd_per_hour * factor)


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    def write(**texts: str):
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(text)
        return read_scenario(tmp_path / f"{next(iter(texts))}.toml")

    return write


WHOLE = """
name = "price war"
market = "spot"
as_of = 2026-08-03

[[change]]
accelerator = "H100"
factor = 0.6

[[change]]
part = "storage"
decline_per_year = 0.1
since = 2026-01-01
until = 2027-01-01

[costs]
interruptions_per_hour = 0.2
"""


def test_a_file_is_read_whole_and_reported_in_words(files):
    scenario = files(whole=WHOLE)
    assert scenario.sentences == (
        "market spot",
        "prices of 2026-08-03",
        "compute of H100 × 0.6",
        "storage of everything 0.1 lower each year from 2026-01-01 until 2027-01-01",
        "interruptions_per_hour = 0.2",
    )
    assert scenario.document["changes"][0] == {"part": "compute", "accelerator": "H100", "factor": 0.6}


def test_included_files_come_first(files):
    scenario = files(
        top='include = ["a.toml", "b.toml"]\nmarket = "on_demand"\n',
        a='market = "spot"\n[[change]]\nfactor = 0.5\n',
        b="[[change]]\nfactor = 0.25\n",
    )
    assert scenario.market is Market.ON_DEMAND
    assert [change.factor for change in scenario.changes] == [0.5, 0.25]
    assert scenario.name == "a + b + top"


def test_a_circle_is_reported_in_full(files):
    with pytest.raises(ScenarioError, match=r"includes itself: a.toml → b.toml → a.toml"):
        files(a='include = ["b.toml"]\n', b='include = ["a.toml"]\n')
    with pytest.raises(ScenarioError, match=r"includes itself: a.toml → a.toml"):
        files(a='include = ["a.toml"]\n')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "changes nothing; give at least one of: market, region, sku, as_of, include, change, costs"),
        ('name = "only a name"\n', "changes nothing"),
        ("[costs]\n", "changes nothing"),
        ('market = "spto"\n', "line 1, market: 'spto' is not one of its values; did you mean 'spot'?"),
        ('mraket = "spot"\n', "line 1, mraket: unknown key; did you mean 'market'?"),
        ('as_of = "2024-03-01"\n', "line 1, as_of: '2024-03-01' is not a date like"),
        ("[[change]]\n", "line 1, change: nothing is given; a change has exactly one of: factor"),
        ("[[change]]\nfactor = 1\nusd_per_hour = 2\n", "line 1, change: factor, usd_per_hour are given"),
        ("[[change]]\nfactor = -1\n", "line 2, change.factor: -1 is not a number from 0 to 1e+06"),
        ("[[change]]\nfactor = 0\n", "change: factor is 0, and a rate is above 0"),
        ("[[change]]\nfactor = nan\n", "line 2, change.factor: nan is not"),
        ("[[change]]\nusd_per_hour = 0\n", "line 2, change.usd_per_hour: 0 is not"),
        (
            "[[change]]\nfactor = 1\n\n[[change]]\nfactro = 1\n",
            "line 5, change.factro: unknown key; did you mean 'factor'?",
        ),
        ('[[change]]\npart = "date"\nfactor = 1\n', "did you mean 'data'?"),
        ('[[change]]\npart = "data"\nusd_per_hour = 1\n', "a new rate is one of compute"),
        ("[[change]]\ndecline_per_year = 0.2\n", "decline_per_year needs until"),
        ('[[change]]\npart = "data"\ndecline_per_year = 0.2\nuntil = 2027-01-01\n', "the decline of data needs since"),
        ("[[change]]\nfactor = 1\nuntil = 2027-01-01\n", "until belongs to decline_per_year only"),
        ("[[change]]\ndecline_per_year = 0.2\nsince = 2027-01-01\nuntil = 2026-01-01\n", "is not after since"),
        ("change = 3\n", "not a list of tables"),
        ("[costs]\nkeep_month = 3\n", "line 2, costs.keep_month: unknown key; did you mean 'keep_months'?"),
        ("[costs]\nkeep_months = -3\n", "costs.keep_months: -3 is not a number from 0"),
        ("costs = 3\n", "costs: 3 is not a table"),
        ('include = "a.toml"\n', "include: 'a.toml' is not a list of file names"),
        ("[[change]\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_reported_with_its_line(files, text, shown):
    with pytest.raises(ScenarioError) as caught:
        files(wrong=text)
    assert shown in str(caught.value)
    assert "wrong.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"scenario file '.*none.toml' cannot be read: No such file"):
        read_scenario(tmp_path / "none.toml")
