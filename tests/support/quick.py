"""A training that takes next to nothing to start and can be paused, for studies of many trials."""

from __future__ import annotations

import select

import torch

from tests.support.restoring import restored, save
from tracker import workload


@workload(metrics={"accuracy": "maximize", "validation_loss": "minimize"})
def quick(run, learning_rate: float = 0.01, width: int = 16, epochs: int = 16, epoch_seconds: float = 0.0):
    """A small network learns which of two halves a point lies in."""
    made = torch.Generator().manual_seed(0)
    points = torch.rand(600, 2, generator=made) * 2 - 1
    labels = (points.prod(dim=1) > 0).long()
    torch.manual_seed(run.seed)
    model = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 2))
    optimiser = torch.optim.SGD(model.parameters(), lr=10 * learning_rate, momentum=0.9)
    epoch = restored(run, model, optimiser)
    run.ready()
    while epoch < epochs:
        epoch += 1
        for _ in range(10):
            loss = torch.nn.functional.cross_entropy(model(points[:400]), labels[:400])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            logits = model(points[400:])
        select.select([], [], [], epoch_seconds)  # libfaketime breaks time.sleep
        run.report(
            epoch,
            accuracy=(logits.argmax(1) == labels[400:]).float().mean(),
            validation_loss=torch.nn.functional.cross_entropy(logits, labels[400:]),
        )
        save(run, model, optimiser, epoch)
