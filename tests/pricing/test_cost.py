from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import PriceBookError
from tracker.pricing.cost import dominant_share, price_of
from tracker.pricing.price_book import load_price_book
from tracker.pricing.price_point import PricePoint
from tracker.records import Market, Usage

BOOK = load_price_book()
CPU_MACHINE = BOOK.point("aws/m7i.xlarge", Market.ON_DEMAND)  # 4 vCPU, 16 GiB, 0.2016 $/h
GPU_MACHINE = BOOK.point("aws/g6.12xlarge", Market.ON_DEMAND)  # 48 vCPU, 192 GiB, 4 L4
UNMEASURED = BOOK.point("aws/p6-b300.48xlarge", Market.ON_DEMAND)  # vCPU and RAM blank, 8 B300
HOUR = Usage(wall_seconds=3600, cpu_seconds=3600, cores=1)

usages = st.builds(
    Usage,
    wall_seconds=st.floats(0, 1e6),
    cpu_seconds=st.just(0.0),
    cores=st.integers(1, 256),
    peak_memory_bytes=st.integers(0, 2**42),
)
machines = st.sampled_from([point for point in BOOK.points if point.vcpu is not None])
gpu_machines = st.sampled_from([point for point in BOOK.points if point.accelerator])
factors = st.floats(1, 100)


def test_one_core_of_four_for_an_hour_costs_a_quarter_of_the_rate():
    price = price_of(HOUR, CPU_MACHINE)
    assert price.usd == pytest.approx(0.2016 / 4)
    assert (price.sku, price.market, price.share) == ("aws/m7i.xlarge", "on_demand", 0.25)
    assert price.source == CPU_MACHINE.source
    assert price.effective_from == "2026-07-20"


@pytest.mark.parametrize(
    ("usage", "share"),
    [
        (replace(HOUR, cores=48, accelerators=1), 1.0),
        (replace(HOUR, cores=4, accelerators=1), 0.25),
        (replace(HOUR, cores=4, accelerators=1, peak_memory_bytes=96 * 2**30), 0.5),
        (replace(HOUR, cores=12), 0.25),
    ],
)
def test_the_largest_of_the_shares_is_billed(usage, share):
    assert dominant_share(usage, GPU_MACHINE) == share


def test_what_is_larger_than_the_machine_is_billed_as_several():
    assert dominant_share(replace(HOUR, cores=8), CPU_MACHINE) == 2.0
    assert dominant_share(replace(HOUR, peak_memory_bytes=40 * 2**30), CPU_MACHINE) == 2.5


def test_a_blank_in_the_book_is_left_out():
    assert dominant_share(replace(HOUR, cores=999, accelerators=2, peak_memory_bytes=2**50), UNMEASURED) == 0.25


def test_a_usage_that_the_book_says_nothing_about_is_not_free():
    with pytest.raises(PriceBookError, match=r"p6-b300.48xlarge: vCPU and RAM are not known"):
        price_of(HOUR, UNMEASURED)


def test_a_gpu_run_is_not_priced_on_a_machine_without_gpu():
    with pytest.raises(PriceBookError, match=r"aws/m7i.xlarge has no accelerator; this usage takes 1"):
        price_of(replace(HOUR, accelerators=1), CPU_MACHINE)


@given(usage=usages, point=machines, factor=factors)
def test_more_usage_never_costs_less(usage: Usage, point: PricePoint, factor: float):
    before = price_of(usage, point).usd
    for more in (
        replace(usage, wall_seconds=usage.wall_seconds * factor),
        replace(usage, cores=int(usage.cores * factor)),
        replace(usage, peak_memory_bytes=int(usage.peak_memory_bytes * factor)),
    ):
        assert price_of(more, point).usd >= before


@given(usage=usages, point=machines, factor=st.floats(0.001, 1))
def test_a_lower_rate_lowers_the_price_in_proportion(usage: Usage, point: PricePoint, factor: float):
    cheaper = replace(point, usd_per_hour=point.usd_per_hour * factor)
    assert price_of(usage, cheaper).usd == pytest.approx(price_of(usage, point).usd * factor)


@given(usage=usages, point=gpu_machines, accelerators=st.integers(1, 16))
def test_the_accelerators_alone_are_a_lower_bound(usage: Usage, point: PricePoint, accelerators: int):
    taken = replace(usage, accelerators=accelerators)
    assert dominant_share(taken, point) >= accelerators / point.accelerator_count


@given(usage=usages, point=machines, cut=st.floats(0, 1))
def test_time_split_in_two_costs_the_same_in_sum(usage: Usage, point: PricePoint, cut: float):
    first = replace(usage, wall_seconds=usage.wall_seconds * cut)
    second = replace(usage, wall_seconds=usage.wall_seconds - first.wall_seconds)
    parts = price_of(first, point).usd + price_of(second, point).usd
    assert parts == pytest.approx(price_of(usage, point).usd)


@given(point=machines, parts=st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_trials_that_divide_the_cores_of_a_machine_pay_for_it_once(point: PricePoint, parts: list[int]):
    whole = replace(point, vcpu=float(sum(parts)))
    shares = [dominant_share(replace(HOUR, cores=cores), whole) for cores in parts]
    assert sum(shares) == pytest.approx(1.0)
