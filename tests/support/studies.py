"""Study descriptions for the tests."""

from __future__ import annotations

import copy

DIGITS = {
    "name": "digits",
    "workload": "tests.support.digits:Digits",
    "quality": {"metric": "accuracy"},
    "strategy": "optuna",
    "budget": {"trials": 4},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "settings": {"epochs": 3, "threads": 1, "precision": "fp32"},
    "space": {"width": [4, 16, 64], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
}


def digits(**tables):
    """The digits study with some of its top-level values replaced, or its tables changed key by key."""
    study = copy.deepcopy(DIGITS)
    for name, value in tables.items():
        if isinstance(value, dict) and name in ("settings", "budget", "pricing"):
            study.setdefault(name, {}).update(value)
        else:
            study[name] = value
    return study
