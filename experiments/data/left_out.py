"""Saying what of a source cannot be used and is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

MOST_NAMED = 100
"""How many are named one by one; the rest are counted."""


def say_left_out(reasons: Sequence[str], progress: Callable[[str], None]) -> None:
    """Say what is left out, each with its reason, which names the file and the row."""
    for reason in reasons[:MOST_NAMED]:
        progress(f"left out: {reason}")
    if len(reasons) > MOST_NAMED:
        progress(f"left out: {len(reasons) - MOST_NAMED:,} more")
