"""The training code of study NAME: a small network that classifies handwritten digits.

Replace the model and the data with your own. The tracker needs the decorator, `run` as the first parameter, the
settings as the others, and `run.report` after each epoch; everything else is optional and marked so.
"""

from __future__ import annotations

import math

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from tracker import Run, knob, workload


@workload(metrics={"accuracy": "maximize", "validation_loss": "minimize"})
def train(
    run: Run,
    width: int = knob(64, "hidden units of a layer", low=1),
    depth: int = knob(1, "hidden layers", low=1, high=16),
    batch_size: int = knob(32, "examples in one step", low=1),
    learning_rate: float = knob(0.01, "AdamW's learning rate", low=0.0),
    epochs: int = knob(5, "passes over the training examples", low=1),
) -> None:
    """Train one network with these settings."""
    torch.manual_seed(run.seed)  # without it, trials cannot be repeated
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images, dtype=torch.float32, device=run.device) / 16
    answers = torch.tensor(labels, device=run.device)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))  # the same split in every trial
    training, validation = order[:1400], order[1400:]

    layers: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 10)).to(run.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    scaler = run.precision.scaler(run.device)  # does nothing where no scaling is needed

    done = 0
    if state := run.restore():  # optional: this trial was paused and is resumed
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        done = state["epoch"]
    run.conclude(steps_per_epoch=math.ceil(len(training) / batch_size))  # optional: for predictions on other hardware
    run.ready()  # optional: start-up time ends here

    for epoch in range(done + 1, epochs + 1):
        model.train()
        shuffled = torch.randperm(len(training), generator=torch.Generator().manual_seed(run.seed + epoch))
        for rows in run.batches(training[shuffled].split(batch_size)):  # optional: waiting for data is timed separately
            with run.counting_step():  # optional: what a step computes is counted once
                with run.precision.autocast(run.device):
                    loss = cross_entropy(model(inputs[rows]), answers[rows])
                optimiser.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimiser)
                scaler.update()
        model.eval()
        with run.evaluating(), torch.no_grad(), run.precision.autocast(run.device):  # optional: timed separately
            logits = model(inputs[validation]).float()
        accuracy = (logits.argmax(dim=1) == answers[validation]).float().mean()
        run.report(epoch, accuracy=accuracy, validation_loss=cross_entropy(logits, answers[validation]))
        run.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch})  # optional

    torch.save(model.state_dict(), run.artifact("model.pt"))  # optional: kept where the run is on the frontier
    run.conclude(parameters=sum(each.numel() for each in model.parameters()))  # optional: figures about the run
