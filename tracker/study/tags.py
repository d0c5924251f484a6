"""Tags of a person's own on a study, such as team = "search": what its dollars are accounted for by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.errors import RequestError

RESERVED = ("study", "user", "trial")
"""What every charge is tagged with already."""
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
_VALUE_CHARACTERS = 200
_CHARACTERS = 4000
"""Of all tags together: they are kept as one MLflow tag, which holds 5,000."""


def tag_problems(tags: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with each tag that something is wrong with, by its key; "" is the key of all together."""
    problems = {key: problem for key, value in tags.items() if (problem := _problem(key, value))}
    if not problems and len(json.dumps(tags)) > _CHARACTERS:
        problems[""] = f"{len(json.dumps(tags)):,} characters in all; allowed: at most {_CHARACTERS:,}"
    return problems


def _problem(key: str, value: object) -> str | None:
    if not _KEY.fullmatch(key):
        return "not a tag's name; allowed: 1 to 50 letters without accents, digits, _ and -, a letter or digit first"
    if key.lower() in RESERVED:
        return f"every charge has this tag already; choose another name than {', '.join(RESERVED)}"
    if not isinstance(value, str):
        return f'{value!r} is not a text; write it in quotes, as "4711"'
    if not value.strip() or len(value) > _VALUE_CHARACTERS or not value.isprintable():
        return f"{value[:40]!r} is not a printable text of 1 to {_VALUE_CHARACTERS} characters"
    return None


def parse_tags(assignments: Sequence[str]) -> dict[str, str]:
    """Tags from "key=value" texts. Raises RequestError."""
    tags = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise RequestError(f"--tag '{assignment}' is not of the form key=value")
        tags[key.strip()] = value.strip()
    return tags
