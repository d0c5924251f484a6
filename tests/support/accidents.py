"""Trainings around which something goes wrong: daemons that they leave, disks that fill, processes that are killed."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.support.restoring import restored, save
from tracker import knob, workload

DAEMON = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def leave_daemons(folder):
    """A program that leaves its session and its parents, and a fork of this process that does; both write their ids."""
    pids = folder / "daemons"
    subprocess.run([sys.executable, "-c", DAEMON, str(pids)], check=True)
    if not (child := os.fork()):
        os.setsid()
        if os.fork():
            os._exit(0)
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(600)
        os._exit(0)
    os.waitpid(child, 0)
    while len(daemons_of(folder)) < 2:
        time.sleep(0.01)


def daemons_of(folder):
    """The ids of the daemons that a training in this folder left."""
    try:
        text = (Path(folder) / "daemons").read_text()
    except FileNotFoundError:
        return []
    return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@workload(metrics={"accuracy": "maximize"})
def accidental(
    run,
    epochs: int = 3,
    epoch_seconds: float = 0.0,
    width: int = 4,
    accident: str = knob("none", "what happens", choices=("none", "daemons", "spins", "killed", "crash", "silent")),
):
    """Its quality is its epoch; ``killed`` has it kill itself in each attempt, ``spins`` ignore requests to stop."""
    model = torch.nn.Linear(2, width)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    epoch = restored(run, model, optimiser)
    run.ready()
    if accident in ("daemons", "spins"):
        leave_daemons(run.folder)
    if accident == "crash":
        os.abort()
    while epoch < epochs:
        epoch += 1
        with contextlib.suppress(*[BaseException] * (accident == "spins")):
            select.select([], [], [], epoch_seconds)  # libfaketime breaks time.sleep
            if accident == "silent":
                run.report(epoch, loss=1.0)
            run.report(epoch, accuracy=epoch / 100)
            save(run, model, optimiser, epoch)
        if accident == "killed":
            os.kill(os.getpid(), 9)
