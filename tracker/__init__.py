"""A cost-versus-quality experiment tracker: what is the best quality for this money?

from tracker import run_study

study = run_study("experiments/studies/docstrings.toml", budget_usd=0.002)
print(study.frontier())
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

for _switch in ("MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_switch, "true")  # read when those libraries are imported, in children too

if TYPE_CHECKING:
    from tracker.library import (
        Study,
        audit_study,
        compare,
        confirm_study,
        estimate_study,
        import_export,
        import_mlflow,
        import_optuna,
        import_table,
        import_tensorboard,
        import_wandb,
        open_study,
        resume_study,
        run_study,
        spend,
    )
    from tracker.pricing.rate_change import RateChange
    from tracker.pricing.scenario import Scenario
    from tracker.pricing.scenario_file import read_scenario
    from tracker.report.estimate.estimate import Estimate
    from tracker.report.study_comparison import StudyComparison
    from tracker.runner.detached import start_resume, start_study, stop_study
    from tracker.study.knobs import Knob
    from tracker.training.function_workload import knob, workload
    from tracker.training.run import Run

_MODULES = {
    **dict.fromkeys(("Study", "audit_study", "compare", "confirm_study"), "tracker.library"),
    **dict.fromkeys(("import_export", "import_mlflow", "import_optuna"), "tracker.library"),
    **dict.fromkeys(("import_table", "import_tensorboard", "import_wandb"), "tracker.library"),
    **dict.fromkeys(("estimate_study", "open_study", "resume_study", "run_study", "spend"), "tracker.library"),
    "Estimate": "tracker.report.estimate.estimate",
    **dict.fromkeys(("start_resume", "start_study", "stop_study"), "tracker.runner.detached"),
    "StudyComparison": "tracker.report.study_comparison",
    "RateChange": "tracker.pricing.rate_change",
    "Scenario": "tracker.pricing.scenario",
    "read_scenario": "tracker.pricing.scenario_file",
    "Knob": "tracker.study.knobs",
    "knob": "tracker.training.function_workload",
    "workload": "tracker.training.function_workload",
    "Run": "tracker.training.run",
}
__all__ = [
    "Estimate",
    "Knob",
    "RateChange",
    "Run",
    "Scenario",
    "Study",
    "StudyComparison",
    "audit_study",
    "compare",
    "confirm_study",
    "estimate_study",
    "import_export",
    "import_mlflow",
    "import_optuna",
    "import_table",
    "import_tensorboard",
    "import_wandb",
    "knob",
    "open_study",
    "read_scenario",
    "resume_study",
    "run_study",
    "spend",
    "start_resume",
    "start_study",
    "stop_study",
    "workload",
]


def __getattr__(name: str) -> object:
    """The library's names, imported when they are used: a worker must not pay for MLflow and Optuna."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'tracker' has no attribute '{name}'")
