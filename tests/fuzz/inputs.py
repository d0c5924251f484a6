"""How many inputs each test tries: 60, always the same, or FUZZ_INPUTS of them, each time others."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import HealthCheck, settings

INPUTS = int(os.environ.get("FUZZ_INPUTS", "0"))
FUZZ = settings(
    max_examples=INPUTS or 60,
    derandomize=not INPUTS,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
tried: Counter[str] = Counter()
"""How many inputs there were of each kind."""
