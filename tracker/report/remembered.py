"""What was worked out of a study's table once is not worked out again: a table never changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import pandas as pd

from tracker.store.run_table import StudyTable

Result = TypeVar("Result")


def remembered(function: Callable[[StudyTable], Result]) -> Callable[[StudyTable], Result]:
    """The same function of a table, which keeps its result with the table."""

    @wraps(function)
    def remembering(table: StudyTable) -> Result:
        known: dict[Any, Any] = table.__dict__.setdefault("_remembered", {})
        if function not in known:
            known[function] = function(table)
        kept: Any = known[function]
        # A copy that shares the columns: one that is added, or assigned, is the caller's own.
        if isinstance(kept, pd.DataFrame):
            kept = kept.copy(deep=False)
        found: Result = kept
        return found

    return remembering
