"""Names and sentences as Streamlit shows them literally: it reads most texts as Markdown."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$~:^=])")


def literal(text: str) -> str:
    """``text`` on one line, with everything escaped that Markdown, LaTeX ($) or an emoji code would read.

    >>> print(literal("$0.5 :tada: <b>"))
    \\$0\\.5 \\:tada\\: \\<b\\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
