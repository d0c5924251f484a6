"""Ray's words for machines, needs and versions, translated into the tracker's and back. It imports no Ray."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from tracker.engine.node import Needs, Node
from tracker.records import TRIAL_MEMORY_SHARE

_MODEL = "accelerator_type:"
_NAMES = {
    # Ray's name, by the price book's; what is not here has one name
    "A100-40GB": "A100-40G",
    "A100-80GB": "A100-80G",
    "RTXPRO6000": "RTX-PRO-6000",
    "MI300X": "AMD-Instinct-MI300X-OAM",
}
_DETECTED = {
    # what Ray finds by itself on the machines of a model: it does not distinguish by memory
    "A100-40GB": "A100",
    "A100-80GB": "A100",
    "V100-32GB": "V100",
}


Versions = tuple[str, str]
"""Those of Ray and of Python."""


def versions_in(error: BaseException) -> tuple[Versions, Versions] | None:
    """The versions there and here, where an error of Ray's client says that they differ; None where it does not."""
    text = str(error)
    found: list[Versions] = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
    return (found[0], found[1]) if "Version mismatch" in text and len(found) == 2 else None


def differ(address: str, there: Versions, here: Versions) -> str:
    """What people read of versions that differ."""
    return (
        f"the cluster at '{address}' runs Ray {there[0]} on Python {there[1]}, and here are Ray {here[0]} and Python "
        f"{here[1]}: both must be the same; start the study where they are, for example on a node of the cluster"
    )


def node_of(
    node_id: str, address: str, resources: Mapping[str, float], labels: Mapping[str, str], deadline_ms: int | None
) -> Node:
    """A node by Ray's resources; ``deadline_ms``, since 1970, is when it goes: 0 at no known time, None if it stays."""
    models = sorted(name.removeprefix(_MODEL) for name in resources if name.startswith(_MODEL))
    model = max(models, key=len, default=labels.get("ray.io/accelerator-type", ""))  # A100-80G says more than A100
    draining = None if deadline_ms is None else math.inf if deadline_ms == 0 else deadline_ms / 1000 - time.time()
    return Node(
        node_id=node_id,
        address=address,
        cores=int(resources.get("CPU", 0)),
        accelerators=int(resources.get("GPU", 0)),
        accelerator_model=next((ours for ours, theirs in _NAMES.items() if theirs == model), model),
        memory_bytes=int(resources.get("memory", 0)),
        labels=dict(labels),
        draining_seconds=None if draining is None else max(0.0, draining),
    )


def request_for(nodes: Iterable[Node], needs: Sequence[Needs]) -> tuple[list[dict[str, float]], list[dict[str, str]]]:
    """Bundles for Ray's autoscaler, and a label selector each: what is there, whole, and what is needed beside it.

    Ray compares a request with the whole cluster, and knows nothing of what the tracker runs on it: without the
    machines that are there, every need would fit on one of them. That an attempt on several needs them apart cannot be
    said: a larger one that comes may take the place of two.
    """
    if not needs:
        return [], []
    there = [(_bundle(node.cores, node.accelerators), {"ray.io/node-id": node.node_id}) for node in nodes]
    wanted = [
        (
            _bundle(each.cores, each.accelerators, each.memory_bytes / TRIAL_MEMORY_SHARE, each.accelerator_model),
            {"ray.io/market-type": each.market.replace("_", "-")} if each.market else {},
        )
        for each in needs
        for _ in range(each.nodes)
    ]
    asked = [(bundle, selector) for bundle, selector in there + wanted if bundle]
    return [bundle for bundle, _ in asked], [selector for _, selector in asked]


def _bundle(cores: int, accelerators: int, memory_bytes: float = 0.0, model: str = "") -> dict[str, float]:
    amounts = {"CPU": float(cores), "GPU": float(accelerators), "memory": float(math.ceil(memory_bytes))}
    if model:
        amounts[_MODEL + _DETECTED.get(model, _NAMES.get(model, model))] = 0.001
    return {name: amount for name, amount in amounts.items() if amount}
