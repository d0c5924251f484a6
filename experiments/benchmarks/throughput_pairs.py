"""Published throughputs as pairs: the same training on two accelerators, of which one is predicted from the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import RequestError
from tracker.prediction.accelerators import AcceleratorColumns, accelerator, is_known

TABLE = Path(__file__).with_name("data") / "throughput.csv"
"""Rows of NeuSight, PROFET, ryujaehun/pytorch-gpu-benchmark and llm-foundry, each with its source and licence."""
SAME = ["source", "suite", "model", "precision", "direction", "n_gpu"]
"""What two rows must share to be one training on two accelerators."""
_NEEDED = [*SAME, "gpu", "per_gpu_throughput", "flops_per_item"]


@dataclass(frozen=True)
class Pairs:
    """n ordered pairs: ``rows`` has source, suite, gpu_s, gpu_t, study and log_speed_up, the truth, a row a pair.

    Trainings of one family of models in one suite and precision have the same ``study``: trials of a study are alike.
    ``mfu`` [n] is the utilisation at the source, NaN where unknown; ``left_out`` says what was not paired, and why.
    """

    rows: pd.DataFrame
    origin: AcceleratorColumns
    target: AcceleratorColumns
    mfu: NDArray[np.float64]
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, at: NDArray[np.bool_]) -> Pairs:
        """The pairs where ``at`` [n] is true."""
        rows = self.rows[at].reset_index(drop=True)
        return Pairs(rows, self.origin.take(at), self.target.take(at), self.mfu[at], {})


def read_pairs(path: Path = TABLE) -> Pairs:
    """All ordered pairs of a table with the columns of throughput.csv.

    Pairs with an accelerator older than Pascal are left out: there the method refuses. Raises RequestError where the
    table cannot be read, lacks a column, or has no pair.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: {error}") from None
    if missing := [name for name in _NEEDED if name not in table]:
        raise RequestError(f"{path}: column {missing[0]!r} is missing; needed: {', '.join(_NEEDED)}")
    family = table["family"] if "family" in table else table["model"]
    table = table[_NEEDED].assign(family=family).dropna(subset=["gpu", "per_gpu_throughput"])
    known = table["gpu"].map(is_known).to_numpy(dtype=bool) & (table["per_gpu_throughput"] > 0).to_numpy()
    left_out = {"rows of accelerators that are not in the table": int((~known).sum())}
    table = table[known].drop_duplicates([*SAME, "gpu"]).fillna({"suite": "", "direction": "", "family": ""})
    both = table.merge(table, on=SAME, suffixes=("_s", "_t"))
    both = both[both["gpu_s"] != both["gpu_t"]].reset_index(drop=True)
    sides = [[accelerator(name) for name in both[f"gpu_{side}"]] for side in "st"]
    old = np.array([one.is_too_old or other.is_too_old for one, other in zip(*sides, strict=True)], dtype=bool)
    left_out["pairs with an accelerator older than Pascal"] = int(old.sum())
    precisions = [_precision(text) for text in both["precision"]]
    origin, target = (AcceleratorColumns.of(side, precisions) for side in sides)
    done = both["per_gpu_throughput_s"] * both["flops_per_item_s"]
    pairs = Pairs(
        both[["source", "suite", "gpu_s", "gpu_t"]].assign(
            study=both["suite"] + " " + both["family_s"].astype(str) + " " + both["precision"],
            log_speed_up=np.log(both["per_gpu_throughput_t"] / both["per_gpu_throughput_s"]),
        ),
        origin,
        target,
        (done / origin.peak).to_numpy(dtype=np.float64),
        left_out,
    )
    usable = ~old & np.isfinite(origin.peak) & np.isfinite(target.peak)
    if not usable.any():
        raise RequestError(f"{path}: no training is there on two known accelerators; left out: {left_out}")
    return Pairs(**{**pairs.take(usable).__dict__, "left_out": {why: n for why, n in left_out.items() if n}})


def _precision(text: str) -> str:
    """The tracker's word for a table's: "fp32 (TF32 where the GPU has it)" is tf32."""
    lowered = text.lower()
    if "tf32" in lowered:
        return "tf32"
    return "fp32" if lowered.startswith(("fp32", "float32")) else "fp16"
