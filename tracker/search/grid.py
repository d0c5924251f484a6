"""Every combination of a space's choices, for studies that try them all."""

from __future__ import annotations

import itertools
import math

from tracker.errors import RequestError
from tracker.records import Settings
from tracker.study.domains import Choices
from tracker.study.space import SearchSpace

MOST_COMBINATIONS = 10_000


def combinations(space: SearchSpace) -> list[Settings]:
    """Every device with every combination of its choices, in the order that they are written.

    Raises RequestError for more than MOST_COMBINATIONS.
    """
    found: list[Settings] = []
    for device, domains in space.by_device.items():
        choices = {name: domain.values for name, domain in domains.items() if isinstance(domain, Choices)}
        count = math.prod(map(len, choices.values()))
        if count > MOST_COMBINATIONS:
            raise RequestError(
                f"strategy 'grid': the space has {count:,} combinations; allowed: at most {MOST_COMBINATIONS:,}"
            )
        found += [
            {"device": device, **dict(zip(choices, values, strict=True))}
            for values in itertools.product(*choices.values())
        ]
    return found
