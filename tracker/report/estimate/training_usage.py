"""What trainings use: the figures that they are priced by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingUsage:
    """What whole trainings of n settings use: each an array [n]."""

    seconds: Array
    first_seconds: Array
    """Until the first checkpoint."""
    startup_seconds: Array
    memory_bytes: Array
