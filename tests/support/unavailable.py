"""What a test needs and this machine does not have."""

from __future__ import annotations


class UnavailableError(Exception):
    """This machine does not have it, or lets nobody have it: why."""
