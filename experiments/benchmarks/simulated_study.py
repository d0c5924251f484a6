"""A whole study on a simulated fleet whose spot machines come and go, and what its books say against what happened."""

from __future__ import annotations

import json
import math
import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.measured_engine import MeasuredEngine, studies_on
from experiments.benchmarks.simulated_fleet import SimulatedFleet
from experiments.benchmarks.simulated_market import SearchHost, SpotMarket
from experiments.benchmarks.simulated_training import Training
from tracker import audit_study, run_study
from tracker.engine.forkserver import Forkserver
from tracker.engine.node import Node
from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.pricing.price_book import load_price_book
from tracker.pricing.price_point import PricePoint
from tracker.records import Market
from tracker.runner.progress import Silent
from tracker.store.home import Home
from tracker.training.ending import NODE_LOST

SPEED = 40.0
"""How many of the fleet's seconds pass in one."""
NEWS_SECONDS = 8.0
"""How long a host without news waits: as often as real ones say that they have none would be too much at this speed."""
MACHINES = (20, 10, 20)
"""How many of each kind: as many cores as this speed's trials fill."""
SPOT_LOSS_AN_HOUR = 0.1
NAME = "simulated-fleet"
STUDY = {
    "name": NAME,
    "workload": "experiments.benchmarks.simulated_workload:simulated",
    "quality": {"metric": "accuracy"},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "engine": {"name": "ray"},
    "settings": {"epochs": 8, "threads": 1, "precision": "fp32", "device": "cpu"},
    "space": {"width": {"low": 4, "high": 64, "log": True}, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
}


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a study came to: seconds are this process's, but ``simulated_hours`` the fleet's.

    ``findings`` are those of the audit, ``price_error`` is how far MLflow's sum of prices is from that of the event
    logs, ``node_error`` how far the machines' lines are from what they cost; both are shares. ``trials`` have ended.
    ``twice`` counts attempts that two machines trained, ``untrue`` logs that say other than their machines wrote.
    ``anew`` is the most that was trained again after a lost machine, in save intervals.
    """

    seconds: float
    simulated_hours: float
    trials: int
    attempts: int
    lost_machines: int
    lost_attempts: int
    most_running: int
    findings: Sequence[str]
    price_error: float
    node_error: float
    twice: int
    untrue: int
    left_running: int
    anew: float
    engine_cpu_ms: float
    memory_mb: float


def simulated_study(home: Path, trials: int, speed: float = SPEED, seed: int = 4) -> StudyFacts:
    """Run a study of so many trials on 50 simulated machines, audit it, and compare it with what they really did."""
    fleet = SimulatedFleet(SearchHost, speed, NEWS_SECONDS)
    market = SpotMarket(fleet, SPOT_LOSS_AN_HOUR, seed)
    market.fill(MACHINES)
    Forkserver(str(STUDY["workload"])).warm_up()
    began = time.monotonic()
    with studies_on(fleet) as engines:
        study = run_study({**STUDY, "budget": {"trials": trials}}, home=home, observer=Silent())
    seconds = time.monotonic() - began
    fleet.close()
    (engine,) = engines
    audit, runs = audit_study(NAME, home=home), study.runs()
    mine = runs.query("role == 'trial'")
    logs = logs_of(home)
    truth = truth_of(fleet)
    return StudyFacts(
        seconds=seconds,
        simulated_hours=(engine.ended_at - engine.began) / SECONDS_PER_HOUR,
        trials=int((mine["state"] != "running").sum()),
        attempts=len(logs),
        lost_machines=market.lost,
        lost_attempts=sum(_ended(log).get("reason") == NODE_LOST for log in logs.values()),
        most_running=engine.most_running,
        findings=[each.words for each in audit.findings],
        price_error=abs(float(runs["price_usd"].sum()) / audit.price_usd - 1),
        node_error=_node_error(fleet, engine),
        twice=sum(len(each) - 1 for each in truth.values()),
        untrue=sum(not _is_true(log, truth.get(key, [])) for key, log in logs.items()),
        left_running=sum(each.ended_at is None for trainings in truth.values() for each in trainings),
        anew=max(_trained_anew(logs, truth), default=0.0),
        engine_cpu_ms=1000 * engine.cpu_seconds / engine.started,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def logs_of(home: Path) -> dict[tuple[str, int], bytes]:
    """The event logs of the study's trials, by trial and attempt."""
    trials = Home(home).study(NAME) / "trials"
    logs = {(path.parent.name, int(path.stem)): path for path in trials.glob("*/*.jsonl") if path.stem.isdecimal()}
    return {key: path.read_bytes() for key, path in logs.items() if key[0].isdecimal()}


def truth_of(fleet: SimulatedFleet) -> Mapping[tuple[str, int], Sequence[Training]]:
    """What really ran, on any machine that ever was, by trial and attempt."""
    truth = defaultdict(list)
    for machine in fleet.machines.values():
        for training in machine.host.ever:
            truth[training.key.folder, training.key.attempt].append(training)
    return truth


def _ended(log: bytes) -> dict[str, Any]:
    events = map(json.loads, reversed(log.splitlines()))
    return next((event for event in events if event["event"] == "ended"), {})


def _is_true(log: bytes, trainings: Sequence[Training]) -> bool:
    """Whether a log is what its machine wrote; of one that was given up the beginning, and the coordinator's word."""
    if trainings and log == trainings[0].log:
        return True
    *lines, last = log.splitlines(keepends=True)
    if b'"event": "dropped"' in last:  # what the coordinator adds once nobody resumes the trial any more
        return _is_true(b"".join(lines), trainings)
    given_up = b'"event": "ended"' in last and b'"reason": "node_' in last
    return given_up and (not trainings or trainings[0].log.startswith(b"".join(lines)))


def _trained_anew(
    logs: Mapping[tuple[str, int], bytes], truth: Mapping[tuple[str, int], Sequence[Training]]
) -> Iterator[float]:
    """What attempts after a lost machine trained again, each in save intervals."""
    for (trial, attempt), log in logs.items():
        later = truth.get((trial, attempt + 1))
        if _ended(log).get("reason") == NODE_LOST and later and (lost := truth.get((trial, attempt))):
            yield _since_save(lost[0], _restored(later[0].log))


def _restored(log: bytes) -> int:
    events = map(json.loads, log.splitlines())
    return next((int(event["epoch"]) for event in events if event["event"] == "restored"), 0)


def _since_save(lost: Training, epoch: int) -> float:
    """From when a state was saved after ``epoch`` to the training's end, in the time between two saves."""
    events = [json.loads(line) for line in lost.log.splitlines()[1:]]
    saves = {event["epoch"]: event["steady"] for event in events if event["event"] in ("saved", "restored")}
    assert lost.ended_at is not None
    return float((lost.ended_at - saves.get(epoch, lost.began)) / lost.epoch_seconds)


def _node_error(fleet: SimulatedFleet, engine: MeasuredEngine) -> float:
    """How far the lines of all machines together are from what they cost while the engine ran, as a share."""
    book = load_price_book()

    def rate(node: Node) -> PricePoint:
        return book.point(node.labels["tracker/sku"], Market(node.labels["tracker/market"]))

    said = math.fsum(sum((time.lines_usd or {}).values()) for time in engine.times)
    true = 0.0
    for machine in fleet.machines.values():
        seconds = min(machine.ended_at or math.inf, engine.ended_at) - max(machine.began, engine.began)
        true += max(0.0, seconds) * rate(machine.node).usd_per_hour / SECONDS_PER_HOUR
    return abs(said / true - 1)
