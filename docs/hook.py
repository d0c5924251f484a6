"""MkDocs calls this: in place of ``<!-- generated: NAME -->``, a page gets the reference of that name from the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.generator import GENERATED

_PLACE = re.compile(r"<!-- generated: ([\w-]+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its generated parts. Raises KeyError for a name that nothing generates."""
    return _PLACE.sub(lambda found: GENERATED[found[1]](), markdown)
