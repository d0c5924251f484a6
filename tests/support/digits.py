"""Small real training for the tests: an MLP on scikit-learn's digits, and what can go wrong with it."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tracker.errors import DataError
from tracker.records import DataCard, Direction
from tracker.study.knobs import Knob


def data():
    """The 1,797 digits: training images and labels, validation images and labels."""
    table = torch.from_numpy(read())
    images, labels = table[:, :-1] / 16, table[:, -1].long()
    return images[:1400], labels[:1400], images[1400:], labels[1400:]


@functools.cache
def read():
    """A row for each: read from scikit-learn's file, as to import its functions takes every process two seconds."""
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    return np.loadtxt(package / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.float32)


def logistic_regression(run):
    images, labels, unseen, answers = data()
    model = torch.nn.Linear(64, 10)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")
    run.ready()

    def loss():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    optimizer.step(loss)
    with torch.no_grad():
        accuracy = (model(unseen).argmax(1) == answers).float().mean()
    run.report(1, accuracy=accuracy, validation_loss=1.0)


class Digits:
    """Trains for ``epochs``; ``accident`` makes it fail in a chosen way after its first epoch."""

    knobs = {
        "width": Knob("int", 16, "hidden units", low=1, high=512),
        "epochs": Knob("int", 3, "passes over the data", low=1, high=10_000),
        "learning_rate": Knob("float", 0.01, "of AdamW", low=0.0),
        "epoch_seconds": Knob("float", 0.0, "an epoch lasts at least this long", low=0.0),
        "accident": Knob(
            "str",
            "none",
            "what goes wrong",
            choices=(
                "none",
                "not_a_number",
                "raise",
                "exit",
                "leave",
                "give up",
                "vanish",
                "segfault",
                "memory",
                "deaf",
            ),
        ),
    }
    metrics = {"accuracy": Direction.MAXIMIZE, "validation_loss": Direction.MINIMIZE}
    data_options = {"broken": "true where the data cannot be used"}
    baselines = {"logistic regression": logistic_regression}

    def prepare(self, data, settings, cache, progress):
        if data.get("broken"):
            raise DataError("the digits are broken, as asked for")
        progress("counting the digits")
        return DataCard("digits", "8x8", {"train": 1400, "validation": 397}, 10)

    def train(self, run):
        images, labels, unseen, answers = data()
        model = torch.nn.Sequential(
            torch.nn.Linear(64, int(run["width"])), torch.nn.ReLU(), torch.nn.Linear(int(run["width"]), 10)
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=float(run["learning_rate"]))
        run.ready()
        for epoch in range(1, int(run["epochs"]) + 1):
            begin = time.monotonic()
            for batch in torch.randperm(len(images)).split(64):
                with run.precision.autocast(run.device):
                    loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with run.evaluating(), torch.no_grad():
                logits = model(unseen)
                loss = torch.nn.functional.cross_entropy(logits, answers)
                accuracy = (logits.argmax(1) == answers).float().mean()
            time.sleep(max(0.0, float(run["epoch_seconds"]) - (time.monotonic() - begin)))
            self.maybe_fail(str(run["accident"]), epoch, run, accuracy)
            run.report(epoch, accuracy=accuracy.item(), validation_loss=loss.item())
        run.artifact("model.txt").write_text(f"width {run['width']}")
        run.conclude(test_accuracy=accuracy.item(), parameters=sum(p.numel() for p in model.parameters()))

    def maybe_fail(self, accident, epoch, run, accuracy):
        if epoch < 2:
            return
        if accident == "not_a_number":
            run.report(epoch, accuracy=float("nan"), validation_loss=1.0)
        elif accident == "leave":
            sys.exit(0)
        elif accident == "give up":
            sys.exit("no data")
        elif accident == "vanish":
            run.report(epoch, accuracy=accuracy.item(), validation_loss=1.0)
            os._exit(0)
        elif accident == "raise":
            raise RuntimeError("the training raised, as asked for")
        elif accident == "exit":
            os._exit(3)
        elif accident == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif accident == "memory":
            raise MemoryError
        elif accident == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            time.sleep(60)
