from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import PriceBookError
from tracker.pricing.cost import (
    BYTES_PER_GB,
    RateColumns,
    UsageColumns,
    price_of,
    price_parts,
    with_interruptions,
)
from tracker.pricing.price_book import load_price_book
from tracker.pricing.price_point import PricePoint
from tracker.records import Market, Usage
from tracker.study.costs import ASSUMPTIONS, CostTerms

BOOK = load_price_book()
CPU_MACHINE = BOOK.point("aws/m7i.xlarge", Market.ON_DEMAND)  # 4 vCPU, 16 GiB, 0.2016 $/h
SPOT_MACHINE = BOOK.point("gcp/e2-standard-4", Market.SPOT)
GPU_MACHINE = BOOK.point("aws/g6.12xlarge", Market.ON_DEMAND)  # 48 vCPU, 192 GiB, 4 L4
UNMEASURED = BOOK.point("aws/p6-b300.48xlarge", Market.ON_DEMAND)  # vCPU and RAM blank, 8 B300
OWN = replace(
    CPU_MACHINE, market=Market.ON_PREM, usd_per_hour=1.0, energy_usd_per_hour=0.2, maintenance_usd_per_hour=0.3
)
HOUR = Usage(wall_seconds=3600, cpu_seconds=3600, cores=1)
MONTH_OF_HOURS = 730

usages = st.builds(
    Usage,
    wall_seconds=st.floats(0, 1e6),
    cpu_seconds=st.just(0.0),
    cores=st.integers(1, 256),
    peak_memory_bytes=st.integers(0, 2**42),
    startup_seconds=st.floats(0, 100),
    acquired_samples=st.integers(0, 10**6),
    acquired_bytes=st.integers(0, 2**40),
    stored_bytes=st.integers(0, 2**40),
    kept_bytes=st.integers(0, 2**40),
)
machines = st.sampled_from([point for point in BOOK.points if point.vcpu is not None] + [OWN])
gpu_machines = st.sampled_from([point for point in BOOK.points if point.accelerator])
factors = st.floats(1, 100)


def a_term(name):
    knob = ASSUMPTIONS[name].knob
    return st.booleans() if knob.kind == "bool" else st.floats(knob.low, min(knob.high or 100.0, 1000.0))


any_terms = st.builds(CostTerms, **{each.name: a_term(each.name) for each in fields(CostTerms)})


# --- compute -------------------------------------------------------------------------------------


def test_one_core_of_four_for_an_hour_costs_a_quarter_of_the_rate():
    price = price_of(HOUR, CPU_MACHINE)
    assert price.usd == pytest.approx(0.2016 / 4)
    assert (price.sku, price.market, price.share) == ("aws/m7i.xlarge", "on_demand", 0.25)
    assert price.source == CPU_MACHINE.source
    assert price.effective_from == "2026-07-20"
    assert price.compute_usd == pytest.approx(price.billed_seconds / 3600 * price.usd_per_hour * price.share)


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
    assert price_of(usage, GPU_MACHINE).share == share


def test_what_is_larger_than_the_machine_is_billed_as_several():
    assert price_of(replace(HOUR, cores=8), CPU_MACHINE).share == 2.0
    assert price_of(replace(HOUR, peak_memory_bytes=40 * 2**30), CPU_MACHINE).share == 2.5


def test_what_is_unknown_of_a_machine_is_left_out():
    blank = replace(UNMEASURED, vcpu=None, ram_gb=None)
    assert price_of(replace(HOUR, cores=999, accelerators=2, peak_memory_bytes=2**50), blank).share == 0.25


def test_a_usage_that_the_book_says_nothing_about_is_not_free():
    with pytest.raises(PriceBookError, match=r"p6-b300.48xlarge: vCPU and RAM are not known"):
        price_of(HOUR, replace(UNMEASURED, vcpu=None, ram_gb=None))


def test_a_gpu_run_is_not_priced_on_a_machine_without_gpu():
    with pytest.raises(PriceBookError, match=r"aws/m7i.xlarge has no accelerator; this usage takes 1"):
        price_of(replace(HOUR, accelerators=1), CPU_MACHINE)


@pytest.mark.parametrize(
    ("terms", "seconds"),
    [
        (CostTerms(), 90.5),
        (CostTerms(increment_seconds=1.0), 91.0),
        (CostTerms(increment_seconds=60.0), 120.0),
        (CostTerms(minimum_seconds=60.0), 90.5),
        (CostTerms(minimum_seconds=100.0), 100.0),
        (CostTerms(minimum_seconds=100.0, increment_seconds=60.0), 120.0),
        (CostTerms(startup_billed=False), 80.0),
        (CostTerms(startup_billed=False, increment_seconds=40.0), 80.0),
    ],
)
def test_time_is_billed_by_the_rules_that_a_study_sets(terms, seconds):
    usage = replace(HOUR, wall_seconds=90.5, startup_seconds=10.5)
    assert price_of(usage, CPU_MACHINE, terms).billed_seconds == pytest.approx(seconds)


def test_where_idle_time_is_billed_a_run_pays_for_whole_machines():
    assert price_of(HOUR, CPU_MACHINE, CostTerms(idle_billed=True)).usd == pytest.approx(0.2016)
    assert price_of(replace(HOUR, cores=5), CPU_MACHINE, CostTerms(idle_billed=True)).share == 2.0


def test_interruptions_are_paid_for_on_spot_machines_only():
    terms = CostTerms(interruptions_per_hour=0.5, checkpoint_seconds=600, restart_seconds=60)
    assert price_of(HOUR, CPU_MACHINE, terms).billed_seconds == 3600
    paid = price_of(HOUR, SPOT_MACHINE, terms).billed_seconds
    # Half an interruption: on average half a checkpoint's work again, and a restart.
    assert paid == pytest.approx(3600 + 0.5 * (600 / 2 + 60), rel=0.01)
    assert price_of(HOUR, SPOT_MACHINE, replace(terms, interruptions_per_hour=0.0)).billed_seconds == 3600


def test_the_time_with_interruptions_is_what_a_simulation_of_them_takes():
    terms = CostTerms(interruptions_per_hour=2.0, checkpoint_seconds=900, restart_seconds=120)
    generator, trials, sum_seconds = np.random.default_rng(5), 4000, 0.0
    for _ in range(trials):
        for _ in range(4):  # an hour of work in four pieces
            while (until := generator.exponential(3600 / 2.0)) < 900:
                sum_seconds += until + 120
            sum_seconds += 900
    assert sum_seconds / trials == pytest.approx(float(with_interruptions(3600.0, terms)), rel=0.03)


# --- the other parts -----------------------------------------------------------------------------


def test_data_are_paid_for_by_sample_and_by_gb_where_they_are_brought_in():
    terms = CostTerms(
        acquisition_usd_per_gb=2.0,
        cleaning_usd_per_gb=1.0,
        labelling_usd_per_sample=0.03,
        acquisition_usd_per_sample=0.01,
    )
    prepared = replace(HOUR, acquired_samples=1000, acquired_bytes=5 * BYTES_PER_GB)
    assert price_of(prepared, CPU_MACHINE, terms).data_usd == pytest.approx(1000 * 0.04 + 5 * 3.0)
    assert price_of(HOUR, CPU_MACHINE, terms).data_usd == 0


def test_storage_is_billed_for_the_time_on_disk_and_for_the_months_after():
    usage = replace(HOUR, stored_bytes=10 * BYTES_PER_GB, kept_bytes=2 * BYTES_PER_GB)
    during = 10 / MONTH_OF_HOURS * 0.023
    assert price_of(usage, CPU_MACHINE).storage_usd == pytest.approx(during)
    assert price_of(usage, CPU_MACHINE, CostTerms(keep_months=12)).storage_usd == pytest.approx(during + 24 * 0.023)


def test_upkeep_is_a_share_of_compute_and_a_share_of_a_monthly_sum():
    shared = price_of(HOUR, CPU_MACHINE, CostTerms(maintenance_share=0.2))
    assert shared.maintenance_usd == pytest.approx(0.2 * shared.compute_usd)
    monthly = price_of(HOUR, CPU_MACHINE, CostTerms(maintenance_usd_per_month=73.0))
    assert monthly.maintenance_usd == pytest.approx(0.1 / 4)


def test_own_hardware_pays_electricity_in_compute_and_upkeep_in_maintenance():
    price = price_of(replace(HOUR, cores=4), OWN)
    assert (price.compute_usd, price.maintenance_usd) == (pytest.approx(0.7), pytest.approx(0.3))


# --- what holds for every usage ------------------------------------------------------------------


@given(usage=usages, point=machines, terms=any_terms, factor=factors)
def test_more_usage_never_costs_less(usage: Usage, point: PricePoint, terms: CostTerms, factor: float):
    before = price_of(usage, point, terms).usd
    for name in ("wall_seconds", "cores", "peak_memory_bytes", "acquired_samples", "stored_bytes", "kept_bytes"):
        value = getattr(usage, name) * factor
        more = replace(usage, **{name: value if name == "wall_seconds" else int(value)})
        assert price_of(more, point, terms).usd >= before * (1 - 1e-9)


@given(usage=usages, point=machines, terms=any_terms, factor=st.floats(0.001, 1))
def test_a_lower_rate_never_costs_more(usage: Usage, point: PricePoint, terms: CostTerms, factor: float):
    scaled = {
        name: getattr(point, name) * factor
        for name in ("usd_per_hour", "energy_usd_per_hour", "maintenance_usd_per_hour")
    }
    cheaper, before = price_of(usage, replace(point, **scaled), terms), price_of(usage, point, terms)
    assert cheaper.usd <= before.usd * (1 + 1e-9)
    assert cheaper.compute_usd == pytest.approx(before.compute_usd * factor)


@given(usage=usages, point=machines, terms=any_terms)
def test_the_parts_sum_to_the_whole_and_none_is_negative(usage: Usage, point: PricePoint, terms: CostTerms):
    price = price_of(usage, point, terms)
    parts = [price.data_usd, price.compute_usd, price.storage_usd, price.maintenance_usd]
    assert sum(parts) == pytest.approx(price.usd, abs=0.005)
    assert min(parts) >= 0


@given(usage=usages, point=machines, terms=any_terms, cut=st.floats(0, 1))
def test_splitting_a_run_into_attempts_never_costs_less_than_its_usage(
    usage: Usage, point: PricePoint, terms: CostTerms, cut: float
):
    terms = replace(terms, startup_billed=True)
    first = replace(usage, wall_seconds=usage.wall_seconds * cut)
    second = replace(usage, wall_seconds=usage.wall_seconds - first.wall_seconds)
    attempts = price_of(first, point, terms).compute_usd + price_of(second, point, terms).compute_usd
    rate = point.usd_per_hour - point.maintenance_usd_per_hour
    used = usage.wall_seconds / 3600 * rate * price_of(usage, point).share
    assert attempts >= used * (1 - 1e-9)


@given(usage=usages, point=machines, cut=st.floats(0, 1))
def test_by_default_time_split_in_two_costs_the_same_in_sum(usage: Usage, point: PricePoint, cut: float):
    point = replace(point, market=Market.ON_DEMAND)
    first = replace(usage, wall_seconds=usage.wall_seconds * cut)
    second = replace(usage, wall_seconds=usage.wall_seconds - first.wall_seconds)
    parts = price_of(first, point).usd + price_of(second, point).usd
    assert parts == pytest.approx(price_of(usage, point).usd)


@given(usage=usages, point=gpu_machines, accelerators=st.integers(1, 16))
def test_the_accelerators_alone_are_a_lower_bound(usage: Usage, point: PricePoint, accelerators: int):
    taken = replace(usage, accelerators=accelerators)
    assert price_of(taken, point).share >= accelerators / point.accelerator_count


@given(point=machines, parts=st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_trials_that_divide_the_cores_of_a_machine_never_pay_for_more_than_it(point: PricePoint, parts: list[int]):
    whole = replace(point, vcpu=float(sum(parts)))
    shares = [price_of(replace(HOUR, cores=cores), whole).share for cores in parts]
    assert sum(shares) == pytest.approx(1.0)


@given(point=gpu_machines, data=st.data())
def test_trials_that_divide_the_accelerators_of_a_machine_never_pay_for_more_than_it(point: PricePoint, data):
    """Each with a fair share of cores and memory or less: then the accelerators are what each is billed by."""
    count = point.accelerator_count
    usages_ = [
        replace(
            HOUR,
            accelerators=1,
            cores=data.draw(st.integers(0, int((point.vcpu or 0) // count))),
            peak_memory_bytes=data.draw(st.integers(0, int((point.ram_gb or 0) * BYTES_PER_GB // count))),
        )
        for _ in range(count)
    ]
    assert sum(price_of(usage, point).share for usage in usages_) <= 1 + 1e-9


@given(
    usages=st.lists(usages, min_size=1, max_size=20), points=st.lists(machines, min_size=1, max_size=5), terms=any_terms
)
def test_many_runs_are_priced_as_each_alone(usages: list[Usage], points: list[PricePoint], terms: CostTerms):
    codes = np.arange(len(usages)) % len(points)
    columns = UsageColumns(
        *(np.array([float(getattr(usage, each.name)) for usage in usages]) for each in fields(UsageColumns))
    )
    together = price_parts(columns, RateColumns.of_many(points).at(codes), terms).usd
    alone = [price_of(usage, points[code], terms).usd for usage, code in zip(usages, codes, strict=True)]
    assert list(together) == pytest.approx(alone)
