"""What all tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """A person's own homes and servers are never touched by a test."""
    for name in ("TRACKER_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
