"""A workload whose quality is known, plus the luck of its seed; repeats can be made slow, or made to fail."""

from __future__ import annotations

import random
import time

from tracker import workload
from tracker.runner.jobs import REPEAT_SEEDS

QUALITY = {1: (0.10, 0.20, 0.05, 0.05), 4: (0.10, 0.15, 0.90, 0.05)}
"""By size, after each epoch: the small one is best after two epochs, the large one after three, which take longer."""
EPOCH_SECONDS = {1: 0.01, 4: 0.25}


@workload(metrics={"accuracy": "maximize"})
def lucky(run, size: int = 1, luck: float = 0.01, repeat_seconds: float = 0.0, repeats_fail: bool = False):
    """An epoch of a repeat takes ``repeat_seconds`` longer, and where ``repeats_fail`` its first is its last."""
    run.ready()
    repeated = run.seed >= REPEAT_SEEDS
    for epoch, quality in enumerate(QUALITY[size], start=1):
        time.sleep(EPOCH_SECONDS[size] + repeat_seconds * repeated)
        if repeated and repeats_fail:
            raise RuntimeError("this seed fails, as asked for")
        run.report(epoch, accuracy=quality + luck * random.Random(f"{run.seed} {epoch}").gauss())
        run.save({"epoch": epoch})
    run.artifact("model.txt").write_text(f"size {size}")


def study(**settings):
    """Two trials: size 1 is on the frontier until its second epoch, size 4 until its third."""
    return {
        "name": "lucky",
        "workload": "tests.support.lucky:lucky",
        "quality": {"metric": "accuracy"},
        "budget": {"trials": 2},
        "pricing": {"sku_cpu": "aws/m7i.xlarge"},
        "settings": {"threads": 1, "precision": "fp32", **settings},
        "space": {"size": [1, 4]},
        "strategy": "grid",
    }
