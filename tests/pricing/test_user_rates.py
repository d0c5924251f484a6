from datetime import date

import pytest

from tracker.errors import PriceBookError, RequestError
from tracker.pricing.currency import USD, exchange_rate
from tracker.pricing.price_book import PriceBook, load_price_book, open_price_book
from tracker.records import Hardware, Market

NEGOTIATED = """
[[rate]]
sku = "aws/p5.48xlarge"
market = "reserved"
usd_per_hour = 31.0
effective_from = 2026-01-01
source = "contract 4711"
"""
NEW = NEGOTIATED.replace("p5.48xlarge", "new") + "vcpu = 2\n"
DISCOUNT = """
[[rate]]
sku = "aws/m7i.large"
usd_per_hour = 0.07
effective_from = 2026-09-01
effective_to = 2026-10-01
source = "a discount for September"
"""
OWN = """
[[own]]
sku = "lab/dgx"
like = "aws/p5.48xlarge"
purchase_usd = 262800
power_kw = 10.0
lifetime_years = 5
utilisation = 0.5
pue = 1.2
usd_per_kwh = 0.1
maintenance_share = 0.25
effective_from = 2025-06-01
source = "invoice 12"
"""
EURO = """
[[currency]]
code = "EUR"
usd = 1.10
on = 2026-01-01
source = "a bank"

[[currency]]
code = "EUR"
usd = 1.16
on = 2026-11-01
source = "a bank"
"""


@pytest.fixture
def book(tmp_path):
    def read(*texts: str) -> PriceBook:
        path = tmp_path / "prices.toml"
        path.write_text("\n".join(texts))
        return open_price_book(None, path)

    return read


def test_a_negotiated_rate_is_a_price_of_the_machine_that_the_book_knows(book):
    point = book(NEGOTIATED).point("aws/p5.48xlarge", Market.RESERVED)
    assert (point.usd_per_hour, point.accelerator, point.accelerator_count) == (31.0, "H100", 8)
    assert (point.quality, point.source, point.place) == ("user", "contract 4711", "prices.toml, line 2")


def test_the_users_rate_is_taken_in_place_of_the_list_price_while_it_holds(book):
    prices = book(DISCOUNT)
    days = [date(2026, 8, 31), date(2026, 9, 1), date(2026, 9, 30), date(2026, 10, 1)]
    rates = [prices.point("aws/m7i.large", Market.ON_DEMAND, day).usd_per_hour for day in days]
    assert rates == [0.1008, 0.07, 0.07, 0.1008]
    assert prices.point("aws/m7i.large", Market.ON_DEMAND, days[1], region="eastus").usd_per_hour == 0.07


def test_own_hardware_is_priced_by_purchase_power_and_upkeep(book):
    point = book(OWN).point("lab/dgx", Market.ON_PREM)
    capital = 262800 / (5 * 8760 * 0.5)
    assert capital == pytest.approx(12.0)
    assert point.energy_usd_per_hour == pytest.approx(10.0 * 1.2 * 0.1)
    assert point.maintenance_usd_per_hour == pytest.approx(12.0 * 0.25)
    assert point.usd_per_hour == pytest.approx(12.0 + 1.2 + 3.0)
    assert (point.accelerator, point.accelerator_count, point.source) == ("H100", 8, "invoice 12")


def test_what_a_user_does_not_say_of_own_hardware_is_named_in_its_source(book):
    text = '[[own]]\nsku = "lab/box"\narchitecture = "x86_64"\nvcpu = 16\npurchase_usd = 3000\npower_kw = 0.4\n'
    point = book(text + 'effective_from = 2026-01-01\nsource = "shop"\n').point("lab/box", Market.ON_PREM)
    assert (
        point.source
        == "shop (defaults: lifetime_years 5.0, utilisation 0.6, pue 1.54, usd_per_kwh 0.09, maintenance_share 0.1)"
    )
    assert point.usd_per_hour == pytest.approx(3000 / (5 * 8760 * 0.6) * 1.1 + 0.4 * 1.54 * 0.09)


def test_own_hardware_is_what_a_machine_like_it_is_billed_as_in_its_market(book):
    machine = Hardware("Linux", "a CPU", "x86_64", 8, 2**35, accelerator="H100", accelerator_count=1)
    assert book(OWN).cheapest_for(machine, "cuda", Market.ON_PREM).sku == "lab/dgx"


def test_amounts_are_shown_by_the_newest_rate_of_a_currency_or_that_of_a_day(book):
    rates = book(EURO).exchange_rates
    assert exchange_rate("eur", rates).of(1.16) == pytest.approx(1.0)
    assert exchange_rate("EUR", rates, date(2026, 5, 1)).usd == 1.10
    assert exchange_rate("USD", ()) is USD
    with pytest.raises(PriceBookError, match=r"unknown currency 'ERU'; did you mean 'EUR'\?"):
        exchange_rate("ERU", rates)
    with pytest.raises(PriceBookError, match=r"no rate of EUR on 2025-01-01; its rates begin on: 2026-01-01"):
        exchange_rate("EUR", rates, date(2025, 1, 1))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NEGOTIATED.replace("31.0", "-1"), "line 2, rate: usd_per_hour is -1; a rate is above 0"),
        (NEGOTIATED.replace("31.0", "0"), "line 2, rate: usd_per_hour is 0;"),
        (NEGOTIATED.replace("31.0", "nan"), "line 5, rate.usd_per_hour: nan is not a number"),
        (NEGOTIATED.replace("31.0", "31000"), "at most 1000"),
        (NEGOTIATED.replace("31.0", '"31"'), "line 5, rate.usd_per_hour: '31' is not a number"),
        (NEGOTIATED.replace("usd_per_hour = 31.0\n", ""), "line 2, rate.usd_per_hour: missing"),
        (NEGOTIATED.replace("usd_per_hour", "usd_an_hour"), "line 5, rate.usd_an_hour: unknown key; did you mean"),
        (NEGOTIATED.replace('"reserved"', '"spto"'), "did you mean 'spot'?"),
        (NEGOTIATED.replace("2026-01-01", '"2026-01-01"'), "is not a date like 2026-07-20 (without quotes)"),
        (NEGOTIATED.replace("2026-01-01", "2026-01-01T10:00:00"), "is not a date like"),
        (
            NEGOTIATED.replace("aws/p5.48xlarge", "p5") + "vcpu = 2\narchitecture = 'arm64'\n",
            "sku is 'p5', not 'provider/",
        ),
        (
            NEGOTIATED.replace("p5.48xlarge", "p5.48xlage"),
            "unknown SKU 'aws/p5.48xlage'; did you mean 'aws/p5.48xlarge'",
        ),
        (
            NEGOTIATED.replace("p5.48xlarge", "new") + "vcpu = 2\n",
            "aws/new is new, without an accelerator: it needs arch",
        ),
        (NEGOTIATED.replace("contract", "contract\\u001b[31m"), "a text is printable and of at most 500 characters"),
        (NEGOTIATED.replace("contract", "x" * 501), "a text is printable and of at most 500 characters"),
        (EURO.replace("2026-11-01", "2026-01-01"), "currency: a second rate of EUR on 2026-01-01"),
        (EURO.replace('"EUR"', '"euro"'), "currency.code: 'EURO' is not a code of three letters"),
        (EURO.replace('"EUR"', '"USD"'), "currency.code: 'USD' is not a code of three letters"),
        (NEGOTIATED + "ram_gb = 3\n", "aws/p5.48xlarge is in the book with another ram_gb"),
        (NEGOTIATED + NEGOTIATED, "a second rate for aws/p5.48xlarge, reserved on 2026-01-01"),
        (
            OWN.replace("aws/p5.48xlarge", "aws/p5.48xlage"),
            "line 4, own.like: unknown SKU 'aws/p5.48xlage'; did you mean",
        ),
        (
            OWN.replace("utilisation = 0.5", "utilisation = 0"),
            "line 8, own.utilisation: 0 is not a number from 0.001 to 1",
        ),
        (OWN.replace("pue = 1.2", "pue = 0.5"), "own.pue: 0.5 is not a number from 1 to 5"),
        (OWN.replace("power_kw = 10.0\n", ""), "own.power_kw: missing"),
        (EURO.replace("1.16", "0"), "line 10, currency.usd: 0 is not a number from"),
        ("[[rates]]\n", "line 1, rates: unknown table; did you mean 'rate'?"),
        ("rate = 3\n", "rate: not a list of tables; write [[rate]]"),
        ("[[rate]\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_reported_with_its_line(book, text, shown):
    with pytest.raises(PriceBookError) as caught:
        book(text)
    assert shown in str(caught.value)
    assert "prices.toml" in str(caught.value)


def test_all_that_is_wrong_is_reported_at_once(book):
    with pytest.raises(PriceBookError) as caught:
        book(NEGOTIATED.replace("31.0", "-1"), OWN.replace("10.0", "-3"))
    assert str(caught.value).splitlines()[0].endswith("prices.toml: 2 problems")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"price file '.*none.toml' cannot be read: No such file"):
        open_price_book(None, tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(RequestError, match=r"price file '.*folder.toml' cannot be read: Is a directory"):
        open_price_book(None, tmp_path / "folder.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match="is not UTF-8 text"):
        open_price_book(None, tmp_path / "binary.toml")


def test_a_file_in_which_nothing_is_said_yet_changes_nothing(book):
    assert book("# [[rate]]\n").points == load_price_book().points


def test_a_rate_that_has_ended_or_not_started_is_not_taken_for_todays(book):
    ended = NEGOTIATED.replace("2026-01-01", "2024-01-01\neffective_to = 2024-06-01").replace("reserved", "on_demand")
    future = NEGOTIATED.replace("2026-01-01", "2090-01-01").replace("reserved", "on_demand")
    for text in (ended, future):
        prices = book(text)
        assert prices.point("aws/p5.48xlarge", Market.ON_DEMAND).usd_per_hour == 55.04
        assert "user" not in {point.quality for point in prices.offers()}
    assert book(ended).point("aws/p5.48xlarge", Market.ON_DEMAND, date(2024, 3, 1)).usd_per_hour == 31.0


def test_the_users_rate_is_taken_also_where_the_listed_one_is_lower(book):
    dear = DISCOUNT.replace("aws/m7i.large", "gcp/e2-standard-2").replace("0.07", "0.9").replace("effective_to", "#")
    prices = book(dear)
    assert prices.point("gcp/e2-standard-2", Market.ON_DEMAND).usd_per_hour == 0.9
    machine = Hardware("Linux", "a CPU", "x86_64", 2, 2**33)
    assert prices.cheapest_for(machine, "cpu", Market.ON_DEMAND).sku == "azure/Standard_F2s_v2"


def test_the_same_file_named_twice_counts_once(book, tmp_path):
    once = book(NEGOTIATED)
    assert open_price_book(None, tmp_path / "prices.toml", tmp_path / "." / "prices.toml").points == once.points


def test_the_installed_book_stays_as_it_is(book):
    before = load_price_book().version
    assert book(NEGOTIATED).version != before
    assert load_price_book().version == before
