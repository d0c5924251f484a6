"""What a cloud says of one of its machines: which SKU it is, how it is bought, and where.

Only the link-local address is asked that a cloud answers at on its own machines; elsewhere nobody answers. The services
are those of Amazon (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html), Google
(cloud.google.com/compute/docs/metadata/overview) and Microsoft
(learn.microsoft.com/azure/virtual-machines/instance-metadata-service).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

SERVICE = "http://169.254.169.254"
WAIT_SECONDS = 1.0
_TOKEN = "X-aws-ec2-metadata-token"


@dataclass(frozen=True, slots=True)
class Sold:
    """A machine as its cloud sells it: a SKU, a market and a region, as the price book writes them."""

    sku: str
    market: str
    region: str


def sold_as(service: str = SERVICE) -> Sold | None:
    """What the cloud at ``service`` says of this machine; None where there is none, or it says something else."""
    ask: Callable[[str], Sold]
    for ask in (_aws, _gcp, _azure):
        try:
            return ask(service)
        except urllib.error.HTTPError:  # another cloud's
            continue
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return None


def _aws(service: str) -> Sold:
    lifetime = {f"{_TOKEN}-ttl-seconds": "60"}
    token = {_TOKEN: _said(f"{service}/latest/api/token", lifetime, method="PUT")}
    kind, cycle, region = (
        _said(f"{service}/latest/meta-data/{what}", token)
        for what in ("instance-type", "instance-life-cycle", "placement/region")
    )
    return Sold(f"aws/{kind}", "spot" if cycle == "spot" else "on_demand", region)


def _gcp(service: str) -> Sold:
    kind, zone, preemptible = (
        _said(f"{service}/computeMetadata/v1/instance/{what}", {"Metadata-Flavor": "Google"})
        for what in ("machine-type", "zone", "scheduling/preemptible")
    )
    region = zone.rpartition("/")[2].rpartition("-")[0]
    return Sold(f"gcp/{kind.rpartition('/')[2]}", "spot" if preemptible == "TRUE" else "on_demand", region)


def _azure(service: str) -> Sold:
    compute = json.loads(_said(f"{service}/metadata/instance/compute?api-version=2021-02-01", {"Metadata": "true"}))
    market = "spot" if compute["priority"] == "Spot" else "on_demand"
    return Sold(f"azure/{compute['vmSize']}", market, str(compute["location"]))


def _said(url: str, headers: dict[str, str], method: str = "GET") -> str:
    request = urllib.request.Request(url, headers=headers, method=method)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=WAIT_SECONDS) as answer:
        text: str = answer.read(100_000).decode().strip()
        return text
