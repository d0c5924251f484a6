"""The price book's names for what gpuhunt's catalogue calls otherwise."""

from __future__ import annotations

from collections.abc import Mapping

_ACCELERATORS: Mapping[tuple[str, int], str] = {
    ("A100", 40): "A100-40GB",
    ("A100", 80): "A100-80GB",
    ("V100", 16): "V100",
    ("V100", 32): "V100-32GB",
    ("H100NVL", 94): "H100-NVL",
}
"""By gpuhunt's name and GB of memory; what is not here has the same name in both."""
_PROVIDERS: Mapping[str, str] = {"lambdalabs": "lambda", "oci": "oracle", "verda": "datacrunch"}
"""DataCrunch calls itself Verda since 2025; its machines kept their names."""
_GIB_IN_ITS_GB: Mapping[str, float] = {"lambda": 1 / 1.074}
"""gpuhunt gives memory in the clouds' own GB, which are GiB; Lambda's it multiplies by 1.074."""


def accelerator_of(name: str, memory_gb: float | None, machine: str) -> str:
    """The price book's name of an accelerator; ``name`` itself where the book has no other.

    >>> accelerator_of("A100", 80.0, "a2-ultragpu-1g"), accelerator_of("RTX4090", 24.0, "rtx49-8c-nr.1")
    ('A100-80GB', 'RTX4090')
    >>> accelerator_of("H100", 80.0, "gpu_1x_h100_pcie")
    'H100-PCIe'
    """
    if name == "H100" and "pcie" in machine.lower():
        return "H100-PCIe"
    return _ACCELERATORS.get((name, round(memory_gb or 0)), name)


def sku_of(provider: str, machine: str, accelerators: int, accelerator: str) -> tuple[str, str]:
    """The provider and the SKU, "provider/name" without spaces.

    Two clouds use one name for machines with other accelerators; there the SKU says which it has.

    >>> sku_of("nebius", "gpu-h100-sxm 1gpu-16vcpu-200gb", 1, "H100")
    ('nebius', 'nebius/gpu-h100-sxm-1gpu-16vcpu-200gb')
    >>> sku_of("gcp", "n1-standard-8", 2, "T4")
    ('gcp', 'gcp/n1-standard-8+2xT4')
    """
    provider = _PROVIDERS.get(provider, provider)
    name = "-".join(machine.split())
    if accelerators and provider == "gcp" and name.startswith("n1-"):
        name = f"{name}+{accelerators}x{accelerator}"
    if accelerators and provider == "runpod":
        name = f"{accelerators}x-{name}"
    return provider, f"{provider}/{name}"


def region_of(provider: str, location: str) -> str:
    """The region of a location: GCP's are zones, within which prices do not differ.

    >>> region_of("gcp", "us-central1-a"), region_of("aws", "us-east-1")
    ('us-central1', 'us-east-1')
    """
    return location.rpartition("-")[0] if provider == "gcp" and location[-2:-1] == "-" else location


def machine_memory_gb(provider: str, memory_gb: float) -> float:
    """A machine's RAM in GiB, from what gpuhunt gives."""
    return round(memory_gb * _GIB_IN_ITS_GB.get(provider, 1.0), 3)
