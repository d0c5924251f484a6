"""Addresses of stores as they may be shown and kept: without what is secret in them."""

from __future__ import annotations

import re
from urllib.parse import unquote

_USER = re.compile(r"(://[^/?#\s:@]*):[^\s'\"]*@")
_TOKEN = re.compile(r"(https?://)[^/?#\s:@]+@")
_PARAMETER = re.compile(r"(?i)([?&][^=&\s]*(?:password|passwd|pwd|token|secret)[^=&\s]*=)[^&\s'\"]*")
_WHOLE = re.compile(r"[a-z][\w+.-]*://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_QUERY = re.compile(r"[?&][\w.-]+=[^&]*")
_PASSWORD = re.compile(r"[a-z][\w+.-]*://[^/?#:@]*:(.*)@", re.DOTALL)
_SHORTEST_SECRET = 3
"""A shorter one is not looked for in a text: it would be found in every word."""


def shown_url(text: str) -> str:
    """An address, or a text with one in it, without its password.

    >>> shown_url("postgresql://ada:secret@host/mlflow")
    'postgresql://ada:***@host/mlflow'
    """
    return _PARAMETER.sub(r"\1***", _TOKEN.sub(r"\1***@", _USER.sub(r"\1:***@", text)))


def without_user(address: str) -> str:
    """An address without the name and the password in it: whoever opens it logs in as themselves.

    >>> without_user("https://ada:secret@host/mlflow")
    'https://host/mlflow'
    """
    return re.sub(r"://[^/?#]*@", "://", address, count=1)


def first_line(error: Exception, address: str = "") -> str:
    """What an exception says, in one line that may be shown: without the password of ``address`` either."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if found := _PASSWORD.match(address):
        for secret in sorted({found[1], unquote(found[1])}, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                line = line.replace(secret, "***")
    return shown_url(line)[:300]


def unescaped(address: str) -> str:
    """What is wrong with an address whose password is not escaped, in a sentence; else "".

    >>> unescaped("postgresql://ada:p%40ss@host/mlflow")
    ''
    >>> unescaped("postgresql://ada:p@ss@host/mlflow")[:56]
    "the password in 'postgresql://ada:***@host/mlflow' must "
    """
    whole = _WHOLE.match(address)
    if whole is None:
        return ""
    user, at, place = whole["authority"].rpartition("@")
    named = user if at else place
    # A part of the password that looks like the path: no address has a user after it.
    cut = ":" in named and (at or not named.rpartition(":")[2].isdigit()) and "@" in _QUERY.sub("", whole["rest"])
    if not cut and "@" not in user and not re.search(r"%(?![0-9A-Fa-f]{2})", user):
        return ""
    return f"the password in '{shown_url(address)}' must be escaped: {HOW_TO_ESCAPE}"


HOW_TO_ESCAPE = (
    "in an address @ is written as %40, : as %3A, / as %2F, # as %23, ? as %3F and % as %25 "
    "(python -c 'from urllib.parse import quote; print(quote(input(), safe=\"\"))' does it)"
)
