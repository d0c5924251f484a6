"""The search space on this machine: a study's space without what the hardware cannot do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracker.errors import HardwareError
from tracker.records import Hardware, Settings, SettingValue
from tracker.study.domains import Choices, Domain
from tracker.study.spec import StudySpec

GB = 2**30
"""Bytes of a GB of memory, as clouds and people mean it."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The domains to draw a trial from.

    The device is drawn first; ``by_device`` holds what can be drawn on each. ``left_out`` says, a
    sentence each, what the study asked for and this machine cannot do.
    """

    fixed: Settings
    by_device: Mapping[str, Mapping[str, Domain]]
    left_out: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices to choose from, at least one."""
        return tuple(self.by_device)

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of all knobs that vary, in the order that they are drawn."""
        names = ["device"] if len(self.by_device) > 1 else []
        for domains in self.by_device.values():
            names += [name for name in domains if name not in names]
        return tuple(names)

    @property
    def many_kinds(self) -> bool:
        """Whether trials may need machines of several kinds: with GPUs or not, of one model or another, …"""
        return not {"device", "accelerator_model", "market"}.isdisjoint(self.searched)

    @property
    def size(self) -> float:
        """How many different settings it has; infinite with a range that does not keep to a step."""
        return sum(math.prod(domain.size for domain in domains.values()) for domains in self.by_device.values())

    def combinations(self) -> Iterator[Settings]:
        """All of its settings, in the order that they are written. Raises ValueError where there is no end of them."""
        for device, domains in self.by_device.items():
            for values in itertools.product(*(domain.values for domain in domains.values())):
                yield {**self.fixed, "device": device, **dict(zip(domains, values, strict=True))}

    def key(self, settings: Settings) -> str:
        """A text that only the same settings have."""
        domains = self.by_device.get(str(settings.get("device")), {})
        return repr(
            sorted((name, domains[name].place(each) if name in domains else each) for name, each in settings.items())
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """A kind of machine that a trial on ``device`` may run on: ``accelerator_model`` is "" for its CPU."""

    device: str
    accelerator_model: str
    market: str


_Allows = Callable[[SettingValue], bool]


def search_space(
    spec: StudySpec, hardware: Hardware, compile_problem: str = "", offers: Collection[Offer] = ()
) -> SearchSpace:
    """The part of a study's space that this machine can do, or a cluster of the machines in ``offers``.

    ``compile_problem`` says why torch.compile does not work here, "" where it does. Raises
    HardwareError where a fixed setting is impossible here, nothing of a knob is left, or no machine is of a model and
    a market that would both be drawn.
    """
    offers = offers or [
        Offer(device, hardware.accelerator if device == "cuda" else "", spec.pricing.market)
        for device in hardware.devices
    ]
    left_out: list[str] = []
    devices = _devices(spec, hardware, left_out)
    fixed: dict[str, SettingValue] = {**spec.fixed_settings}
    nodes = _fewest_nodes(spec)
    threads = hardware.cores * nodes
    for name, value in (("threads", threads), ("precision", "fp32"), ("compile", False), ("processes", 1)):
        if name not in spec.space:
            fixed.setdefault(name, value)
    fixed.pop("device", None)
    by_device = {}
    for device in devices:
        mine = [offer for offer in offers if offer.device == device]
        limits = {**_limits(device, hardware, compile_problem, nodes), **_limits_of_nodes(spec), **_offered(mine)}
        unknown = ("device",) if device == "cuda" else ("device", "accelerator_model")
        domains = {name: domain for name, domain in spec.space.items() if name not in unknown}
        for name, (reason, allows) in limits.items():
            if name in fixed and not allows(fixed[name]):
                raise HardwareError(f"setting {name} = {_text(fixed[name])} is impossible here: {reason}")
            if name in domains:
                domains[name] = _allowed(name, domains[name], reason, allows, left_out)
        _check_offered(mine, fixed, domains)
        by_device[device] = domains
    return SearchSpace(fixed, by_device, tuple(dict.fromkeys(left_out)))


def _fewest_nodes(spec: StudySpec) -> int:
    """The fewest nodes that a trial of a study may have: what it takes must fit on so many."""
    domain = spec.space.get("nodes")
    if domain is None:
        return int(spec.settings.get("nodes", 1))
    return min(map(int, domain.values)) if isinstance(domain, Choices) else int(domain.low)


def _limits_of_nodes(spec: StudySpec) -> dict[str, tuple[str, _Allows]]:
    """What there is of a cluster's nodes may change while a study runs, so it is no limit."""
    alone = spec.engine.name == "local"
    return {
        "nodes": ('this study runs on one machine; engine "ray" has several', lambda value: value == 1 or not alone)
    }


def _limits(device: str, hardware: Hardware, compile_problem: str, nodes: int) -> dict[str, tuple[str, _Allows]]:
    """For each hardware knob, which values so many such machines can do, and why not the others."""
    precisions, room = hardware.precisions.get(device, ("fp32",)), hardware.trial_memory_bytes
    room_gb = math.floor(10 * room / GB) / 10
    most = hardware.accelerator_count if device == "cuda" else hardware.cores
    has = (
        f"the machine has {most} GPU{'s' if most != 1 else ''}" if device == "cuda" else f"the machine has {most} cores"
    )
    return {
        "precision": (f"not computed by this machine's {device} device", lambda value: value in precisions),
        "threads": (f"the machine has {hardware.cores} cores", lambda value: int(value) <= hardware.cores * nodes),
        "processes": (has, lambda value: int(value) <= most * nodes),
        "memory_gb": (
            f"the machine has {hardware.memory_bytes / GB:.1f} GB, and its trials may take {room_gb:.1f}",
            lambda value: float(value) * GB <= room * nodes,
        ),
        "compile": (compile_problem, lambda value: not value or not compile_problem),
    }


def _offered(offers: Sequence[Offer]) -> Mapping[str, tuple[str, _Allows]]:
    """Which models and markets machines have that a device is offered on, and why no others."""
    models, markets = ({getattr(offer, name) for offer in offers} for name in ("accelerator_model", "market"))
    limits: dict[str, tuple[str, _Allows]] = {
        "market": (f"machines are bought as {_listed(sorted(markets))}", lambda value: value in markets)
    }
    if any(models):
        limits["accelerator_model"] = (f"there is {_listed(sorted(models))}", lambda value: value in models)
    return limits


def _check_offered(offers: Sequence[Offer], fixed: Settings, domains: Mapping[str, Domain]) -> None:
    """Raise HardwareError where a model and a market could both be drawn, and no machine has them."""

    def values(name: str) -> Sequence[SettingValue]:
        return domains[name].values if name in domains else [fixed[name]] if name in fixed else []

    there = {(offer.accelerator_model, offer.market) for offer in offers}
    models = values("accelerator_model") if any(model for model, _ in there) else []
    for model, market in itertools.product(models, values("market")):
        if (model, market) not in there:
            pairs = "; ".join(f"{each} as {how}" for each, how in sorted(there))
            raise HardwareError(
                f"no machine with {model} is bought as {market}, and trials would wait for one; there are {pairs}"
            )


def _devices(spec: StudySpec, hardware: Hardware, left_out: list[str]) -> tuple[str, ...]:
    if "device" in spec.settings:
        device = str(spec.settings["device"])
        if device not in hardware.devices:
            raise HardwareError(
                f"setting device = {device} is impossible here: this machine has {_listed(hardware.devices)}"
            )
        return (device,)
    if "device" not in spec.space:
        return (hardware.devices[-1],)
    domain = spec.space["device"]
    assert isinstance(domain, Choices)  # a text knob takes nothing else
    wanted = [str(device) for device in domain.values]
    if missing := [device for device in wanted if device not in hardware.devices]:
        left_out.append(f"device {_listed(missing)}: not on this machine")
    if not (devices := tuple(device for device in wanted if device in hardware.devices)):
        raise HardwareError(f"device {_listed(wanted)} is not on this machine, which has {_listed(hardware.devices)}")
    return devices


def _allowed(name: str, domain: Domain, reason: str, allows: _Allows, left_out: list[str]) -> Domain:
    if not isinstance(domain, Choices):
        if allows(domain.high):
            return domain
        domain = Choices(tuple(domain.values))
    kept = tuple(value for value in domain.values if allows(value))
    if dropped := [value for value in domain.values if value not in kept]:
        left_out.append(f"{name} {_listed(dropped)}: {reason}")
    if not kept:
        raise HardwareError(f"nothing of {name} ({_listed(domain.values)}) is possible here: {reason}")
    return Choices(kept)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(_text(value) for value in values)
