"""Price files that are garbled or say what makes no sense: rates that can be billed, or what is wrong."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.inputs import FUZZ, tried
from tests.fuzz.mutations import changed_text
from tracker.errors import TrackerError
from tracker.imports.machines import Machines, read_machine_rules
from tracker.pricing.cost import price_of
from tracker.pricing.price_book import PRICES_CSV, PriceBook, open_price_book
from tracker.pricing.price_table import read_price_table
from tracker.pricing.scenario import Scenario
from tracker.pricing.scenario_file import read_scenario, read_scenario_text
from tracker.records import Usage
from tracker.study.costs import CostTerms

USAGE = Usage(3600.0, 1800.0, 2, 0, 2**30)
TABLES = ["".join(itertools.islice(PRICES_CSV.open(), 12))]
RATES = """
[[rate]]
sku = "aws/m7i.xlarge"
usd_per_hour = 0.15
effective_from = 2026-01-01
effective_to = 2027-01-01
region = "us-east-1"
market = "reserved"
source = "our contract"

[[own]]
sku = "mine/box"
vcpu = 16
ram_gb = 64.0
architecture = "x86_64"
effective_from = 2026-01-01
source = "the invoice"
purchase_usd = 8000
power_kw = 0.3
lifetime_years = 4

[[currency]]
code = "EUR"
usd = 1.1
on = 2026-07-01
source = "the bank"
"""
SCENARIO = """
name = "cheaper"
market = "spot"
region = "us-east-1"
as_of = 2026-08-01
sku = ["aws/m7i.xlarge"]

[[change]]
accelerator = "H100"
factor = 0.6

[[change]]
provider = "aws"
decline_per_year = 0.3
since = 2026-01-01
until = 2028-01-01

[[change]]
part = "storage"
factor = 2.0

[costs]
interruptions_per_hour = 0.2
idle_billed = true
"""
MAPPING = """
[[map]]
tag = "gpu"
value = "A100*"
sku = "aws/p4d.24xlarge"
share = "1/8"
market = "on_demand"
region = "us-east-1"

[[map]]
user = "ada*"
sku = "aws/m7i.xlarge"
share = 0.5
"""


@pytest.fixture(scope="module")
def book():
    return open_price_book()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("prices") / "file"


def write(path, text):
    path.write_bytes(text.encode(errors="surrogatepass"))


def billable(points):
    for point in points:
        assert 0 < point.usd_per_hour < math.inf
        if point.vcpu and not point.accelerator:
            price = price_of(USAGE, point, CostTerms())
            assert 0 < price.usd < math.inf
            assert min(price.data_usd, price.compute_usd, price.storage_usd, price.maintenance_usd) >= 0


@FUZZ
@given(changed_text(TABLES))
def test_price_tables(path, text):
    tried["price tables"] += 1
    write(path, text)
    try:
        billable(PriceBook(read_price_table(path)).points)
    except TrackerError as error:
        assert str(error)


@FUZZ
@given(changed_text([RATES]))
def test_files_of_own_rates(path, book, text):
    tried["files of own rates"] += 1
    write(path, text)
    try:
        found = book.with_user_rates(path)
    except TrackerError as error:
        assert str(error)
        return
    billable(found.points[len(book.points) :])
    assert all(0 < each.usd < math.inf for each in found.exchange_rates)


@FUZZ
@given(changed_text([SCENARIO]))
def test_scenarios(path, text):
    tried["scenarios"] += 1
    write(path, text)
    for read in (lambda: read_scenario(path), lambda: read_scenario_text(text)):
        try:
            assert isinstance(read(), Scenario)
        except TrackerError as error:
            assert str(error)


@FUZZ
@given(changed_text([MAPPING]), st.dictionaries(st.sampled_from(["gpu", "a"]), st.text(max_size=5), max_size=2))
def test_mapping_files(path, book, text, tags):
    tried["mapping files"] += 1
    write(path, text)
    try:
        machines = Machines(read_machine_rules(path), book)
        billed = machines.billed("run", {}, {"gpu": "A100", **tags}, "ada", 0, book.points[0].effective_from)
    except TrackerError as error:
        assert str(error)
        return
    assert billed is None or billed.cores + billed.accelerators > 0
