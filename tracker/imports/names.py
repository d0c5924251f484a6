"""The name of a study that comes from elsewhere, by the rules of one that was run here."""

from __future__ import annotations

from tracker.errors import RequestError
from tracker.study.study_name import composed, name_problem


def importable_name(name: str) -> str:
    """The name as it is kept. Raises RequestError for one that no study may have."""
    if problem := name_problem(name):
        raise RequestError(f"the study's name: {problem}; give another --name")
    return composed(name)
