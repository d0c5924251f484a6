"""A run as a store holds it: names, texts and dated numbers, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Measurement(NamedTuple):
    """One value of one metric at one step; ``timestamp_ms`` since 1970."""

    name: str
    step: int
    timestamp_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One run, in any store."""

    run_id: str
    started_at_ms: int
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    measurements: Sequence[Measurement] = ()
