"""The search by dollars and plain Optuna on real studies of the gallery, at equal dollars, with several seeds.

    python -m experiments.benchmarks.real_search [--studies NAME ...] [--seeds 3] [--budget-usd USD] [--json]

Every study is trained for real, one after the other, in turn by strategy, in a home that is deleted afterwards; the
data are made ready before. Each is judged by the hypervolume of all its checkpoints, quality against the logarithm of
the price, up to a share of the dollars that it spent, and of the time that it took, in which cores may be idle. The
reference is the same for all studies of one kind: the budget, and the lowest quality after any trial's first
checkpoint. It needs a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.benchmarks.figures import Figure, Report, main
from experiments.benchmarks.search_statistics import Estimate
from tracker import Study, run_study
from tracker.frontier.pareto import hypervolume
from tracker.records import Direction, SettingValue
from tracker.study.document import StudyDocument

_FOLDER = Path(__file__).parents[1] / "studies"
STUDIES: Mapping[str, tuple[float, Mapping[str, SettingValue]]] = {
    "docstrings": (0.004, {"device": "cpu", "train_documents": 8000, "compile": False}),
    "audio_classifier": (0.0036, {"device": "cpu"}),
}
"""What is searched, for how many dollars, and what is fixed in it.

The dollars buy plain Optuna 14 to 70 full trainings on two cores. Fixed are a corpus that two cores get through, and no
compilation.
"""
STRATEGIES = ("frontier", "optuna")
SHARES = (0.25, 0.5, 1.0)
MEASURES = {"money": "spent", "time": "elapsed"}
"""What a study is judged after shares of: the column of its checkpoints that says how much of it was used."""


def measure(studies: Sequence[str], seeds: int, budget_usd: float | None) -> Report:
    """Train every study; its hypervolumes as a share of that of all checkpoints of its kind together."""
    figures: list[Figure] = []
    details: dict[str, object] = {"seeds": seeds}
    texts = []
    for name in studies:
        volumes, details[name] = _trained(name, seeds, STUDIES[name][0] if budget_usd is None else budget_usd)
        figures += _figures(name, volumes)
        texts.append(f"{name}\n{_text(volumes)}")
    return Report(figures, details, "\n".join(texts))


def _trained(name: str, seeds: int, budget_usd: float) -> tuple[dict[str, dict[str, list[float]]], dict[str, object]]:
    """The hypervolumes by strategy and share of the time, one for each seed; and everything that is worth recording."""
    with tempfile.TemporaryDirectory() as home:
        _study(home, name, "optuna", 0, {"trials": 1}, epochs=1)  # the data are made ready, and paid for, once
        points = pd.concat(
            [
                _points(_study(home, name, strategy, seed, {"usd": budget_usd})).assign(strategy=strategy, seed=seed)
                for seed in range(seeds)
                for strategy in (STRATEGIES if seed % 2 == 0 else STRATEGIES[::-1])
            ]
        )
    first = points.sort_values("epoch").groupby(["strategy", "seed", "trial"])["quality"].first()
    reference = float(first.min()), budget_usd
    everything = _volume(points, reference)
    volumes: dict[str, dict[str, list[float]]] = {}
    for (strategy, _), study in points.groupby(["strategy", "seed"]):
        for measure, column in MEASURES.items():
            for share in SHARES:
                reached = study[study[column] <= share]
                shares = volumes.setdefault(str(strategy), {})
                shares.setdefault(f"{share:.0%} of the {measure}", []).append(_volume(reached, reference) / everything)
    spent = points.groupby(["strategy", "seed"])["spend_usd"].first().to_dict()
    trials = points.groupby(["strategy", "seed"])["trial"].nunique().to_dict()
    return volumes, {
        "budget_usd": budget_usd,
        "reference": dict(zip(("quality", "price_usd"), reference, strict=True)),
        "hypervolume": volumes,
        "spend_usd": {f"{strategy} {seed}": float(usd) for (strategy, seed), usd in spent.items()},
        "trials": {f"{strategy} {seed}": int(count) for (strategy, seed), count in trials.items()},
    }


def _study(home: str, name: str, strategy: str, seed: int, budget: dict[str, float], **settings: SettingValue) -> Study:
    content = {**StudyDocument.read(_FOLDER / f"{name}.toml").content, "strategy": strategy, "budget": budget}
    return run_study(
        content,
        home=home,
        name=f"{strategy}-{seed}-{'-'.join(budget)}",
        seed=seed,
        settings={**STUDIES[name][1], **settings},
    )


def _points(study: Study) -> pd.DataFrame:
    """Every trial's checkpoints, with the shares of the study's dollars and time that were used by then."""
    table = study.table()
    points = table.checkpoints.query("role == 'trial'")[["trial", "epoch", "quality", "price_usd", "timestamp"]]
    points = points.sort_values("timestamp", kind="stable")
    begin, end = points["timestamp"].min(), points["timestamp"].max()
    elapsed = (points["timestamp"] - begin) / (end - begin)
    paid_usd = points["price_usd"] - points.groupby("trial")["price_usd"].shift(fill_value=0.0)
    return points.assign(
        elapsed=elapsed, spent=(paid_usd.cumsum() / paid_usd.sum()).clip(upper=1.0), spend_usd=table.spend_usd
    )


def _volume(points: pd.DataFrame, reference: tuple[float, float]) -> float:
    return hypervolume(points["quality"], points["price_usd"], Direction.MAXIMIZE, *reference)


def _figures(study: str, volumes: dict[str, dict[str, list[float]]]) -> list[Figure]:
    figures = []
    for share in volumes["frontier"]:
        pairs = [
            ours - theirs for ours, theirs in zip(volumes["frontier"][share], volumes["optuna"][share], strict=True)
        ]
        mean = Estimate.mean(pairs)
        name = f"{study}: hypervolume at {share}, ours less plain Optuna's"
        figures.append(Figure(name, mean.value, "", ">= 0", mean.value >= 0, pairs))
    return figures


def _text(volumes: dict[str, dict[str, list[float]]]) -> str:
    def spread(samples: Sequence[float]) -> str:
        mean = Estimate.mean(samples)
        return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})"

    return "\n".join(
        f"{strategy:10}" + "  ".join(f"{share}: {spread(samples)}" for share, samples in shares.items())
        for strategy, shares in volumes.items()
    )


def _defaults() -> str:
    return ", ".join(f"{budget_usd} for {name}" for name, (budget_usd, _) in STUDIES.items())


def _arguments(parser: argparse.ArgumentParser) -> Any:
    parser.add_argument(
        "--studies", nargs="+", default=[*STUDIES], choices=STUDIES, metavar="NAME",
        help=f"{', '.join(STUDIES)}; default all",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="studies of each strategy")
    parser.add_argument("--budget-usd", type=float, help=f"what each may cost; default {_defaults()}")


if __name__ == "__main__":
    main("real_search", _arguments, measure)
