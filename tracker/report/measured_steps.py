"""What a study's runs say of their training steps: the seconds that scale with hardware, and what they ran on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.prediction.accelerators import Accelerator, accelerator, is_known
from tracker.prediction.step_times import MeasuredSteps, Source
from tracker.report.attempts import places_in
from tracker.store.run_table import StudyTable

Floats = NDArray[np.float64]
_ACCELERATORS = re.compile(r" \+ \d+ × (.+)$")
_TOGETHER = {"precision": "fp32", "nodes": 1, "processes": 1}
"""The settings that say in which precision, and by how many together, a run trained; with what is meant without one."""
_NOT_STEPS = ("evaluation_seconds", "data_seconds", "saving_seconds")
"""Of a run's wall time beside its start-up, what no accelerator makes faster: it stays as measured."""


@dataclass(frozen=True)
class RunSteps:
    """The steps of n runs, and how their wall time divides: [n] each, in seconds.

    ``measured`` is what predictions start from. ``share`` is the part of the wall time after the start-up that the
    steps took, 0 to 1; ``moved_bytes`` what their operators read and wrote, NaN where that was not counted; ``names``
    what each ran on, in words; ``phased`` whether it logged what its time was spent on.
    """

    measured: MeasuredSteps
    share: Floats
    moved_bytes: Floats
    names: tuple[str, ...]
    phased: NDArray[np.bool_]

    @property
    def on_processor(self) -> NDArray[np.bool_]:
        """Which ran on a processor."""
        return np.array([each.accelerator is None for each in self.measured.sources], dtype=bool)[self.measured.codes]

    def ran_on(self, kind: Accelerator) -> NDArray[np.bool_]:
        """Which ran on an accelerator of this kind."""
        return np.array([each.accelerator is kind for each in self.measured.sources], dtype=bool)[self.measured.codes]

    def utilisation(self) -> Floats:
        """The model FLOPs utilisation of each; NaN on processors and where FLOPs are not known."""
        return self.measured.utilisation()

    def bandwidth_use(self) -> Floats:
        """The bytes a second of each over the bandwidth of its memory; NaN on processors and where bytes are not known.

        Above 1 where caches spare the memory some of them.
        """
        bandwidths = np.array([each.bandwidth for each in self.measured.sources], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            used: Floats = self.moved_bytes / self.measured.step_seconds / bandwidths[self.measured.codes]
        return used


def run_steps(table: StudyTable, rows: NDArray[np.int64]) -> RunSteps:
    """Those of the runs in these rows of ``table.runs`` [n].

    A run that logged no phases (an imported one) has all its wall time after the start-up as steps.
    """
    runs = table.runs.take(rows)

    def figure(name: str) -> Floats:
        if name not in table.summary:
            return np.full(len(rows), np.nan)
        return table.summary[name].to_numpy(dtype=np.float64)[rows]

    wall, startup = (runs[name].to_numpy(dtype=np.float64) for name in ("wall_seconds", "startup_seconds"))
    after = np.maximum(wall - startup, 0.0)
    train = figure("train_seconds")
    logged = train + sum((np.nan_to_num(figure(name)) for name in _NOT_STEPS), np.zeros(len(rows)))
    # Of what was logged last: while a later attempt runs, phases are those of the ones before it.
    share = np.divide(train, logged, out=np.where(np.isnan(train), 1.0, 0.0), where=logged > 0)
    done = _epochs(table, rows) * figure("steps_per_epoch")
    flops = figure("flops")
    flops = np.where(np.isnan(flops), done * figure("step_flops"), flops)
    codes, sources, names = _sources(table, rows)
    measured = MeasuredSteps(
        sources=sources,
        codes=codes,
        step_seconds=after * share,
        flops=flops,
        launches=done * figure("step_operations"),
        memory_bytes=np.nan_to_num(figure("peak_accelerator_memory_bytes")),
    )
    return RunSteps(measured, share, done * figure("step_bytes"), names, ~np.isnan(train))


def _epochs(table: StudyTable, rows: NDArray[np.int64]) -> Floats:
    """The epoch of each run's last checkpoint; NaN without one."""
    last = table.checkpoints.groupby("run")["epoch"].max()
    return last.reindex(rows).to_numpy(dtype=np.float64)


def _sources(table: StudyTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[Source], tuple[str, ...]]:
    """What each run ran on: its number among the sources, these, and its words."""
    runs = table.runs.take(rows)
    settings = {name: _setting(table, name, default, rows) for name, default in _TOGETHER.items()}
    texts = runs["places"].to_numpy(dtype=object) if "places" in runs else np.full(len(runs), "", dtype=object)
    keys = list(
        zip(
            *(runs[name].astype(str) for name in ("hardware", "price_point")),
            runs["accelerators"].astype(int),
            settings["precision"],
            map(max, settings["nodes"], settings["processes"]),
            texts,
            strict=True,
        )
    )
    codes, distinct = pd.factorize(pd.Series(keys, dtype=object))
    named = [_source(*key) for key in distinct]
    return codes.astype(np.int64), [source for source, _ in named], tuple(named[code][1] for code in codes)


def _setting(table: StudyTable, name: str, default: object, rows: NDArray[np.int64]) -> list[Any]:
    if name not in table.settings:
        return [default] * len(rows)
    return [default if value is None else value for value in table.settings[name].to_numpy(dtype=object)[rows]]


@cache
def _source(
    hardware: str, price_point: str, count: int, precision: str, together: int, places: str
) -> tuple[Source, str]:
    """What a run ran on, and the same in words; on a cluster its price says what, not the study's label."""
    if len({place[0] for place in places_in(places)} if places else ()) > 1:
        return Source(None, precision, refused="its attempts ran on several kinds of machine"), "several machines"
    if not count:
        return Source(None, precision, together), hardware or "a processor"
    found = None if places else _ACCELERATORS.search(hardware)
    name = found[1] if found else str(json.loads(price_point or "{}").get("accelerator", ""))
    if not is_known(name):
        refused = f"it ran on {name or 'an accelerator without a name'}, which the table of accelerators does not have"
        return Source(None, precision, count, refused), name
    return Source(accelerator(name), precision, count), name
