"""An attempt is billed as the machine that it runs on; one that nobody knows the price of takes none."""

from __future__ import annotations

import pytest

from tracker.engine.host.cloud import Sold
from tracker.engine.node import Needs, Node
from tracker.pricing.price_book import load_price_book
from tracker.records import Hardware, Market
from tracker.runner.fleet_machines import FleetMachine
from tracker.runner.node_rates import NodeRates
from tracker.study.spec import PricingSpec

BOOK = load_price_book()
STUDY = BOOK.point("gcp/e2-standard-2", Market.ON_DEMAND)


@pytest.fixture
def said():
    return []


@pytest.fixture
def rates(said):
    return NodeRates(BOOK, PricingSpec(sku={"cpu": STUDY.sku}), said.append, {"cpu": STUDY})


def node(**labels):
    names = {"sku": "tracker/sku", "market": "ray.io/market-type", "region": "tracker/region"}
    return Node(
        f"node {sorted(labels.items())}", "10.0.0.7", 2, 0, "", 2**33, {names[key]: labels[key] for key in labels}
    )


def machine(name, cores, sold=None, labels=None):
    hardware = Hardware("Linux", "", "x86_64", cores, 2**34)
    return FleetMachine(Node(name, "10.0.0.7", 2, 0, "", 2**33, labels or {}), hardware, 0.0, sold)


def test_without_labels_the_study_says_what_a_machine_is_billed_as(rates, said):
    assert rates(node(), Needs(1)) == STUDY
    assert not said


def test_its_labels_say_sku_market_and_region(rates):
    point = rates(node(sku="gcp/e2-standard-16", market="spot"), Needs(1))
    assert (point.sku, point.market) == ("gcp/e2-standard-16", Market.SPOT)
    region = rates(node(sku="gcp/e2-standard-16", market="spot", region="europe-west4"), Needs(1)).region
    assert region == "europe-west4"


def test_a_label_that_may_have_no_slash_names_its_sku(rates):
    assert rates(node(sku="gcp_e2-standard-16"), Needs(1)).sku == "gcp/e2-standard-16"


def test_where_the_study_names_no_sku_each_machine_is_billed_as_one_like_it(said):
    machines = [machine(name, cores) for name, cores in (("small", 2), ("large", 16))]
    rates = NodeRates(BOOK, PricingSpec(), said.append, machines=machines)
    small, large = (rates(each.node, Needs(1)) for each in machines)
    assert (small.vcpu, large.vcpu) == (2, 16)


def test_a_market_alone_is_that_of_the_study_s_sku(rates):
    point = rates(node(market="spot"), Needs(1))
    assert (point.sku, point.market) == (STUDY.sku, Market.SPOT)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"sku": "aws/m7i.larg"}, "unknown SKU 'aws/m7i.larg'; did you mean 'aws/m7i.large'"),
        ({"market": "auction"}, "its label says market 'auction'; allowed"),
        ({"sku": "aws/m7i.large", "region": "nowhere"}, "no rate has the region 'nowhere'"),
    ],
)
def test_a_machine_whose_labels_name_no_rate_takes_nothing_and_is_named_once(rates, said, labels, reason):
    assert rates(node(**labels), Needs(1)) is None
    assert rates(node(**labels), Needs(1)) is None
    (sentence,) = said
    assert sentence.startswith("machine 10.0.0.7 is left out") and reason in sentence


def test_a_cloud_says_what_its_machine_is_billed_as_where_no_label_does(said):
    known, unknown = Sold("gcp/e2-standard-16", "spot", "us-central1"), Sold("gcp/unheard-of", "spot", "nowhere")
    labelled = {"tracker/market": "on_demand"}
    machines = [machine("one", 2, known), machine("two", 2, unknown), machine("three", 2, known, labelled)]
    rates = NodeRates(BOOK, PricingSpec(sku={"cpu": STUDY.sku}), said.append, {"cpu": STUDY}, machines)
    one, two, three = (rates(each.node, Needs(1)) for each in machines)
    assert (one.sku, one.market) == (known.sku, Market.SPOT)
    assert two == STUDY, "the book lacks it"
    assert (three.sku, three.market) == (known.sku, Market.ON_DEMAND), "labels come first"
    assert not said
