"""Values for strict JSON: no numpy, no NaN, no infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def plain(value: Any) -> Any:
    """Convert ``value`` to built-in types, recursively; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return value if isinstance(value, bool | int) else str(value)


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of ``table`` as plain dictionaries, column names as keys."""
    names = [str(name) for name in table.columns]
    return [plain(dict(zip(names, row, strict=True))) for row in table.itertuples(index=False, name=None)]
