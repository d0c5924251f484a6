"""Trainings that report where they like: every so many iterations, from 0 on, or now and then."""

from __future__ import annotations

import time

from tracker import workload

STEPS = {
    "iterations": (20, 40, 60),
    "from 0": (0, 250, 500),
    "every fifth epoch": (5, 10),
    "first, then seldom": (1, 250, 500),
    "doubled": (1, 2, 4, 8),
    "twice": (20, 60),
}
"""By what they count, the steps that are reported."""


@workload(metrics={"accuracy": "maximize"})
def counted(
    run,
    counts: str = "iterations",
    learning_rate: float = 0.01,
    epochs: int = 3,
    seconds: float = 0.03,
    seconds_to_save: float = 0.0,
):
    """The later a report, the better; the knob ``epochs`` is what a script may have that counts otherwise."""
    del epochs
    after = (run.restore() or {"reports": 0})["reports"]
    run.ready()
    for reports, step in enumerate(STEPS[counts][after:], start=after + 1):
        time.sleep(seconds)
        run.report(step, accuracy=0.9 - 0.5 / (1 + reports) - abs(learning_rate - 0.03))
        time.sleep(seconds_to_save)
        run.save({"reports": reports})
    run.conclude(reports=len(STEPS[counts]))


def study(space, *, strategy="frontier", trials=12, **settings):
    """A study of it."""
    return {
        "name": "counted",
        "workload": "tests.support.iterations:counted",
        "quality": {"metric": "accuracy"},
        "strategy": strategy,
        "budget": {"trials": trials},
        "pricing": {"sku_cpu": "aws/m7i.xlarge"},
        "settings": {"threads": 1, "precision": "fp32", **settings},
        "space": space,
    }
