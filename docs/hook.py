"""MkDocs calls this to make a page of the site from a page's Markdown, which GitHub shows as it is.

What stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is for readers on GitHub; the site has the
reference of that name from the code instead. A picture with a dark twin (``NAME-dark.png``) follows light and dark.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pygments.lexers.shell import BashSessionLexer

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.generator import GENERATED

_DOCS = Path(__file__).parent
_GENERATED = re.compile(r"<!-- generated: ([\w-]+) -->.*?<!-- end -->", re.DOTALL)
_PICTURE = re.compile(r"(!\[[^\]]*\]\(\S*?(pictures/\w+))\.png\)")
BashSessionLexer._ps1rgx = re.compile(r"^(\$ )(.*\n?)")
"""Only ``$ `` is a prompt. Pygments takes the number of a trial, ``#0``, for root's."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page of the site. Raises KeyError for a name that nothing generates."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation", "toc"]
    return _PICTURE.sub(_light_and_dark, _GENERATED.sub(lambda found: GENERATED[found[1]](), markdown))


def _light_and_dark(picture: re.Match[str]) -> str:
    start = picture[1]
    if not (_DOCS / f"{picture[2]}-dark.png").exists():
        return picture[0]
    return f"{start}.png#only-light)\n{start}-dark.png#only-dark)"
