"""What of a search's saved state can be restored: each part on its own, where it has the form that was saved."""

from __future__ import annotations

import math
from typing import Any


def sound_memory(saved: Any) -> dict[str, Any]:
    """The parts of a saved state (FrontierSearch.memory) that make sense; the search works out the others again."""
    if not isinstance(saved, dict):
        return {}
    reference, trust, deep = (saved.get(name) for name in ("reference", "trust", "deep"))
    overruns = saved.get("overruns")
    sound: dict[str, Any] = {}
    if isinstance(reference, dict) and all(map(_is_number, reference.values())):
        sound["reference"] = reference
    if isinstance(trust, dict) and all(rung.isdecimal() and _is_sums(sums) for rung, sums in trust.items()):
        sound["trust"] = trust
    if isinstance(deep, list) and all(isinstance(trial, int) and trial >= 0 for trial in deep):
        sound["deep"] = deep
    for name in ("standstill", "enough"):
        still = saved.get(name)
        if isinstance(still, dict) and all(map(_is_number, still.values())):
            sound[name] = still
    if isinstance(overruns, list) and all(_is_number(ratio) and ratio >= 0 for ratio in overruns):
        sound["overruns"] = overruns
    alone_from, counted = saved.get("alone_from"), saved.get("counted")
    if isinstance(alone_from, int) and not isinstance(alone_from, bool) and alone_from >= 0:
        sound["alone_from"] = alone_from
    if isinstance(counted, bool):
        sound["counted"] = counted
    return sound


def _is_sums(sums: Any) -> bool:
    """Steps, expected and actual growth."""
    return isinstance(sums, list) and len(sums) == 3 and all(_is_number(each) and each >= 0 for each in sums)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )
