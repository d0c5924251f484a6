"""gpuhunt's live catalogue, downloaded by gpuhunt itself from a real server that has it as theirs does."""

import socket
import sys
from datetime import date

import pytest

from tracker.errors import CatalogueError, PriceBookError
from tracker.pricing.catalogues.gpuhunt_offers import fetch_gpuhunt
from tracker.pricing.price_book import PriceBook, load_price_book
from tracker.records import Market

BOOK = load_price_book()
TODAY = date(2026, 12, 1)
H100 = BOOK.point("aws/p5.48xlarge", Market.ON_DEMAND)
AWS_ROWS = (
    "p5.48xlarge,us-east-1,50.0,192,2048.0,8,H100,80.0,False,,nvidia,,x86,{}",
    "p5.48xlarge,us-east-1,20.0,192,2048.0,8,H100,80.0,True,,nvidia,,x86,{}",
    "p5.48xlarge,sa-east-1,60.0,192,2048.0,8,H100,80.0,False,,nvidia,,x86,{}",
    "m7i.large,us-east-1,0.11,2,8.0,0,,,False,,,,x86,{}",
    "r9x.large,us-east-1,0.13,2,16.0,0,,,False,,,,x86,{}",
)


def offers(fetched) -> list[tuple]:
    return [(point.sku, point.region, str(point.market), point.usd_per_hour) for point in fetched.points]


def complaints(fetched) -> list[str]:
    """What was refused, without the clouds that have no catalogue in the test."""
    return [line for line in fetched.refused if "Failed to load" not in line]


def test_gpuhunt_gives_gpu_machines_and_known_ones_in_the_regions_of_the_book(gpuhunt_at):
    gpuhunt_at(aws=AWS_ROWS)
    fetched = fetch_gpuhunt(BOOK, TODAY)
    assert offers(fetched) == [
        ("aws/p5.48xlarge", "us-east-1", "on_demand", 50.0),
        ("aws/p5.48xlarge", "us-east-1", "spot", 20.0),
        ("aws/m7i.large", "us-east-1", "on_demand", 0.11),
    ]
    assert complaints(fetched) == []
    point = fetched.points[0]
    assert (point.machine, point.spec_source) == (H100.machine, H100.spec_source)
    assert (point.effective_from, point.quality, point.date_kind) == (TODAY, "fetched", "live catalogue read")
    assert point.source.startswith("gpuhunt ") and point.source.endswith(", aws catalogue 20261201-1")
    assert point.licence == "MPL-2.0 (gpuhunt)"


def test_gpuhunt_gives_other_regions_where_they_are_named(gpuhunt_at):
    gpuhunt_at(aws=AWS_ROWS)
    fetched = fetch_gpuhunt(BOOK, TODAY, ["sa-east-1", "mars-north-1"])
    assert offers(fetched) == [("aws/p5.48xlarge", "sa-east-1", "on_demand", 60.0)]
    assert complaints(fetched) == ["gpuhunt: nothing to be taken in region 'mars-north-1'"]


def test_gpuhunt_gives_every_region_of_a_cloud_that_the_book_has_none_of(gpuhunt_at):
    rows = [f"gpu_1x_a100,{place},1.29,30,214.8,1,A100,40.0,False,,nvidia,,x86,{{}}" for place in ("us-a", "us-b")]
    gpuhunt_at(lambdalabs=rows)
    first = fetch_gpuhunt(BOOK, TODAY)
    assert offers(first) == [("lambda/gpu_1x_a100", place, "on_demand", 1.29) for place in ("us-a", "us-b")]
    assert first.points[0].machine == ("x86_64", "A100-40GB", 1, 30.0, 200.0)
    # Also when all that is known of it is what an earlier update fetched.
    assert len(fetch_gpuhunt(PriceBook((*BOOK.points, first.points[0])), TODAY).points) == 2


@pytest.mark.parametrize(
    ("provider", "row", "sku", "accelerator"),
    [
        ("azure", "Standard_NC40ads_H100_v5,eastus,7,40,320,1,H100NVL,94.0,False,,nvidia,,x86,{}",
         "azure/Standard_NC40ads_H100_v5", ("H100-NVL", 1, 94)),
        ("azure", "Standard_ND40rs_v2,eastus,20,40,672,8,V100,32.0,False,,nvidia,,x86,{}",
         "azure/Standard_ND40rs_v2", ("V100-32GB", 8, 32)),
        ("gcp", "n1-standard-8,us-central1-b,2.86,8,30,2,V100,16.0,False,,nvidia,,x86,{}",
         "gcp/n1-standard-8+2xV100", ("V100", 2, 16)),
        ("gcp", "v5litepod-1,us-central1-a,1.2,24,48,1,v5litepod-1,16.0,False,,google,,x86,{}",
         "gcp/v5litepod-1", ("v5litepod-1", 1, 16)),
        ("nebius", "gpu-h100-sxm 1gpu-16vcpu-200gb,eu-north1,2.95,16,200,1,H100,80.0,False,,nvidia,,x86,{}",
         "nebius/gpu-h100-sxm-1gpu-16vcpu-200gb", ("H100", 1, 80)),
        ("runpod", "NVIDIA A100 80GB PCIe,CA-MTL-3,3.28,16,234,2,A100,80.0,False,,nvidia,,x86,{}",
         "runpod/2x-NVIDIA-A100-80GB-PCIe", ("A100-80GB", 2, 80)),
        ("verda", "1B300.30V,FIN-03,4.9,30,275,1,B300,268.0,False,,nvidia,,x86,{}",
         "datacrunch/1B300.30V", ("B300", 1, 270)),
        ("oci", "BM.GPU.GB200.4,us-ashburn-1,64,144,960,4,GB200,186.0,False,,nvidia,,arm,{}",
         "oracle/BM.GPU.GB200.4", ("GB200", 4, 186)),
        ("runpod", "NVIDIA H100 PCIe,US-KS-2,2.39,16,188,1,H100,80.0,False,,nvidia,,x86,{}",
         "runpod/1x-NVIDIA-H100-PCIe", ("H100-PCIe", 1, 80)),
        ("cloudrift", "rtx49-8c-nr.1,us-east,0.39,8,48,1,RTX4090,24.0,False,,nvidia,,x86,{}",
         "cloudrift/rtx49-8c-nr.1", ("RTX4090", 1, 24)),
    ],
)  # fmt: skip
def test_gpuhunts_names_become_those_of_the_price_book(gpuhunt_at, provider, row, sku, accelerator):
    gpuhunt_at(**{provider: [row]})
    fetched = fetch_gpuhunt(BOOK, TODAY)
    assert complaints(fetched) == []
    (point,) = fetched.points
    assert point.sku == sku
    assert (point.accelerator, point.accelerator_count, point.accelerator_memory_gb) == accelerator
    assert point.architecture == ("arm64" if "GB200" in sku else "x86_64")


def test_what_runpod_calls_one_machine_has_no_vcpu_and_ram(gpuhunt_at):
    gpuhunt_at(runpod=["NVIDIA L4,EU-RO-1,0.43,12,50,1,L4,24.0,False,,nvidia,,x86,{}"])
    (point,) = fetch_gpuhunt(BOOK, TODAY).points
    assert (point.vcpu, point.ram_gb) == (None, None)


def test_offers_of_a_gcp_zone_are_one_of_its_region(gpuhunt_at):
    zones = [f"a2-ultragpu-1g,us-central1-{zone},5.1,12,170,1,A100,80,False,,nvidia,,x86,{{}}" for zone in "ac"]
    gpuhunt_at(gcp=zones)
    assert offers(fetch_gpuhunt(BOOK, TODAY)) == [("gcp/a2-ultragpu-1g", "us-central1", "on_demand", 5.1)]


@pytest.mark.parametrize("flag", ["gcp-dws-calendar-mode", "gcp-a4 gcp-dws-calendar-mode"])
def test_offers_that_are_booked_ahead_are_left_out(gpuhunt_at, flag):
    gpuhunt_at(gcp=[f"a4-highgpu-8g,us-central1-a,90,224,3968,8,B200,180,False,,nvidia,{flag},x86,{{}}"])
    fetched = fetch_gpuhunt(BOOK, TODAY)
    assert (fetched.points, complaints(fetched)) == ((), [])


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ("p5.48xlarge,us-east-1,50,96,2048,8,H100,80,False,,nvidia,,x86,{}",
         "aws/p5.48xlarge: vcpu is 96; in the price book it is 192"),
        ("p5.48xlarge,us-east-1,50,192,2048,4,H100,80,False,,nvidia,,x86,{}",
         "aws/p5.48xlarge: accelerator_count is 4; in the price book it is 8"),
        ("p5.48xlarge,us-east-1,50,192,2048,8,H200,141,False,,nvidia,,x86,{}",
         "aws/p5.48xlarge: accelerator is 'H200'; in the price book it is 'H100'"),
        ("m7i.large,us-east-1,0.1,2,8,0,,,False,,,,arm,{}",
         "aws/m7i.large: architecture is 'arm64'; in the price book it is 'x86_64'"),
        ("g6f.large,us-east-1,0.2,2,8,1,L4,3,False,,nvidia,,x86,{}",
         "aws/g6f.large: its L4 has 3 GB, not 24: a slice, or another kind"),
        ("p5.48xlarge,us-east-1,0,192,2048,8,H100,80,False,,nvidia,,x86,{}", "aws/p5.48xlarge: usd_per_hour is 0;"),
        ("p9.large,us-east-1,5,192,2048,8,,,False,,nvidia,,x86,{}", "aws/p9.large: accelerator is ''"),
        ("p5.48xlarge,us-east-1,cheap,192,2048,8,H100,80,False,,nvidia,,x86,{}",
         "gpuhunt: Skipping malformed row in aws catalog at line 2: Cannot parse field 'price'"),
    ],
)  # fmt: skip
def test_a_bad_offer_of_gpuhunt_is_refused_with_its_reason_and_the_others_are_taken(gpuhunt_at, row, shown):
    gpuhunt_at(aws=[row, "m7i.xlarge,us-east-1,0.21,4,16,0,,,False,,,,x86,{}"])
    fetched = fetch_gpuhunt(BOOK, TODAY)
    assert offers(fetched) == [("aws/m7i.xlarge", "us-east-1", "on_demand", 0.21)]
    assert len(complaints(fetched)) == 1
    assert complaints(fetched)[0].startswith(shown)


def test_a_cloud_whose_catalogue_is_missing_is_reported_and_the_others_are_read(gpuhunt_at, capfd):
    gpuhunt_at(aws=AWS_ROWS)
    fetched = fetch_gpuhunt(BOOK, TODAY)
    assert len(fetched.points) == 3
    missing = [line for line in fetched.refused if "Failed to load" in line]
    assert any(line.startswith("gpuhunt: Failed to load gcp catalog") for line in missing)
    assert all(line.endswith("(HTTP Error 404: Not Found)") for line in missing)
    assert capfd.readouterr() == ("", "")


def test_gpuhunt_out_of_reach_is_reported_in_one_line_and_nothing_else(
    gpuhunt_at, closed_port, monkeypatch, capfd, caplog
):
    monkeypatch.setenv("GPUHUNT_CATALOG_URL", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(CatalogueError, match=r"^gpuhunt's catalogue cannot be reached: .*Connection refused[^\n]*$"):
        fetch_gpuhunt(BOOK, TODAY)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])
    assert socket.getdefaulttimeout() is None


def test_without_gpuhunt_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(PriceBookError, match=r"gpuhunt is not installed; pip install 'cost-quality-tracker\[prices\]'"):
        fetch_gpuhunt(BOOK, TODAY)
