"""Settings as points in the unit cube, for models that learn from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tracker.records import Settings, SettingValue
from tracker.study.domains import Choices, Domain, Range
from tracker.study.space import SearchSpace


class UnitCube:
    """A search space as columns from 0 to 1: one for a range or for choices in an order, one each for names.

    Numeric choices are spaced evenly in their order. A knob that a device does not have is 0 there. A space in which
    nothing varies has one column.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._columns: list[Callable[[Settings], float]] = []
        if len(space.devices) > 1:
            self._columns += [_is("device", device) for device in space.devices]
        for name in space.searched:
            domains = [domains[name] for domains in space.by_device.values() if name in domains]
            self._columns += _columns(name, domains) if domains else []
        self._columns = self._columns or [lambda _: 0.0]

    @property
    def width(self) -> int:
        """How many columns a point has."""
        return len(self._columns)

    @property
    def dimensions(self) -> int:
        """How many knobs a setting has at most, its device being one where there are several; at least 1."""
        devices = self._space.by_device.values()
        return max(1, *map(len, devices)) + (len(devices) > 1)

    def points(self, settings: Sequence[Settings]) -> NDArray[np.float64]:
        """The points [n, width] of n settings."""
        rows = [[column(each) for column in self._columns] for each in settings]
        return np.array(rows, dtype=np.float64).reshape(len(settings), self.width)

    def draw(self, random: np.random.Generator) -> Settings:
        """Settings drawn uniformly from the space, with the fixed ones."""
        device = self._space.devices[int(random.integers(len(self._space.devices)))]
        domains = self._space.by_device[device].items()
        drawn = {name: _drawn(domain, random) for name, domain in domains}
        return {**self._space.fixed, "device": device, **drawn}

    def neighbour(self, settings: Settings, random: np.random.Generator) -> Settings:
        """These settings with one or two knobs redrawn."""
        domains: Mapping[str, Domain] = self._space.by_device[str(settings["device"])]
        names = list(domains)
        changed = random.permutation(len(names))[: int(random.integers(1, 3))]
        return {**settings, **{names[index]: _drawn(domains[names[index]], random) for index in changed}}


def _columns(name: str, domains: Sequence[Domain]) -> list[Callable[[Settings], float]]:
    ranges = [domain for domain in domains if isinstance(domain, Range)]
    values = list(dict.fromkeys(value for domain in domains if isinstance(domain, Choices) for value in domain.values))
    if ranges:
        numbers = [float(value) for value in values if not isinstance(value, str)]
        low = min(numbers + [domain.low for domain in ranges])
        high = max(numbers + [domain.high for domain in ranges])
        scale = math.log if ranges[0].log and low > 0 else float
        return [
            lambda settings: (
                (scale(settings[name]) - scale(low)) / (scale(high) - scale(low)) if name in settings else 0.0
            )
        ]
    if all(isinstance(value, int | float) for value in values):  # truth values too
        places = {value: rank / max(1, len(values) - 1) for rank, value in enumerate(sorted(values))}
        return [lambda settings: places.get(settings.get(name, values[0]), 0.0)]
    return [_is(name, value) for value in values] if len(values) > 1 else []


def _is(name: str, value: SettingValue) -> Callable[[Settings], float]:
    return lambda settings: float(settings.get(name) == value)


def _drawn(domain: Domain, random: np.random.Generator) -> SettingValue:
    if isinstance(domain, Choices):
        return domain.values[int(random.integers(len(domain.values)))]
    if domain.step is not None or (domain.integer and not domain.log):
        return domain.at(int(random.integers(int(domain.size))))
    if domain.log:
        value = math.exp(random.uniform(math.log(domain.low), math.log(domain.high)))
        value = min(max(value, domain.low), domain.high)
        return round(value) if domain.integer else value
    return float(random.uniform(domain.low, domain.high))
