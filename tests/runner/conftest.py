"""Homes that MLflow was used in before."""

from __future__ import annotations

import pytest

from tests.support.mlflow_database import put_mlflow_database


@pytest.fixture(autouse=True)
def mlflow_was_used_before(tmp_path):
    """A home at ``tmp_path`` has a database; that MLflow makes its own is shown by homes below it and of modules."""
    put_mlflow_database(tmp_path)
