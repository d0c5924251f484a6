"""The training of the recorded studies: a curve that rises, whose state is two numbers.

It stays as it is: a recorded study is resumed with it.
"""

from __future__ import annotations

import time

from tracker import knob, workload


@workload(metrics={"accuracy": "maximize"})
def curve(
    run,
    rate: float = 0.5,
    epochs: int = 8,
    accident: str = knob("none", "what goes wrong after epoch 1", choices=("none", "raise", "hang")),
):
    """Accuracy approaches its best at ``rate`` an epoch; the best is worse for a rate far from 0.6."""
    state = run.restore() or {"epoch": 0, "error": 1.0}
    epoch, error = state["epoch"], state["error"]
    run.ready()
    while epoch < epochs:
        epoch, error = epoch + 1, error * (1.0 - rate)
        time.sleep(0.15 / rate)
        run.report(epoch, accuracy=1.0 - error - (rate - 0.6) ** 2)
        if run["accident"] == "raise":
            raise RuntimeError("the training raised, as asked for")
        if run["accident"] == "hang":
            time.sleep(600)
        run.save({"epoch": epoch, "error": error})
    run.conclude(parameters=2)
