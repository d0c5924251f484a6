"""Live prices of Azure's virtual machines, from its public Retail Prices API.

The API's rows are meters, of which several share a SKU's name: for Linux, for Windows, for classic Cloud Services at
the Windows rate, for spot, and more. Source: https://learn.microsoft.com/rest/api/cost-management/retail-prices
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tracker.errors import CatalogueError, PriceBookError
from tracker.pricing.catalogues.fetched import TIMEOUT_SECONDS, Fetched, Offer, offer_of
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import Market

AZURE_PRICES_URL = "https://prices.azure.com/api/retail/prices"
USER_AGENT = "cost-quality-tracker (prices update)"
LICENCE = "public API"
SKUS_A_REQUEST = 15
"""A filter of an OData service may have some hundred parts, and each name is three of them."""
MOST_PAGES = 200
"""Of up to a thousand rows each; no question that is asked here has more than a few."""

_OTHER_PRODUCTS = ("Windows", "Cloud Services", "Dedicated")
_OTHER_METERS = ("Low Priority",)

_Offers = dict[tuple[str, str, Market], list[tuple[bool, PricePoint]]]
"""By SKU, region and market the points found, each with whether it is of the primary meter."""


def fetch_azure(book: PriceBook, today: date, regions: Collection[str] = (), url: str = AZURE_PRICES_URL) -> Fetched:
    """What the API at ``url`` has of the book's Azure SKUs: Linux, on demand and spot, in USD.

    ``regions`` are Azure's own names (eastus); empty, those that the book has Azure rates of. Machines are as the book
    describes them. Raises CatalogueError where the API cannot be reached or its answers make no sense.
    """
    known = [point for point in book.points if point.provider == "azure" and point.quality != "user"]
    machines = {point.sku.removeprefix("azure/").casefold(): point for point in known}
    wanted = sorted(set(regions)) or sorted({point.region for point in known if point.region})
    reader = _Reader(machines, today, url)
    with _session() as session:
        for region in wanted:
            reader.read(session, region)
    return reader.fetched()


class _Reader:
    """Collects offers over pages and regions."""

    def __init__(self, machines: Mapping[str, PricePoint], today: date, url: str) -> None:
        self._machines = machines
        self._names = sorted(point.sku.removeprefix("azure/") for point in machines.values())
        self._today = today
        self._url = url
        self._offers: _Offers = defaultdict(list)
        self._refused: list[str] = []

    def read(self, session: requests.Session, region: str) -> None:
        """Take in what the API has in ``region``."""
        before = len(self._offers) + len(self._refused)
        for start in range(0, len(self._names), SKUS_A_REQUEST):
            names = self._names[start : start + SKUS_A_REQUEST]
            for row in _rows(session, self._url, _filter(names, region)):
                self._take(row, region)
        if len(self._offers) + len(self._refused) == before:
            self._refused.append(f"azure: none of the price book's SKUs has a price in region {region!r}")

    def fetched(self) -> Fetched:
        """One point for each offer; where meters contradict each other, the primary one holds, or none."""
        points = []
        for (sku, region, market), found in self._offers.items():
            primary = [point for is_primary, point in found if is_primary] or [point for _, point in found]
            rates = sorted({point.usd_per_hour for point in primary})
            if len(rates) == 1:
                points.append(primary[0])
            else:
                listed = ", ".join(f"{rate:g}" for rate in rates)
                self._refused.append(f"{sku} ({region}, {market}): the API gives several rates: {listed}")
        return Fetched(tuple(points), tuple(dict.fromkeys(self._refused)))

    def _take(self, row: Any, region: str) -> None:
        try:
            if not _is_of_interest(row, region, self._today):
                return
            machine = self._machines.get(row["armSkuName"].casefold())
            if machine is None:
                return
            point = self._point(row, machine)
        except PriceBookError as error:
            self._refused.append(f"{error} (in {region})")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._refused.append(f"azure: a row that is not as documented ({type(error).__name__}: {error})")
        else:
            self._offers[point.sku, point.region, point.market].append((row.get("isPrimaryMeterRegion") is True, point))

    def _point(self, row: Mapping[str, Any], machine: PricePoint) -> PricePoint:
        for field, allowed in (("currencyCode", "USD"), ("unitOfMeasure", "1 Hour")):
            if row[field] != allowed:
                raise PriceBookError(f"{machine.sku}: {field} is {row[field]!r}; only {allowed!r} is taken")
        spot = "Spot" in row["skuName"] or "Spot" in row["meterName"]
        meter = f", meter {row['meterId']}" if row.get("meterId") else ""
        offer = Offer(
            region=row["armRegionName"],
            market=Market.SPOT if spot else Market.ON_DEMAND,
            usd_per_hour=float(row["retailPrice"]),
            today=self._today,
            source=f"{self._url}{meter}",
            licence=LICENCE,
        )
        return offer_of(machine, offer)


def _is_of_interest(row: Mapping[str, Any], region: str, today: date) -> bool:
    """Whether a row is today's price of a Linux machine in ``region``. That the server filters is not relied on."""
    meter = f"{row['skuName']} {row['meterName']}"
    ends = row.get("effectiveEndDate")
    return (
        row["type"] == "Consumption"
        and row["serviceName"] == "Virtual Machines"
        and row["armRegionName"] == region
        and not any(word in row["productName"] for word in _OTHER_PRODUCTS)
        and not any(word in meter for word in _OTHER_METERS)
        and date.fromisoformat(row["effectiveStartDate"][:10]) <= today
        and (not ends or date.fromisoformat(ends[:10]) > today)
    )


def _filter(names: Sequence[str], region: str) -> str:
    """The OData filter for machines by name; the API knows "or" in brackets, but not "in"."""
    skus = " or ".join(f"armSkuName eq {_quoted(name)}" for name in names)
    return (
        "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' "
        f"and armRegionName eq {_quoted(region)} and ({skus})"
    )


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _session() -> requests.Session:
    """A session with our user agent that retries a busy API; an unreachable API fails at once."""
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    busy = Retry(
        total=3,
        connect=0,
        read=False,
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=1.0,
        respect_retry_after_header=False,  # it may ask for an hour
        raise_on_status=False,
    )
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=busy))
    return session


def _rows(session: requests.Session, url: str, filter_: str) -> Iterator[Any]:
    """The rows of every page."""
    page = _page(session, url, {"$filter": filter_})
    for _ in range(MOST_PAGES):
        yield from page["Items"]
        link = page.get("NextPageLink")
        if not link:
            return
        if _host(str(link)) != _host(url):
            raise CatalogueError(f"{url} makes no sense: its next page is on another host: {link}")
        page = _page(session, str(link), {})
    raise CatalogueError(f"{url} makes no sense: more than {MOST_PAGES} pages")


def _host(url: str) -> tuple[str, str | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname


def _page(session: requests.Session, url: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        answer = session.get(url, params=parameters, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise CatalogueError(f"{url.partition('?')[0]} cannot be reached: {_reason(error)}") from error
    try:
        page = json.loads(answer.content)  # requests' own reader refuses NaN where simplejson is installed
    except ValueError:
        page = None
    if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
        raise CatalogueError(f"{url.partition('?')[0]} makes no sense: no JSON object with a list of Items")
    return page


def _reason(error: requests.RequestException) -> str:
    """Why a request failed, in a few words: the innermost reason, without objects' addresses."""
    if error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"no answer in {TIMEOUT_SECONDS:g} seconds"
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return (getattr(cause, "strerror", None) or str(cause)).replace("\n", " ")
