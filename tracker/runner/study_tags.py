"""The tags of a study and its runs in MLflow: what was run, on what, by which versions."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from tracker.records import DataCard, TrialState
from tracker.runner.plan import StudyPlan

TAG_CHARACTERS = 2000
"""The length that the data's description is cut to: MLflow accepts tags of at least 5,000 characters."""


def study_tags(plan: StudyPlan, card: DataCard) -> dict[str, str]:
    """The tags of the parent run of a study that is running."""
    spec = plan.spec
    return {
        "tracker.study": spec.name,
        "tracker.workload": spec.workload,
        "tracker.quality": spec.quality.name,
        "tracker.direction": spec.quality.direction,
        "tracker.budget_usd": "" if spec.budget.usd is None else repr(spec.budget.usd),
        "tracker.seed": str(spec.seed),
        "tracker.strategy": spec.strategy,
        "tracker.state": TrialState.RUNNING,
        "tracker.price_book": plan.price_book.version,
        "tracker.prices": spec.pricing.prices,
        "tracker.country": spec.pricing.country,
        "tracker.limits": json.dumps([asdict(limit) for limit in spec.limits]),
        "tracker.costs": json.dumps(spec.costs.changed),
        "tracker.hardware": plan.hardware.label,
        "tracker.data": card.fingerprint,
        "tracker.data_description": card.words[:TAG_CHARACTERS],
        "tracker.commit": _commit(),
        "tracker.versions": _versions(),
        "tracker.tags": json.dumps(spec.tags),
        **spec.tags,
    }


@functools.cache
def _versions() -> str:
    """The versions that results depend on most, in words."""
    libraries = [f"Python {platform.python_version()}"]
    for package in ("cost-quality-tracker", "torch", "numpy", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            libraries.append(f"{package} {version(package)}")
    return ", ".join(libraries)


def _commit() -> str:
    """The commit of the current repository, marked where files differ from it; "" outside one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""
