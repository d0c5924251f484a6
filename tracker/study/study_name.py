"""The rules for a study's name: the same text for everyone who types it, and for no command an option."""

from __future__ import annotations

import unicodedata

_LIMIT_BYTES = 80


def composed(name: str) -> str:
    """The name with its accents composed (NFC): keyboards, files and pages write one name in two ways.

    >>> composed("cafe\\u0301") == "caf\\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def name_problem(name: object) -> str | None:
    """What is wrong with a study's name; None where nothing is."""
    if not isinstance(name, str) or not name.strip():
        return f"{name!r} is not a name"
    if len(name.encode(errors="surrogatepass")) > _LIMIT_BYTES or not name.isprintable():
        shown = repr(name) if len(name) <= _LIMIT_BYTES else f"{name[:_LIMIT_BYTES]!r}…, {len(name):,} characters,"
        return f"{shown} is not a printable text of at most {_LIMIT_BYTES} bytes"
    if name.startswith("-"):
        return f"{name!r} begins with '-', which commands take for an option"
    return None
