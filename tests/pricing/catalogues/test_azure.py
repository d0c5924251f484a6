"""Azure's live prices, read from a real server that answers as the API does."""

import time
from datetime import date

import pytest

from tests.support.http_server import Server
from tracker.errors import CatalogueError
from tracker.pricing.catalogues import azure
from tracker.pricing.catalogues.azure import fetch_azure
from tracker.pricing.price_book import PriceBook, load_price_book
from tracker.records import Market

BOOK = load_price_book()
TODAY = date(2026, 12, 1)
D2S = BOOK.point("azure/Standard_D2s_v5", Market.ON_DEMAND)
A100 = BOOK.point("azure/Standard_NC24ads_A100_v4", Market.ON_DEMAND)
ONLY_D2S = PriceBook((D2S,))


def meter(machine="D2s v5", price=0.096, **changes) -> dict:
    """A row as the API has it, of a Linux machine on demand."""
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "eastus",
        "location": "US East",
        "effectiveStartDate": "2021-11-01T00:00:00Z",
        "meterId": "001fa4dd-bbe2-5502-b172-8a1af70ea8b8",
        "meterName": machine,
        "productName": "Virtual Machines Dsv5 Series",
        "skuName": machine,
        "serviceName": "Virtual Machines",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": f"Standard_{machine.replace(' ', '_')}",
        **changes,
    }


def page(*rows, following=None) -> dict:
    return {"BillingCurrency": "USD", "Items": list(rows), "NextPageLink": following, "Count": len(rows)}


def fetch(server: Server, *rows, book=ONLY_D2S, **options):
    server.answers["/prices"] = page(*rows)
    return fetch_azure(book, TODAY, url=f"{server.url}/prices", **options)


def test_azure_is_read_page_by_page_and_gives_linux_on_demand_and_spot(server):
    a100 = meter("NC24ads A100 v4", 3.5, productName="Virtual Machines NCadsA100v4 Series")
    first = page(
        meter(price=0.1),
        meter(price=0.188, productName="Virtual Machines Dsv5 Series Windows"),
        meter(price=0.188, productName="Dsv5 Series Cloud Services"),
        meter(price=0.02, skuName="D2s v5 Low Priority", meterName="D2s v5 Low Priority"),
        following=f"{server.url}/prices?$skip=1000",
    )
    second = page(
        a100,
        meter(price=0.0182, skuName="D2s v5 Spot", meterName="D2s v5 Spot"),
        meter(price=500.0, type="Reservation", reservationTerm="1 Year"),
        meter(price=0.08, type="DevTestConsumption"),
        meter("M128s", 13.3),
        meter(price=0.09, armRegionName="westus"),
    )
    server.answers = {"/prices": first, "/prices?$skip=1000": second}
    fetched = fetch_azure(PriceBook((D2S, A100)), TODAY, url=f"{server.url}/prices")
    assert fetched.refused == ()
    assert [(point.sku, point.market, point.usd_per_hour) for point in fetched.points] == [
        (D2S.sku, "on_demand", 0.1),
        (A100.sku, "on_demand", 3.5),
        (D2S.sku, "spot", 0.0182),
    ]
    assert {agent for _, _, agent in server.asked} == {"cost-quality-tracker (prices update)"}


def test_azure_is_asked_for_the_skus_of_the_book_in_its_regions_a_few_at_a_time(server):
    server.answers["/prices"] = page()
    fetched = fetch_azure(BOOK, TODAY, url=f"{server.url}/prices")
    known = [point for point in BOOK.points if point.provider == "azure"]
    for region in {point.region for point in known}:
        filters = [each for each in server.filters if f"armRegionName eq '{region}'" in each]
        assert all(each.count("armSkuName eq") <= azure.SKUS_A_REQUEST for each in filters)
        for point in known:
            name = point.sku.removeprefix("azure/")
            assert sum(f"armSkuName eq '{name}'" in each for each in filters) == 1
        assert f"azure: none of the price book's SKUs has a price in region '{region}'" in fetched.refused


def test_azure_is_asked_for_other_regions_where_they_are_named(server):
    fetched = fetch(server, meter(armRegionName="westeurope", price=0.115), regions=["westeurope"])
    assert [(point.region, point.usd_per_hour) for point in fetched.points] == [("westeurope", 0.115)]
    assert len(server.filters) == 1


def test_an_azure_point_is_the_books_machine_at_the_rate_of_today(server):
    (point,) = fetch(server, meter(price=0.1, armSkuName="standard_d2S_v5")).points
    assert point.machine == D2S.machine
    assert (point.sku, point.spec_source) == (D2S.sku, D2S.spec_source)
    assert (point.effective_from, point.effective_to) == (TODAY, None)
    assert (point.quality, point.date_kind, point.licence) == ("fetched", "live catalogue read", "public API")
    assert point.source == f"{server.url}/prices, meter 001fa4dd-bbe2-5502-b172-8a1af70ea8b8"


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (meter(currencyCode="EUR"), "azure/Standard_D2s_v5: currencyCode is 'EUR'; only 'USD' is taken (in eastus)"),
        (meter(unitOfMeasure="100 Hours"), "azure/Standard_D2s_v5: unitOfMeasure is '100 Hours'"),
        (meter(price=0.0), "azure/Standard_D2s_v5: usd_per_hour is 0; a rate is above 0"),
        (meter(price=float("nan")), "azure/Standard_D2s_v5: usd_per_hour is nan"),
        (meter(price=None), "azure: a row that is not as documented (TypeError"),
        (meter(effectiveStartDate="soon"), "azure: a row that is not as documented (ValueError"),
        ({"type": "Consumption"}, "azure: a row that is not as documented (KeyError: 'skuName')"),
        ("a text", "azure: a row that is not as documented (TypeError"),
    ],
)
def test_a_bad_azure_row_is_refused_with_its_reason_and_the_others_are_taken(server, row, shown):
    good = meter(price=0.0182, skuName="D2s v5 Spot")
    fetched = fetch(server, row, good, row)
    assert [point.market for point in fetched.points] == ["spot"]
    assert len(fetched.refused) == 1
    assert fetched.refused[0].startswith(shown)


def test_an_azure_meter_that_does_not_hold_today_is_left_out(server):
    fetched = fetch(
        server,
        meter(price=0.2, effectiveStartDate="2026-12-02T00:00:00Z"),
        meter(price=0.3, effectiveEndDate="2026-12-01T00:00:00Z"),
        meter(price=0.1, effectiveEndDate="2026-12-31T00:00:00Z"),
    )
    assert [point.usd_per_hour for point in fetched.points] == [0.1]


def test_where_azure_meters_contradict_each_other_the_primary_one_holds(server):
    fetched = fetch(server, meter(price=0.2, isPrimaryMeterRegion=False), meter(price=0.1), meter(price=0.1))
    assert [point.usd_per_hour for point in fetched.points] == [0.1]


def test_where_two_primary_azure_meters_contradict_each_other_neither_is_taken(server):
    fetched = fetch(server, meter(price=0.1), meter(price=0.2))
    assert fetched.points == ()
    assert fetched.refused == ("azure/Standard_D2s_v5 (eastus, on_demand): the API gives several rates: 0.1, 0.2",)


def test_azure_out_of_reach_is_reported_in_one_line(closed_port):
    url = f"http://127.0.0.1:{closed_port}/api/retail/prices"
    with pytest.raises(CatalogueError) as caught:
        fetch_azure(BOOK, TODAY, url=url)
    assert str(caught.value) == f"{url} cannot be reached: Connection refused"
    assert caught.value.exit_code == 1


def test_a_name_that_cannot_be_resolved_is_reported_in_one_line():
    with pytest.raises(CatalogueError, match=r"^https://prices\.invalid/ cannot be reached: [^\n<>]+$"):
        fetch_azure(BOOK, TODAY, url="https://prices.invalid/")


def test_a_server_that_stays_silent_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(azure, "TIMEOUT_SECONDS", 0.2)
    server.answers["/prices"] = lambda query: time.sleep(0.5) or page()
    with pytest.raises(CatalogueError, match=r"cannot be reached: no answer in 0\.2 seconds"):
        fetch_azure(ONLY_D2S, TODAY, url=f"{server.url}/prices")


def test_a_busy_azure_is_asked_again(server):
    server.answers["/prices"] = [429, page(meter(price=0.1))]
    assert len(fetch_azure(ONLY_D2S, TODAY, url=f"{server.url}/prices").points) == 1


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (404, "cannot be reached: HTTP 404"),
        (b"<html>sign in to this network</html>", "makes no sense: no JSON object with a list of Items"),
        (b"[]", "makes no sense: no JSON object with a list of Items"),
        ({"Items": None}, "makes no sense: no JSON object with a list of Items"),
        (page(following="http://elsewhere.invalid/prices"), "its next page is on another host"),
    ],
)
def test_an_answer_that_makes_no_sense_is_reported(server, answer, shown):
    server.answers["/prices"] = answer
    with pytest.raises(CatalogueError) as caught:
        fetch_azure(ONLY_D2S, TODAY, url=f"{server.url}/prices")
    assert str(caught.value).startswith(f"{server.url}/prices ")
    assert shown in str(caught.value)


def test_pages_without_end_are_given_up(server, monkeypatch):
    monkeypatch.setattr(azure, "MOST_PAGES", 3)
    server.answers["/prices"] = page(following=f"{server.url}/prices")
    with pytest.raises(CatalogueError, match="more than 3 pages"):
        fetch_azure(ONLY_D2S, TODAY, url=f"{server.url}/prices")
