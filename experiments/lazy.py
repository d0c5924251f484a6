"""Calling what needs heavy libraries without importing them before they are needed.

A trial's process must be training within a fraction of a second, while scikit-learn, tokenizers, PyArrow and
datasets take seconds to import and serve only those who prepare data or train a baseline. This is the one
place where that is decided: modules are otherwise imported at the top of a file.
"""

from __future__ import annotations

import importlib
from typing import Any


def call(reference: str, *arguments: Any, **named: Any) -> Any:
    """What the function "package.module:name" returns; its module is imported now."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments, **named)
