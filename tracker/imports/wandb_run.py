"""A run as W&B has it, whatever file it was read from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.records import Settings, SettingValue, TrialState

Floats = NDArray[np.float64]
State = tuple[TrialState, str, str]
OWN = "_"
"""What the names of W&B's own columns begin with: _step, _timestamp (seconds since 1970), _runtime (seconds)."""


@dataclass(frozen=True, slots=True, eq=False)
class WandbRun:
    """A run: its history as columns of one length (NaN where a row has no value), its config, and how it ended."""

    id: str
    name: str
    history: Mapping[str, Floats]
    settings: Settings = field(default_factory=dict)
    state: State = (TrialState.COMPLETED, "", "")
    started_at: float = math.nan
    ended_at: float = math.nan
    user: str = ""
    accelerators: int = 0


def run_state(state: str) -> State:
    """The state that W&B's word is here."""
    match state:
        case "failed" | "crashed":
            return TrialState.FAILED, state, f"W&B has it as {state}"
        case "killed" | "preempted":
            return TrialState.KILLED, state, f"W&B has it as {state}"
        case "running" | "pending" | "preempting":
            return TrialState.STOPPED, "not_ended", f"W&B has it as {state}: it counts until its last value"
        case _:
            return TrialState.COMPLETED, "", ""


def flat_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, SettingValue]:
    """A config as settings: what is nested by names with dots, as W&B shows it; lists as JSON.

    >>> flat_settings({"lr": {"value": 0.1, "desc": None}, "model": {"layers": 2}, "betas": [1, 2], "_wandb": {}})
    {'lr': 0.1, 'model.layers': 2, 'betas': '[1, 2]'}
    """
    found: dict[str, SettingValue] = {}
    for name, value in config.items():
        if not prefix and (name.startswith("_wandb") or name == "wandb_version"):
            continue
        if isinstance(value, Mapping) and "value" in value and value.keys() <= {"value", "desc"}:
            value = value["value"]
        if isinstance(value, Mapping):
            found |= flat_settings(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, list | tuple):
            found[f"{prefix}{name}"] = json.dumps(value, ensure_ascii=False, default=str)
    return found


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """Rows of a history as columns, by the names of their numbers; what is nested by names with dots."""
    columns: dict[str, Floats] = {}
    for at, row in enumerate(rows):
        for name, value in flat_settings(row).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                if name not in columns:
                    columns[name] = np.full(len(rows), math.nan)
                columns[name][at] = value
    return columns
