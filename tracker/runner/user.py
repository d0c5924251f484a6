"""Who runs a study."""

from __future__ import annotations

import getpass


def current_user() -> str:
    """The login name of who started this process; "" where the system knows none, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
