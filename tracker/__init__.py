"""A cost-versus-quality experiment tracker: what is the best quality for this money?

from tracker import run_study

study = run_study("experiments/studies/docstrings.toml", budget_usd=0.002)
print(study.frontier())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.library import Study, open_study, resume_study, run_study

__all__ = ["Study", "open_study", "resume_study", "run_study"]


def __getattr__(name: str) -> object:
    """The library's names, imported when they are used: a worker must not pay for MLflow and Optuna."""
    if name in __all__:
        return getattr(importlib.import_module("tracker.library"), name)
    raise AttributeError(f"module 'tracker' has no attribute '{name}'")
