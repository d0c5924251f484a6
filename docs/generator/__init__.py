"""The reference, written from the code: each part by the name that a page calls it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from docs.generator.columns import columns, metrics
from docs.generator.commands import commands
from docs.generator.environment import environment, tags
from docs.generator.formats import formats
from docs.generator.library import library
from docs.generator.prices import price_files
from docs.generator.study_file import hardware_knobs, study_file

GENERATED: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "study-file": study_file,
    "hardware-knobs": hardware_knobs,
    "price-files": price_files,
    "environment": environment,
    "tags": tags,
    "columns": columns,
    "metrics": metrics,
    "library": library,
    "formats": formats,
}
