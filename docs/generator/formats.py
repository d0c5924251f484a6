"""The formats of a report."""

from __future__ import annotations

from docs.generator.markdown import code, plain, table
from tracker.export.formats import FORMATS


def formats() -> str:
    """Each with what it is and its files."""
    rows = (
        [code(name), plain(each.help), ", ".join(code(file.name) for file in each.files)]
        for name, each in FORMATS.items()
    )
    return table(["format", "what it is", "files"], rows)
