"""What studies of the gallery cost beside what `tracker estimate --probe` said before they were run.

    python -m experiments.benchmarks.estimate [--studies docstrings levers] [--trials 4] [--whole 0] [--json]

Each study is estimated after a probe, then run, by the commands that a person types, in a home of its own that is
deleted afterwards: with its [smoke] table and a budget of trials; with --whole those of WHOLE also as they are, so that
what a training costs differs a hundredfold within the study. A study's cost has its data and its baselines in it, as
its estimate has. The machine should do nothing else: a study lasts seconds, and a busy minute doubles what it costs.
Of each study, and its probe, the share of runs is said that had to wait for cores that other work used: where there are
any, an error says more of that work than of the estimate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.tracker_commands import tracker_command
from tracker import open_study
from tracker.errors import WorkFailedError

STUDIES = Path(__file__).parents[1] / "studies"
GALLERY = tuple(sorted(path.stem for path in STUDIES.glob("*.toml")))
WHOLE = ("image_classifier", "tabular_classifier")
"""Studies that are run without their [smoke] table too: their trainings take seconds."""
MOST_ERROR_PERCENT, MOST_SECONDS, REPEATS = 20.0, 2.0, 3
"""Targets: of an estimate after a probe, and of the command without one, the least of so many."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An estimate and what its study cost, and its trials alone, and its probe, in USD."""

    name: str
    likely_usd: float
    low_usd: float
    high_usd: float
    spent_usd: float
    probe_usd: float
    trials_usd: float
    busy_share: float
    """Of the runs of the study and of its probe, those that were measured on a busy machine."""
    command_seconds: float
    """What `tracker estimate` takes without a probe, with all these runs in the home."""

    @property
    def error_percent(self) -> float:
        """By how much the estimate is too high; below 0 where it is too low."""
        return 100.0 * (self.likely_usd / self.spent_usd - 1.0)

    @property
    def within(self) -> bool:
        """Whether the study's cost is in the range that was said."""
        return self.low_usd <= self.spent_usd <= self.high_usd


def measure(studies: Sequence[str], trials: int, whole: int) -> Report:
    """Estimate and run every study."""
    asked = [(name, ["--smoke", f"--trials={trials}"], f"{name}-smoke") for name in studies]
    for name in WHOLE if whole else ():
        asked += [(name, [f"--trials={whole}", f"--name={name}-whole"], f"{name}-whole")] if name in studies else []
    judged = []
    for each in asked:
        judged.append(_judged(*each))
        print(f"{each[2]}: {judged[-1].error_percent:+.0f} %", file=sys.stderr, flush=True)
    return Report(list(_figures(judged)), {"studies": [_document(each) for each in judged]}, _text(judged))


def _judged(study: str, options: Sequence[str], name: str) -> Judged:
    with tempfile.TemporaryDirectory(prefix="tracker-estimate-") as home:
        words = [str(STUDIES / f"{study}.toml"), *options, f"--home={home}"]
        said = json.loads(_tracker("estimate", *words, "--probe", "--json"))
        _tracker("run", *words)
        table, probe = open_study(name, home=home).table(), open_study(f"{name}-probe", home=home).table()
        of_trials = table.runs.loc[(table.runs["role"] == "trial").to_numpy(), "price_usd"]
        usd = said["likely_usd"]
        return Judged(
            name,
            likely_usd=usd["likely"],
            low_usd=usd["low"],
            high_usd=usd["high"],
            spent_usd=table.spend_usd,
            probe_usd=probe.spend_usd,
            trials_usd=float(of_trials.sum()),
            busy_share=float(pd.concat([table.runs["busy"], probe.runs["busy"]]).astype(bool).mean()),
            command_seconds=min(tracker_command("estimate", *words, "--json")[0] for _ in range(REPEATS)),
        )


def _tracker(*words: str) -> str:
    """What a command printed. Raises WorkFailedError where it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WorkFailedError(f"tracker {' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def _figures(judged: Sequence[Judged]) -> Iterator[Figure]:
    target = f"±{MOST_ERROR_PERCENT:g}"
    for each in judged:
        holds = abs(each.error_percent) <= MOST_ERROR_PERCENT
        yield Figure(f"{each.name}, estimate less cost", each.error_percent, "%", target, holds)
    sizes = [abs(each.error_percent) for each in judged]
    mean = statistics.fmean(sizes)
    yield Figure("mean size of the error", mean, "%", f"<= {MOST_ERROR_PERCENT:g}", mean <= MOST_ERROR_PERCENT, sizes)
    inside = 100.0 * sum(each.within for each in judged) / len(judged)
    yield Figure("costs within the range that was said", inside, "%", "none", True)
    busy = [100.0 * each.busy_share for each in judged]
    yield Figure("runs measured on a busy machine", statistics.fmean(busy), "%", "none", True, busy)
    seconds = [each.command_seconds for each in judged]
    yield Figure("tracker estimate without a probe", min(seconds), "s", "<= 2", min(seconds) <= MOST_SECONDS, seconds)


def _document(judged: Judged) -> dict[str, Any]:
    names = ("name", "likely_usd", "low_usd", "high_usd", "spent_usd", "probe_usd", "trials_usd", "busy_share")
    return {name: getattr(judged, name) for name in names}


def _text(judged: Sequence[Judged]) -> str:
    lines = [f"{'study':28}{'estimate µ$':>12}{'range':>18}{'cost µ$':>10}{'trials µ$':>11}{'probe µ$':>10}{'busy':>7}"]
    for each in judged:
        likely, low, high, spent, of_trials, probe = (
            1e6 * usd
            for usd in (
                *(each.likely_usd, each.low_usd, each.high_usd, each.spent_usd),
                *(each.trials_usd, each.probe_usd),
            )
        )
        said = f"{low:,.0f} to {high:,.0f}"
        lines.append(
            f"{each.name:28}{likely:12,.0f}{said:>18}{spent:10,.0f}{of_trials:11,.0f}{probe:10,.0f}{each.busy_share:7.0%}"
        )
    return "\n".join(lines)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--studies", nargs="+", choices=GALLERY, default=GALLERY, help="studies of the gallery")
    parser.add_argument("--trials", type=int, default=4, help="trials of each study by its [smoke] table")
    parser.add_argument("--whole", type=int, default=0, help="trials of the studies that are run as they are too")


if __name__ == "__main__":
    main("estimate", _arguments, measure)
