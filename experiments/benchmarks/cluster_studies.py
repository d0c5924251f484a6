"""Whole studies on a Ray cluster by the command: the same as on this machine, and with a coordinator that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.benchmarks.cluster_on_ray import WORKLOAD, ray_cluster
from experiments.benchmarks.figures import Figure
from tracker import audit_study, open_study
from tracker.records import TrialState
from tracker.runner.study_folder import StudyFolder
from tracker.study.toml_text import to_toml

TRIALS = 8
SAME = {"epochs": 5, "epoch_seconds": 1.5}
KILLED = {"epochs": 8, "epoch_seconds": 0.5}
TRIALS_A_KILL = 4
LONGEST_SECONDS = 12.0
"""After so long at most a coordinator is killed that was started."""
SKU = "aws/m7i.xlarge"


def _study(name: str, trials: int, settings: Mapping[str, float]) -> dict[str, Any]:
    return {
        "name": name,
        "workload": WORKLOAD,
        "strategy": "optuna",
        "quality": {"metric": "accuracy"},
        "budget": {"trials": trials},
        "pricing": {"sku_cpu": SKU},
        "settings": {"threads": 1, "precision": "fp32", "device": "cpu", **settings},
        "space": {
            "learning_rate": {"low": 1e-2, "high": 1.0, "log": True},
            "width": {"low": 2, "high": 64, "log": True},
        },
    }


def _tracker(home: Path, *words: str | Path) -> subprocess.Popen[bytes]:
    """The command, with what it says in the home's file of that name."""
    with (home / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "tracker.cli.main", *map(str, words)],
            env={**os.environ, "TRACKER_HOME": str(home)},
            stdout=said,
            stderr=said,
        )


def _finish(home: Path, *words: str | Path) -> None:
    """Run the command to its end. Raises RuntimeError where it fails."""
    if (code := _tracker(home, *words).wait()) != 0:
        raise RuntimeError(f"`tracker {words[0]}` ended with {code}:\n{(home / 'said.txt').read_text()[-3000:]}")


@contextlib.contextmanager
def _home(study: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
    """A new home, and a file with a study."""
    with tempfile.TemporaryDirectory(prefix="cluster-home-") as folder:
        path = Path(folder) / "study.toml"
        path.write_text(to_toml(study), encoding="utf-8")
        yield Path(folder), path


def _checkpoints(home: Path, name: str) -> dict[str, list[list[tuple[int, dict[str, float]]]]]:
    """Of each trial, its attempts\' epochs and metrics as their logs say them."""
    found: dict[str, list[list[tuple[int, dict[str, float]]]]] = {}
    logs = [path for path in home.glob(f"studies/{name}/trials/*/*.jsonl") if path.stem.isdecimal()]
    for path in sorted(logs, key=lambda each: (each.parent.name, int(each.stem))):
        events = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        reached = [(event["epoch"], event["metrics"]) for event in events if event["event"] == "checkpoint"]
        if path.parent.name.isdecimal():
            found.setdefault(path.parent.name, []).append(reached)
    return found


def same_study() -> Iterator[Figure]:
    """One study with two workers on this machine, and on two nodes of one core."""
    study = _study("same", TRIALS, SAME)
    with _home(study) as (here, file), _home(study) as (there, other), ray_cluster() as cluster:
        _finish(here, "run", file, "--yes", "--workers", "2")
        _finish(there, "run", other, "--yes", "--engine", "ray", "--address", cluster.address)
        runs = [open_study("same", home=home).runs().query("role == 'trial'") for home in (here, there)]
        settings = [{row["trial"]: row["settings"] for _, row in each.iterrows()} for each in runs]
        metrics = [_checkpoints(home, "same") for home in (here, there)]
    differ = sum(
        settings[0].get(number) != settings[1].get(number) for number in settings[0].keys() | settings[1].keys()
    )
    yield Figure(
        f"same study, 1 × 2 here and 2 × 1 on Ray: trials of {TRIALS} that differ", differ, "", "= 0", differ == 0
    )
    differ = sum(metrics[0].get(number) != metrics[1].get(number) for number in metrics[0].keys() | metrics[1].keys())
    yield Figure("trials whose metrics differ in any bit", differ, "", "= 0", differ == 0)
    value = 100 * (float(runs[1]["price_usd"].sum() / runs[0]["price_usd"].sum()) - 1)
    yield Figure("price on Ray against here", value, "%", "±2", abs(value) <= 2)


def killed_coordinators(kills: int, seed: int = 0) -> Iterator[Figure]:
    """A study whose coordinator is killed again and again, and resumed each time, until it is complete."""
    chosen, trials = random.Random(seed), TRIALS_A_KILL * kills
    with _home(_study("killed", trials, KILLED)) as (home, file), ray_cluster() as cluster:
        killed = 0
        start: tuple[str | Path, ...] = ("run", file, "--yes", "--engine", "ray", "--address", cluster.address)
        for _ in range(kills):
            killed += _is_killed(_tracker(home, *_next(home, start)), chosen.uniform(0.0, LONGEST_SECONDS))
        while (words := _next(home, start))[0] == "run":
            _finish(home, *words)
        ended = StudyFolder(home / "studies" / "killed").end()
        if ended is None or ended[0] is not TrialState.COMPLETED:
            _finish(home, *words)
        findings = audit_study("killed", home=home).findings
        states = open_study("killed", home=home).runs().query("role == 'trial'")["state"]
        reached = _checkpoints(home, "killed")
    wrong = [number for number, attempts in reached.items() if not _is_whole(attempts)]
    lost = trials - int((states == "completed").sum())
    twice = sum(count - 1 for attempts in reached.values() for count in _counts(attempts).values())
    yield Figure(f"coordinator killed {killed} times: trials of {trials} lost", lost, "", "= 0", lost == 0)
    yield Figure("epochs trained twice", twice, "", "= 0", twice == 0)
    yield Figure("trials that do not have each epoch once", len(wrong), "", "= 0", not wrong)
    yield Figure("findings of the audit", len(findings), "", "= 0", not findings)


def _next(home: Path, start: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
    """The command that continues: the study may not have come to be."""
    return ("resume", "killed") if (home / "studies" / "killed").exists() else start


def _is_killed(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kill a process after so long; False where it had ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


def _counts(attempts: list[list[tuple[int, dict[str, float]]]]) -> Counter[int]:
    return Counter(epoch for attempt in attempts for epoch, _ in attempt)


def _is_whole(attempts: list[list[tuple[int, dict[str, float]]]]) -> bool:
    return _counts(attempts) == Counter(range(1, int(KILLED["epochs"]) + 1))
