"""Who spent what on what over the studies of a home: groups and totals that are those of the studies."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from tests.support.spending_home import NOVEMBER, OCTOBER, USD_PER_SECOND, put_study
from tests.support.tables import build, trial
from tracker import spend
from tracker.errors import RequestError
from tracker.pricing.currency import ExchangeRate
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.report import spend_across as module
from tracker.report.charges import charges_table
from tracker.report.spend_across import Spend, parse_by
from tracker.runner.study_lookup import table_of
from tracker.store.home import Home

DAY = 86_400.0


@pytest.fixture(scope="module")
def home(new_home):
    """Vision: ada paid for one day, half of it in October, grace for an hour; audio: nobody knows who for two hours."""
    home = new_home()
    put_study(home, "vision", [("ada", OCTOBER, DAY), ("grace", NOVEMBER, 3600)], {"team": "=search", "cc": "4711"})
    put_study(home, "audio", [("", NOVEMBER, 7200)], {"team": "sound"}, user="")
    put_study(home, "no runs yet", [], {"team": "sound"})
    return home


def usd(seconds):
    return pytest.approx(seconds * USD_PER_SECOND)


def amounts(found):
    return {tuple(row[name] for name in found.by): row["billed_usd"] for row in found.table.to_dict("records")}


def test_spend_is_distinguished_by_what_one_asks_for(home):
    assert amounts(spend(home=home)) == {("vision",): usd(DAY + 3600), ("audio",): usd(7200)}
    assert amounts(spend("month", home=home)) == {("2026-10",): usd(DAY / 2), ("2026-11",): usd(DAY / 2 + 10800)}
    assert amounts(spend("user", home=home)) == {("ada",): usd(DAY), ("",): usd(7200), ("grace",): usd(3600)}
    assert amounts(spend("tag:team", home=home)) == {("=search",): usd(DAY + 3600), ("sound",): usd(7200)}
    assert amounts(spend("tag:cc", home=home)) == {("4711",): usd(DAY + 3600), ("",): usd(7200)}
    assert amounts(spend("month,study", home=home))[("2026-11", "audio")] == usd(7200)


def test_totals_are_those_of_the_studies(home):
    spent = sum(table_of(Home(home), name).spend_usd for name in ("vision", "audio"))
    for by in (*module.BY, "tag:team", "tag:cc", "user,month,sku"):
        found = spend(by, home=home)
        assert found.total_usd == {"billed": pytest.approx(spent, rel=1e-12)}, by
        assert found.table["machine_hours"].sum() == pytest.approx((DAY + 10800) / 3600), by
    vision = spend(home=home).table.iloc[0]
    assert (vision["studies"], vision["runs"], vision["attempts"]) == (1, 2, 2)


def test_since_a_day_what_was_under_way_then_counts_by_the_time_after_it(home):
    found = spend(home=home, since=date(2026, 11, 1))
    assert amounts(found) == {("vision",): usd(DAY / 2 + 3600), ("audio",): usd(7200)}
    assert found.period[0] == datetime(2026, 11, 1, tzinfo=UTC)
    assert found.table["machine_hours"].sum() == pytest.approx((DAY / 2 + 10800) / 3600)


def test_a_scenario_prices_all_studies_anew(home):
    found = spend(home=home, scenario=Scenario(changes=(RateChange(factor=0.5),)))
    assert found.total_usd == {"repriced": usd((DAY + 10800) / 2)}
    assert found.remarks[0].startswith("scenario: ")


def test_amounts_of_different_bases_stay_apart():
    tables = [
        build([trial(number, [0.5], [100.0 * (number + 1)], price_basis=basis)], study=basis)
        for number, basis in enumerate(("billed", "estimated from timestamps"))
    ]
    found = Spend(("sku",), tuple((table, charges_table(table)) for table in tables), None, None, tables[0].currency)
    assert list(found.table)[-2:] == ["billed_usd", "estimated_from_timestamps_usd"]
    assert found.table.iloc[0][-2:].tolist() == [usd(100), usd(200)]
    assert "never summed" in found.remarks[0]
    assert "together" not in found.sentence


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("usr", "--by 'usr' is not known; did you mean 'user'?"),
        ("tag:teem", "no study has a tag 'teem'; did you mean 'team'?"),
        ("tag:", "no study has a tag ''"),
        (",", "--by names nothing"),
    ],
)
def test_what_is_not_known_is_named_with_what_is_near(home, by, said):
    with pytest.raises(RequestError) as refused:
        spend(by, home=home)
    assert said in str(refused.value)


def test_days_without_charges_are_refused(home, new_home):
    with pytest.raises(RequestError, match="is in the future; today is"):
        spend(home=home, since=date(2100, 1, 1))
    with pytest.raises(RequestError, match="nothing was charged since 2026-11-07: the last charge was on 2026-11-05"):
        spend(home=home, since=date(2026, 11, 7))
    with pytest.raises(RequestError, match="there are no studies in"):
        spend(home=new_home())
    empty = new_home()
    put_study(empty, "s", [])
    with pytest.raises(RequestError, match="nothing was charged: no study has a run yet"):
        spend(home=empty)


def test_a_sum_at_two_exchange_rates_is_refused(by_hand):
    tables = [
        by_hand.build([], study=name, currency=ExchangeRate("EUR", rate, date(2026, 1, 1), "a bank"))
        for name, rate in (("one", 1.1), ("two", 1.2))
    ]
    with pytest.raises(RequestError, match=r"different rates of EUR \('one' at \$1.1, 'two' at \$1.2\)"):
        module._one_rate(tables)


def test_names_are_read_once_each():
    assert parse_by(" study,user ,study") == ("study", "user")
    assert np.all([name in module.BY for name in parse_by(",".join(module.BY))])
