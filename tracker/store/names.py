"""Names of metrics and knobs as MLflow takes them: any name can be logged, and is shown as its own.

MLflow takes letters, digits, _ - . : / and blanks, at most 250 of them, and none that is another path, such as a//b
(mlflow/utils/validation.py). Any other name is logged under one like it, and a tag of the run says which it is.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

TAG_PREFIX = "tracker.name."
"""The tag that says the own name of what is logged under the name after it."""
_LONGEST = 200
_OTHER = re.compile(r"[^\w\-.:/ ]+")


@lru_cache(maxsize=10_000)
def logged_name(own: str) -> str:
    """The name that a metric or a knob is logged under: its own where MLflow takes it.

    >>> logged_name("val/loss"), logged_name("recall@5"), logged_name("a//b")
    ('val/loss', 'recall_5-80191039', 'a_b-7a9acf33')
    """
    fits = 0 < len(own) <= _LONGEST and not _OTHER.search(own) and own == own.strip()
    if fits and posixpath.normpath(own) == own and own != "." and not own.startswith(("/", "..")):
        return own
    plain = re.sub(r"[/.]{2,}", "_", _OTHER.sub("_", own)).strip("/. ")[: _LONGEST - 9]
    return f"{plain or '_'}-{hashlib.sha256(own.encode(errors='surrogatepass')).hexdigest()[:8]}"


def name_tags(own_names: Iterable[str]) -> dict[str, str]:
    """The tags that bring back the names which are logged under another."""
    return {f"{TAG_PREFIX}{logged}": own for own in own_names if (logged := logged_name(own)) != own}


def own_names(tags: Mapping[str, str]) -> dict[str, str]:
    """The reverse of ``name_tags``: the own name of each metric or knob that is logged under another."""
    return {tag.removeprefix(TAG_PREFIX): own for tag, own in tags.items() if tag.startswith(TAG_PREFIX)}
