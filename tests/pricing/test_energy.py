"""A figure in joules is measured, estimated or unavailable, and says which."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import PriceBookError
from tracker.pricing.energy import (
    ASSUMED_ACCELERATOR_UTILISATION,
    Energy,
    co2_grams,
    country_of,
    cpu_chip,
    energy_of,
    grams_per_kwh,
    tdp_of_accelerator,
)
from tracker.records import EnergySource, Usage

XEON = "Intel(R) Xeon(R) Platinum 8124M CPU @ 3.00GHz"  # 240 W, 36 threads
HIDDEN = "Intel Xeon Processor @ 2.80GHz"
SECONDS = st.floats(min_value=0.0, max_value=1e7, allow_nan=False)
USAGES = st.builds(
    Usage,
    wall_seconds=SECONDS,
    cpu_seconds=SECONDS,
    cores=st.integers(1, 128),
    accelerators=st.integers(0, 8),
    energy_joules=st.none() | SECONDS,
    energy_source=st.sampled_from(EnergySource),
)
CPU_MODELS = st.sampled_from(["", HIDDEN, "AMD EPYC", XEON, "AMD EPYC 7763 64-Core Processor"])
ACCELERATORS = st.sampled_from(["", "T4", "H100", "Voodoo2"])


def test_a_measured_figure_is_kept():
    usage = Usage(10.0, 10.0, 1, energy_joules=123.0, energy_source=EnergySource.MEASURED)
    assert energy_of(usage, cpu_model=XEON) == Energy(123.0, EnergySource.MEASURED)


def test_an_estimated_figure_is_kept_as_an_estimate():
    usage = Usage(10.0, 10.0, 1, energy_joules=123.0, energy_source=EnergySource.ESTIMATED)
    assert energy_of(usage, cpu_model=XEON) == Energy(123.0, EnergySource.ESTIMATED)


def test_a_cpu_run_takes_the_share_of_the_chip_that_its_threads_were_busy_for():
    usage = Usage(wall_seconds=100.0, cpu_seconds=180.0, cores=2)
    energy = energy_of(usage, cpu_model=XEON)
    utilisation = 180.0 / (2 * 100.0)
    assert energy.joules == pytest.approx(240.0 * 2 / 36 * 100.0 * utilisation)
    assert energy.source is EnergySource.ESTIMATED


def test_all_threads_busy_take_the_design_power():
    usage = Usage(wall_seconds=60.0, cpu_seconds=36 * 60.0, cores=36)
    assert energy_of(usage, cpu_model=XEON).joules == pytest.approx(240.0 * 60.0)


def test_a_gpu_run_without_a_counter_takes_its_design_power_for_its_whole_time_at_most():
    usage = Usage(wall_seconds=100.0, cpu_seconds=50.0, cores=4, accelerators=2)
    energy = energy_of(usage, cpu_model=XEON, accelerator="T4")
    assert energy.joules == pytest.approx(70.0 * 2 * 100.0 * ASSUMED_ACCELERATOR_UTILISATION)
    assert energy.source is EnergySource.ESTIMATED


def test_the_estimate_of_a_gpu_run_is_not_that_of_its_cpu():
    usage = Usage(wall_seconds=100.0, cpu_seconds=50.0, cores=4, accelerators=1)
    assert energy_of(usage, cpu_model=XEON, accelerator="Voodoo2").source is EnergySource.UNAVAILABLE


@pytest.mark.parametrize("model", ["", HIDDEN, "AMD EPYC", "AMD EPYC-Rome Processor", "Intel(R) Xeon(R) CPU @ 2.20GHz"])
def test_a_chip_that_is_not_in_the_table_gives_no_figure_rather_than_a_guess_or_zero(model):
    energy = energy_of(Usage(10.0, 10.0, 1), cpu_model=model)
    assert energy == Energy(None, EnergySource.UNAVAILABLE)
    assert energy.kwh is None


def test_a_kilowatt_hour_is_3_6_megajoules():
    assert Energy(7.2e6, EnergySource.MEASURED).kwh == pytest.approx(2.0)


@given(usage=USAGES, model=CPU_MODELS, accelerator=ACCELERATORS)
def test_only_what_was_measured_is_called_measured(usage, model, accelerator):
    energy = energy_of(usage, cpu_model=model, accelerator=accelerator)
    measured = usage.energy_source is EnergySource.MEASURED and usage.energy_joules is not None
    assert (energy.source is EnergySource.MEASURED) == measured
    assert (energy.joules is None) == (energy.source is EnergySource.UNAVAILABLE)
    assert energy.joules is None or energy.joules >= 0.0


@given(usage=USAGES, more=SECONDS, model=CPU_MODELS)
def test_more_cpu_time_never_takes_less_energy(usage, more, model):
    unmeasured = replace(usage, accelerators=0, energy_joules=None, energy_source=EnergySource.UNAVAILABLE)
    less = energy_of(unmeasured, cpu_model=model)
    most = energy_of(replace(unmeasured, cpu_seconds=unmeasured.cpu_seconds + more), cpu_model=model)
    assert less.source is most.source
    if less.joules is not None and most.joules is not None:
        assert less.joules <= most.joules


@given(usage=USAGES, model=st.text(alphabet="abcxyz @.", max_size=30))
def test_an_unknown_chip_never_has_an_estimate(usage, model):
    unmeasured = replace(usage, energy_joules=None)
    energy = energy_of(unmeasured, cpu_model=model, accelerator=model)
    assert energy == Energy(None, EnergySource.UNAVAILABLE)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (XEON, "Intel Xeon Platinum 8124M"),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "Intel Xeon E5-2686 v4"),
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "Intel Xeon Platinum 8375C"),
        ("INTEL(R) XEON(R) PLATINUM 8592+", "Intel Xeon Platinum 8592+"),
        ("AMD EPYC 7R13 Processor", "AMD EPYC 7R13"),
        ("AMD EPYC 7571", "AMD EPYC 7571"),
        ("AMD Ryzen 9 5950X 16-Core Processor", "AMD Ryzen 9 5950X"),
        ("AMD Ryzen Threadripper PRO 5995WX 64-Cores", "AMD Ryzen Threadripper PRO 5995WX"),
        ("12th Gen Intel(R) Core(TM) i9-12900K", "Intel Core i9-12900K"),
    ],
)
def test_a_cpu_is_known_by_the_name_that_it_gives(model, name):
    chip = cpu_chip(model)
    assert chip is not None
    assert chip.name == name


@pytest.mark.parametrize("model", ["AMD Ryzen 7 5800X3D 8-Core Processor", "12th Gen Intel(R) Core(TM) i9-12900KS"])
def test_a_cpu_is_not_taken_for_another_of_nearly_its_name(model):
    assert cpu_chip(model) is None


@pytest.mark.parametrize(
    ("name", "watts"), [("H100", 700), ("NVIDIA H100 PCIe", 350), ("H100-PCIe", 350), ("NVIDIA A40", 300)]
)
def test_an_accelerator_is_known_by_the_price_books_name_or_its_drivers(name, watts):
    chip = tdp_of_accelerator(name)
    assert chip is not None
    assert chip.tdp_watts == watts


def test_a_slice_of_a_gpu_is_not_the_gpu():
    assert tdp_of_accelerator("NVIDIA A100-SXM4-80GB MIG 1g.10gb") is None


@pytest.mark.parametrize(
    ("provider", "region", "country"),
    [
        ("aws", "us-east-1", "USA"),
        ("aws", "ap-south-1", "IND"),
        ("gcp", "asia-east2", "HKG"),
        ("azure", "westeurope", "NLD"),
        ("Azure", "WestEurope", "NLD"),
        ("aws", "westeurope", None),
        ("ovh", "", None),
    ],
)
def test_a_cloud_region_is_in_a_country(provider, region, country):
    assert country_of(provider, region) == country


@pytest.mark.parametrize("country", ["FRA", "fra", " Fra ", "France", "france"])
def test_a_country_is_given_by_its_code_or_its_name(country):
    intensity = grams_per_kwh(country)
    assert intensity.country == "FRA"
    assert intensity.grams_per_kwh == pytest.approx(56.039)
    assert intensity.year == 2023


@pytest.mark.parametrize(("given_", "nearest"), [("US", "USA"), ("Germny", "Germany")])
def test_an_unknown_country_is_reported_with_the_nearest_name(given_, nearest):
    with pytest.raises(PriceBookError, match=f"no carbon intensity of country '{given_}'; did you mean '{nearest}'"):
        grams_per_kwh(given_)


def test_co2_is_energy_times_the_grids_intensity():
    assert co2_grams(2.0, "FRA") == pytest.approx(2 * 56.039)
    assert co2_grams(2.0, "POL") > co2_grams(2.0, "FRA")
    with pytest.raises(PriceBookError):
        co2_grams(2.0, "Atlantis")
