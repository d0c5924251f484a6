"""A training that is the same wherever it runs; how long it takes and how large its state is are settings."""

from __future__ import annotations

import time
from typing import Any

from tracker import workload


@workload(metrics={"accuracy": "maximize"})
def steady(
    run, learning_rate: float = 0.1, width: int = 8, epochs: int = 4, epoch_seconds: float = 0.0, state_mb: int = 0
):
    """A network of one hidden layer fits which of 256 points are above a line, on one thread."""
    import torch  # the coordinator, which reads this file too, does without

    made = torch.Generator().manual_seed(0)
    points = torch.randn(256, 2, generator=made)
    above = (points.sum(dim=1) > 0).float()
    torch.manual_seed(run.seed)
    model = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate)
    rest = torch.randn(state_mb * 250_000, generator=made)
    state = run.restore()
    epoch = 0
    if state:
        model.load_state_dict(state["model"])
        epoch, rest = state["epoch"], state["rest"]
    run.ready()
    while epoch < epochs:
        until = time.monotonic() + epoch_seconds
        epoch += 1
        loss, accuracy = fit(model, optimiser, points, above)
        time.sleep(max(0.0, until - time.monotonic()))
        run.report(epoch, accuracy=accuracy, loss=loss)
        run.save({"model": model.state_dict(), "epoch": epoch, "rest": rest})


def fit(model: Any, optimiser: Any, points: Any, above: Any) -> tuple[float, float]:
    """Fit which points [N, 2] are above a line, by ten steps; the last loss, and the accuracy."""
    import torch

    for _ in range(10):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(points)[:, 0], above)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        accuracy = ((model(points)[:, 0] > 0) == above.bool()).float().mean()
    return float(loss), float(accuracy)
