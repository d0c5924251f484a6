"""Markdown from names and texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of these columns and rows."""
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(text.replace("|", "\\|") or " " for text in line) + " |" for line in lines) + "\n"
    )


def code(text: str) -> str:
    """A text as code; nothing for none.

    >>> code("price_usd"), code("")
    ('`price_usd`', '')
    """
    return f"`{text}`" if text else ""


def plain(text: str) -> str:
    """A text in which nothing is markup, what is code already apart.

    >>> plain("TRACKER_DATA_<KEY> and `a_b`")
    'TRACKER\\\\_DATA\\\\_\\\\<KEY\\\\> and `a_b`'
    """
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]])", r"\\\1", part) for part in parts)
