"""The digits trained by code that can be paused, alone or in several processes, and code that goes wrong at its end."""

from __future__ import annotations

import os
import time

import torch

from tests.support.digits import data
from tests.support.restoring import restored, save
from tracker import knob, workload
from tracker.records import DataCard
from tracker.training.function_workload import FunctionWorkload


@workload(metrics={"accuracy": "maximize", "validation_loss": "minimize"})
def pausable(
    run,
    learning_rate: float = 0.01,
    width: int = 16,
    epochs: int = 4,
    epoch_seconds: float = 0.0,
    accident: str = knob(
        "none", "what goes wrong", choices=("none", "memory", "hang", "silence", "companion", "alone")
    ),
):
    """Trains in full batches: what it does depends on nothing but its state."""
    images, labels, unseen, answers = data()
    torch.manual_seed(run.seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))
    trained = run.distribute(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    epoch = restored(run, model, optimiser)
    run.ready()
    if accident == "silence":
        return
    if accident == "hang":
        time.sleep(600)
    share = slice(run.rank, None, run.processes)
    while epoch < epochs:
        epoch += 1
        for _ in range(10):
            with run.counting_step():
                loss = torch.nn.functional.cross_entropy(trained(images[share]), labels[share])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        if accident == "memory" and epoch == 2:
            torch.empty(2**50)
        if accident == "companion" and epoch == 2 and run.rank == 1:
            raise ValueError("process 1 failed, as asked for")
        with torch.no_grad():
            logits = model(unseen)
        time.sleep(epoch_seconds)
        run.report(
            epoch,
            accuracy=(logits.argmax(1) == answers).float().mean(),
            validation_loss=torch.nn.functional.cross_entropy(logits, answers),
        )
        save(run, model, optimiser, epoch)
    if accident == "alone" and run.rank == 0:
        time.sleep(4.0)  # a last evaluation, which the other processes take no part in


class Prepared(FunctionWorkload):
    """The same with data to prepare: the cores that prepare them, which are others on each machine."""

    def prepare(self, data, settings, cache, progress):
        core = min(os.sched_getaffinity(0))
        (cache / f"prepared on {core}").touch()
        return DataCard("digits", str(core), {"train": 1400})


prepared = Prepared(pausable.function, pausable.metrics)
PAUSABLE = {
    "name": "pausable",
    "workload": "tests.support.pausable:pausable",
    "quality": {"metric": "accuracy"},
    "strategy": "optuna",
    "budget": {"trials": 1},
    "pricing": {"sku_cpu": "aws/m7i.xlarge"},
    "settings": {"threads": 1, "precision": "fp32"},
    "space": {"width": [16]},
}


def study(**settings):
    """The study with some knobs fixed."""
    return {**PAUSABLE, "settings": {**PAUSABLE["settings"], **settings}}
