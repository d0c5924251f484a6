"""Addresses of stores as they may be shown and kept: without what is secret in them."""

from __future__ import annotations

import re

_USER = re.compile(r"(://[^/?#\s:@]*):[^\s'\"]*@")
_PARAMETER = re.compile(r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret)[^=&\s]*=)[^&\s'\"]*")


def shown_url(text: str) -> str:
    """An address, or a text with one in it, without its password.

    >>> shown_url("postgresql://ada:secret@host/mlflow")
    'postgresql://ada:***@host/mlflow'
    """
    return _PARAMETER.sub(r"\1***", _USER.sub(r"\1:***@", text))


def first_line(error: Exception) -> str:
    """What an exception says, in one line that may be shown."""
    return shown_url((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]
