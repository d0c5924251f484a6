"""A cache for results computed from a study's table, which never changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import pandas as pd

from tracker.store.run_table import StudyTable

Result = TypeVar("Result")


def remembered(function: Callable[[StudyTable], Result]) -> Callable[[StudyTable], Result]:
    """Decorate a function of a table so that its result is cached with the table."""

    @wraps(function)
    def remembering(table: StudyTable) -> Result:
        known: dict[Any, Any] = table.__dict__.setdefault("_remembered", {})
        if function not in known:
            known[function] = function(table)
        kept: Any = known[function]
        # A shallow copy: columns that the caller adds or assigns stay the caller's.
        if isinstance(kept, pd.DataFrame):
            kept = kept.copy(deep=False)
        found: Result = kept
        return found

    return remembering
