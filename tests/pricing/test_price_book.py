from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import PriceBookError
from tracker.pricing.offers import HOME_REGIONS
from tracker.pricing.price_book import PriceBook, load_price_book
from tracker.pricing.price_point import COLUMNS, PricePoint
from tracker.pricing.price_table import read_price_table
from tracker.records import Hardware, Market

POINT = PricePoint(
    provider="acme",
    sku="acme/small",
    region="here",
    architecture="x86_64",
    accelerator="",
    accelerator_count=0,
    accelerator_memory_gb=None,
    vcpu=4,
    ram_gb=16,
    market=Market.ON_DEMAND,
    usd_per_hour=0.2,
    effective_from=date(2026, 1, 1),
    effective_to=None,
    quality="price_list",
    date_kind="list price",
    source="a test",
    licence="none",
    spec_source="a test",
)
MACHINE = Hardware(system="Linux", cpu_model="a CPU", architecture="x86_64", cores=2, memory_bytes=8 * 2**30)
GOOD_ROW = "acme,acme/small,here,x86_64,,0,,4,16,on_demand,0.2,2026-01-01,,price_list,list price,a test,none,a test"


def with_gpus(name: str, count: int = 1) -> Hardware:
    return replace(MACHINE, accelerator=name, accelerator_count=count)


def gpu(sku: str, count: int, usd: float, name: str = "H100") -> PricePoint:
    return replace(POINT, sku=sku, accelerator=name, accelerator_count=count, usd_per_hour=usd)


# --- finding a rate ------------------------------------------------------------------------------


def test_finds_a_sku_by_the_name_that_users_write():
    point = load_price_book().point("aws/m7i.large", Market.ON_DEMAND)
    assert (point.vcpu, point.ram_gb, point.usd_per_hour) == (2, 8, 0.1008)


def test_an_unknown_sku_is_answered_with_the_nearest_name():
    with pytest.raises(PriceBookError, match=r"unknown SKU 'aws/m7i.larg'; did you mean 'aws/m7i.large'\?"):
        load_price_book().point("aws/m7i.larg", Market.ON_DEMAND)


def test_a_missing_market_is_answered_with_those_that_there_are():
    with pytest.raises(PriceBookError, match=r"aws/m7i\.large has no spot rate; it has: on_demand"):
        load_price_book().point("aws/m7i.large", Market.SPOT)


def test_each_day_has_the_rate_that_held_on_it():
    cheaper = replace(POINT, usd_per_hour=0.1, effective_from=date(2026, 6, 1))
    book = PriceBook((cheaper, POINT))
    rates = [
        book.point("acme/small", Market.ON_DEMAND, day).usd_per_hour
        for day in (date(2026, 1, 1), date(2026, 5, 31), date(2026, 6, 1), None)
    ]
    assert rates == [0.2, 0.2, 0.1, 0.1]


@pytest.mark.parametrize("day", [date(2025, 12, 31), date(2026, 3, 1)])
def test_a_day_without_a_rate_is_answered_with_the_days_that_have_one(day):
    book = PriceBook((replace(POINT, effective_to=date(2026, 3, 1)),))
    with pytest.raises(PriceBookError, match=f"no on_demand rate on {day}; its rates begin on: 2026-01-01"):
        book.point("acme/small", Market.ON_DEMAND, day)


def test_of_several_regions_the_cheapest_is_taken():
    book = PriceBook((POINT, replace(POINT, region="there", usd_per_hour=0.19)))
    assert book.point("acme/small", Market.ON_DEMAND).region == "there"


# --- where nobody names a region -----------------------------------------------------------------


def aws(region: str, usd: float, **changes) -> PricePoint:
    return replace(POINT, provider="aws", sku="aws/x1.xlarge", region=region, usd_per_hour=usd, **changes)


HOME = aws("us-east-1", 0.2)
ABROAD = aws("eu-west-1", 0.1)


@pytest.mark.parametrize("points", [(HOME, ABROAD), (ABROAD, HOME)])
def test_the_home_region_is_taken_before_a_cheaper_one(points):
    book = PriceBook(points)
    assert book.point("aws/x1.xlarge", Market.ON_DEMAND) == HOME
    assert book.cheapest_for(MACHINE, "cpu", Market.ON_DEMAND) == HOME
    assert book.point("aws/x1.xlarge", Market.ON_DEMAND, region="eu-west-1") == ABROAD
    assert book.cheapest_for(MACHINE, "cpu", Market.ON_DEMAND, "eu-west-1") == ABROAD


def test_a_gpu_is_billed_at_home_though_it_is_cheaper_abroad():
    at_home = replace(HOME, accelerator="H100", accelerator_count=1, usd_per_hour=3.0)
    book = PriceBook((at_home, replace(at_home, region="eu-north-1", usd_per_hour=2.0)))
    assert book.cheapest_for(with_gpus("H100"), "cuda", Market.ON_DEMAND) == at_home


def test_a_sku_that_is_not_sold_at_home_is_taken_where_it_is_cheapest():
    cheaper = aws("eu-north-1", 0.05)
    book = PriceBook((ABROAD, cheaper))
    assert book.point("aws/x1.xlarge", Market.ON_DEMAND) == cheaper
    assert book.cheapest_for(MACHINE, "cpu", Market.ON_DEMAND) == cheaper
    eastus2 = load_price_book().point("azure/Standard_ND96isr_MI300X_v5", Market.ON_DEMAND)
    assert (eastus2.region, eastus2.usd_per_hour) == ("eastus2", 48)


def test_each_market_has_its_home_of_its_own():
    spot_abroad = aws("eu-west-1", 0.03, market=Market.SPOT)
    book = PriceBook((HOME, ABROAD, spot_abroad))
    assert book.point("aws/x1.xlarge", Market.SPOT) == spot_abroad
    assert book.point("aws/x1.xlarge", Market.ON_DEMAND) == HOME


def test_a_day_before_the_rate_at_home_is_not_answered_with_another_region_s():
    early = replace(ABROAD, effective_from=date(2024, 1, 1))
    with pytest.raises(PriceBookError, match="no on_demand rate on 2025-01-01; its rates begin on: 2026-01-01"):
        PriceBook((HOME, early)).point("aws/x1.xlarge", Market.ON_DEMAND, date(2025, 1, 1))


def test_a_rate_that_states_no_region_counts_as_one_at_home():
    unplaced = aws("", 0.15)
    assert PriceBook((unplaced, ABROAD)).point("aws/x1.xlarge", Market.ON_DEMAND) == unplaced
    assert PriceBook((unplaced, HOME)).point("aws/x1.xlarge", Market.ON_DEMAND) == unplaced


@pytest.mark.parametrize("region", ["", "us-east-1", "eu-west-1"])
def test_the_user_s_own_rate_is_taken_wherever_it_is_from(region):
    own = aws(region, 0.9, quality="user", effective_to=date(2026, 3, 1))
    assert PriceBook((HOME, ABROAD, own)).point("aws/x1.xlarge", Market.ON_DEMAND, date(2026, 2, 1)) == own
    # It puts none in the place of the listed ones where these are of other regions only.
    abroad_only = PriceBook((ABROAD, own))
    assert abroad_only.point("aws/x1.xlarge", Market.ON_DEMAND, date(2026, 2, 1)) == own
    assert abroad_only.point("aws/x1.xlarge", Market.ON_DEMAND, date(2026, 4, 1)) == ABROAD


def test_no_other_region_in_the_book_changes_what_is_taken_without_one():
    book = load_price_book()
    at_home = PriceBook(
        tuple(point for point in book.points if point.region in ("", "eastus2", *HOME_REGIONS.values()))
    )
    assert at_home.skus == book.skus
    for sku, market in {(point.sku, point.market) for point in book.points}:
        assert book.point(sku, market) == at_home.point(sku, market)
    for market in (Market.ON_DEMAND, Market.SPOT):
        for cores in (1, 3, 8, 64):
            machine = replace(MACHINE, cores=cores)
            assert book.cheapest_for(machine, "cpu", market) == at_home.cheapest_for(machine, "cpu", market)
    for name in at_home.accelerators:
        taken = [_cheapest_gpu(each, name) for each in (book, at_home)]
        assert taken[0] == taken[1]


def _cheapest_gpu(book: PriceBook, name: str) -> PricePoint | None:
    try:
        return book.cheapest_for(with_gpus(name), "cuda", Market.ON_DEMAND)
    except PriceBookError:  # known from a table of old alone
        return None


@pytest.mark.parametrize(
    ("sku", "region", "usd"),
    [
        ("gcp/e2-standard-2", "europe-west4", 0.073772),
        ("azure/Standard_ND96isr_H100_v5", "westeurope", 127.816),
        ("aws/p5.48xlarge", "ap-northeast-1", 68.8),
    ],
)
def test_a_region_that_is_named_has_its_own_rate(sku, region, usd):
    point = load_price_book().point(sku, Market.ON_DEMAND, region=region)
    assert (point.region, point.usd_per_hour) == (region, usd)


# --- the automatic choice ------------------------------------------------------------------------


@given(cores=st.integers(1, 400))
def test_a_cpu_is_billed_as_the_fewest_vcpu_that_suffice_and_of_these_the_cheapest(cores):
    book = load_price_book()
    chosen = book.cheapest_for(replace(MACHINE, cores=cores), "cpu", Market.ON_DEMAND)
    newest = {
        (point.sku, point.region): point
        for point in sorted(book.points, key=lambda p: p.effective_from)
        if point.market is Market.ON_DEMAND and point.region in ("", HOME_REGIONS.get(point.provider))
    }
    rivals = [point for point in newest.values() if not point.accelerator and point.architecture == "x86_64"]
    enough = sorted({point.vcpu for point in rivals if point.vcpu >= cores})
    assert chosen.vcpu == (enough[0] if enough else max(point.vcpu for point in rivals))
    assert chosen.usd_per_hour == min(point.usd_per_hour for point in rivals if point.vcpu == chosen.vcpu)


def test_an_arm_machine_is_billed_as_an_arm_sku():
    arm = replace(MACHINE, architecture="arm64", cores=10)
    assert load_price_book().cheapest_for(arm, "cpu", Market.ON_DEMAND).sku == "aws/m8g.2xlarge"


def test_equally_cheap_skus_go_by_name():
    book = PriceBook((replace(POINT, sku="acme/b"), replace(POINT, sku="acme/a")))
    assert book.cheapest_for(MACHINE, "cpu", Market.ON_DEMAND).sku == "acme/a"


def test_a_sku_that_is_no_longer_sold_is_not_chosen():
    ended = replace(POINT, sku="acme/old", usd_per_hour=0.01, effective_to=date(2026, 2, 1))
    assert PriceBook((ended, POINT)).cheapest_for(MACHINE, "cpu", Market.ON_DEMAND) == POINT


def test_the_newest_rate_decides_not_a_cheaper_one_of_old():
    was_cheap = replace(POINT, sku="acme/grew", usd_per_hour=0.01)
    is_dear = replace(was_cheap, usd_per_hour=0.9, effective_from=date(2026, 2, 1))
    assert PriceBook((was_cheap, is_dear, POINT)).cheapest_for(MACHINE, "cpu", Market.ON_DEMAND) == POINT


@pytest.mark.parametrize("quality", ["table", "median"])
def test_what_others_say_of_a_price_is_billed_only_where_it_is_named(quality):
    rumoured = replace(POINT, sku="acme/rumour", usd_per_hour=0.01, quality=quality)
    book = PriceBook((rumoured, POINT))
    assert book.cheapest_for(MACHINE, "cpu", Market.ON_DEMAND) == POINT
    assert book.point("acme/rumour", Market.ON_DEMAND) == rumoured
    with pytest.raises(PriceBookError, match=r"no on_demand rate .*markets with one: none.*set sku_cpu"):
        PriceBook((rumoured,)).cheapest_for(MACHINE, "cpu", Market.ON_DEMAND)


@pytest.mark.parametrize("quality", ["price_list", "fetched", "user"])
def test_a_price_of_the_seller_or_of_the_user_is_chosen(quality):
    cheap = replace(POINT, sku="acme/cheap", usd_per_hour=0.01, quality=quality)
    assert PriceBook((cheap, POINT)).cheapest_for(MACHINE, "cpu", Market.ON_DEMAND) == cheap


def test_a_gpu_is_never_billed_unasked_at_what_a_table_of_old_says():
    book = load_price_book()
    named = min(
        (point for point in book.points if point.accelerator == "A100-40GB" and point.market is Market.ON_DEMAND),
        key=lambda point: point.usd_per_accelerator_hour,
    )
    assert named.quality == "table"
    assert book.cheapest_for(with_gpus("A100-40GB"), "cuda", Market.ON_DEMAND).quality == "price_list"


def test_a_market_without_cpu_machines_is_reported_with_those_that_have_some():
    with pytest.raises(PriceBookError, match=r"no reserved rate of x86_64 machines.*on_demand, spot.*sku_cpu"):
        load_price_book().cheapest_for(MACHINE, "cpu", Market.RESERVED)


def test_a_gpu_is_billed_at_the_lowest_rate_for_one_of_its_kind():
    book = PriceBook((gpu("acme/one", 1, 3.0), gpu("acme/eight", 8, 16.0), gpu("acme/other", 1, 0.1, name="T4")))
    assert book.cheapest_for(with_gpus("H100"), "cuda", Market.ON_DEMAND).sku == "acme/eight"


def test_among_equal_gpu_rates_the_smallest_machine_is_taken():
    assert load_price_book().cheapest_for(with_gpus("H100"), "cuda", Market.ON_DEMAND).sku == "aws/p5.4xlarge"
    # Its 6.326193 $ is an eighth of the other's 50.609541 $, rounded up.
    assert load_price_book().cheapest_for(with_gpus("H100"), "cuda", Market.SPOT).sku == "gcp/a3-highgpu-1g"


def test_an_unknown_gpu_is_answered_with_the_setting_and_the_names_known():
    with pytest.raises(
        PriceBookError, match=r"no accelerator 'NVIDIA RTX 9090'; set sku_cuda in \[pricing\] .*H100, .*V100"
    ):
        load_price_book().cheapest_for(with_gpus("NVIDIA RTX 9090"), "cuda", Market.ON_DEMAND)


def test_a_gpu_without_a_rate_in_the_market_is_reported_with_those_that_have_one():
    with pytest.raises(PriceBookError, match=r"no spot rate of H200 \(markets with one: on_demand\)"):
        load_price_book().cheapest_for(with_gpus("H200"), "cuda", Market.SPOT)


def test_a_market_in_which_only_a_table_of_old_has_a_gpu_is_not_named():
    with pytest.raises(PriceBookError, match=r"no spot rate of V100 \(markets with one: on_demand\)"):
        load_price_book().cheapest_for(with_gpus("V100"), "cuda", Market.SPOT)


def test_a_machine_without_a_gpu_cannot_be_billed_as_one():
    with pytest.raises(PriceBookError, match="no accelerator to bill"):
        load_price_book().cheapest_for(MACHINE, "cuda", Market.ON_DEMAND)


# --- version -------------------------------------------------------------------------------------


def test_the_version_depends_on_the_rates_and_not_on_their_order():
    other = replace(POINT, sku="acme/large")
    version = PriceBook((POINT, other)).version
    assert len(version) == 12
    assert PriceBook((other, POINT)).version == version
    assert PriceBook((POINT, replace(other, usd_per_hour=0.21))).version != version


# --- malformed tables ----------------------------------------------------------------------------


def read(tmp_path, *rows: str, header: str = ",".join(COLUMNS)) -> PriceBook:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return PriceBook(read_price_table(path))


def test_a_good_table_is_read(tmp_path):
    assert read(tmp_path, GOOD_ROW).points == (POINT,)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (",0.2,", ",-0.2,", "usd_per_hour is -0.2; a rate is above 0"),
        (",0.2,", ",0,", "usd_per_hour is 0;"),
        (",0.2,", ",nan,", "usd_per_hour is nan;"),
        (",0.2,", ",inf,", "usd_per_hour is inf;"),
        (",0.2,", ",7000,", "at most 1000"),
        (",0.2,", ",,", "usd_per_hour is '', not a number"),
        (",0.2,", ",cheap,", "usd_per_hour is 'cheap', not a number"),
        (",4,16,", ",0,16,", "vcpu is 0; it is above 0, or blank where unknown"),
        (",4,16,", ",,,", "all blank"),
        (",0,,4", ",2,,4", "accelerator is '' and accelerator_count is 2"),
        (",0,,4", ",0.5,,4", "accelerator_count is '0.5', not a whole number"),
        ("on_demand", "ondemand", "unknown market 'ondemand'; did you mean 'on_demand'?"),
        ("x86_64", "x86-64", "architecture is 'x86-64'; did you mean 'x86_64'?"),
        ("acme/small", "small", "sku is 'small', not 'provider/name'"),
        ("2026-01-01", "01/01/2026", "effective_from is '01/01/2026', not a date"),
        ("2026-01-01,", "2026-01-01,2025-01-01", "effective_to 2025-01-01 is not after effective_from 2026-01-01"),
        ("list price,a test", "list price,", "source is blank"),
        (",none,a test", "", "has not the 18 cells of the header"),
        ("none,a test", "none,a test,more", "has not the 18 cells of the header"),
    ],
)
def test_a_wrong_value_is_reported_with_its_line(tmp_path, old, new, shown):
    assert old in GOOD_ROW
    good = GOOD_ROW.replace("acme/small", "acme/good")
    with pytest.raises(PriceBookError) as caught:
        read(tmp_path, good, GOOD_ROW.replace(old, new, 1))
    assert str(caught.value).startswith("mine.csv, line 3: ")
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (GOOD_ROW, "a second rate for acme/small, on_demand on 2026-01-01, beside mine.csv, line 2"),
        (GOOD_ROW.replace(",16,", ",32,"), "describes another machine than mine.csv, line 2"),
        (GOOD_ROW.replace("on_demand", "spot"), "spot rate 0.2 is the on_demand rate of mine.csv, line 2"),
    ],
)
def test_two_rows_that_contradict_each_other_are_reported_with_both_lines(tmp_path, row, shown):
    with pytest.raises(PriceBookError) as caught:
        read(tmp_path, GOOD_ROW, row)
    assert str(caught.value) == f"mine.csv, line 3: {shown}"


def test_a_rate_that_ends_after_the_next_one_began_is_refused():
    first = replace(POINT, effective_to=date(2026, 7, 1))
    with pytest.raises(PriceBookError, match="a second rate for acme/small, on_demand on 2026-06-01"):
        PriceBook((first, replace(POINT, effective_from=date(2026, 6, 1))))


def test_a_header_with_a_wrong_or_missing_column_is_refused(tmp_path):
    header = ",".join(COLUMNS)
    with pytest.raises(PriceBookError, match="line 1: unknown column 'usd_per_day'; did you mean 'usd_per_hour'"):
        read(tmp_path, header=header.replace("usd_per_hour", "usd_per_day"))
    with pytest.raises(PriceBookError, match="line 1: no column licence"):
        read(tmp_path, header=header.replace(",licence", ""))


def test_a_file_that_is_not_there_is_reported_by_its_name(tmp_path):
    with pytest.raises(PriceBookError, match=r"absent\.csv cannot be read as a price table"):
        read_price_table(tmp_path / "absent.csv")
