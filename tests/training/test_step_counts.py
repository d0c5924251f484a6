"""What a training step computes is counted, once, and counting it changes nothing."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.benchmarks.bare_run import bare_run, bare_task
from tracker.records import Direction, QualityMetric
from tracker.training.assignment import Place, Reporting, Saving, Seat
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Run
from tracker.training.step_counts import StepCounts

ROWS = 16
INPUTS = torch.randn(ROWS, 64, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(ROWS) % 10


def counted(compute):
    with StepCounts() as counts:
        compute()
    return counts


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


PERCEPTRON_FLOPS = 2 * ROWS * (2 * 64 * 32 + 3 * 32 * 10)
"""Of a multiplication and an addition for each weight and row: forward and the weights' gradients; that of the inputs
is needed of the second layer alone."""


def test_a_multiplication_and_an_addition_are_two_operations():
    model = perceptron()
    counts = counted(lambda: F.cross_entropy(model(INPUTS), LABELS).backward())
    assert counts.flops == PERCEPTRON_FLOPS


def test_attention_is_counted_on_a_cpu_as_elsewhere():
    heads, length, width = 4, 32, 16
    query, key, value = (torch.randn(2, heads, length, width, requires_grad=True) for _ in range(3))
    product = 2 * 2 * heads * length * length * width
    assert counted(lambda: F.scaled_dot_product_attention(query, key, value)).flops == 2 * product
    counts = counted(lambda: F.scaled_dot_product_attention(query, key, value).sum().backward())
    assert counts.flops == 7 * product, "two forward, five backward, one of which is computed again"


def test_a_convolution_is_counted_in_any_precision():
    model, images = nn.Conv2d(3, 8, 3), torch.randn(2, 3, 10, 10)
    with torch.autocast("cpu", torch.bfloat16):
        counts = counted(lambda: model(images).sum().backward())
    assert counts.flops == 2 * (2 * 2 * 8 * 8 * 8 * 27), "forward, and the weights' gradient"


def test_what_computes_nothing_starts_no_kernel():
    square = torch.randn(4, 4)
    assert counted(lambda: square.T.reshape(2, 8).view(16)[3:].detach()).operations == 1, "a reshape that copies"
    assert counted(lambda: torch.empty(3)).operations == 0
    assert counted(lambda: (square + 1).relu_()).operations == 2


def test_bytes_are_what_operators_read_and_write():
    square = torch.randn(4, 4)
    assert counted(lambda: square + 1).bytes == 2 * 64
    assert counted(lambda: square.relu_()).bytes == 2 * 64, "in place as well"
    assert counted(lambda: square @ square).bytes == 3 * 64
    assert counted(lambda: (square.half(), square.T)).bytes == 64 + 32, "a view moves nothing"
    assert counted(lambda: square[:, :1].expand(4, 100) + 1).bytes == 64 + 4 * 400, (
        "nor is what is repeated there twice"
    )


def test_a_table_is_read_only_where_it_is_looked_up():
    table, rows = torch.randn(1000, 8), torch.tensor([3, 5])
    assert counted(lambda: F.embedding(rows, table)).bytes == counted(lambda: table[rows]).bytes == 2 * 8 + 2 * 2 * 32


def test_an_optimizer_moves_weights_gradients_and_moments():
    moved = []
    for chosen in ({"foreach": True}, {"fused": True}):
        weights = [nn.Parameter(torch.randn(50, 20)) for _ in range(3)]
        optimizer = torch.optim.AdamW(weights, **chosen)
        for each in weights:
            each.grad = torch.randn(50, 20)
        optimizer.step()
        moved.append(counted(optimizer.step).bytes / (3 * 4000))
    foreach, fused = moved
    assert fused == pytest.approx(8, abs=1), "four are read, and all but the gradients written, which it may scale"
    assert foreach > 2 * fused, "each of its operations reads and writes them"


@pytest.mark.parametrize(
    "unknown",
    [
        lambda: nn.LSTM(8, 16)(torch.randn(2, 5, 8)),
        lambda: nn.Linear(8, 8)(torch.nested.nested_tensor([torch.randn(3, 8)], layout=torch.jagged)),
    ],
    ids=["a recurrent network", "nested tensors"],
)
def test_what_cannot_be_worked_out_is_no_figure(unknown):
    counts = counted(unknown)
    assert counts.flops is None
    assert counts.operations > 0


def test_tensors_of_a_kind_of_their_own_have_no_bytes():
    ragged = torch.nested.nested_tensor([torch.randn(3, 8)], layout=torch.jagged)
    assert counted(lambda: nn.Linear(8, 8)(ragged)).bytes is None


def test_an_error_of_the_training_stays_its_own():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        counted(lambda: perceptron()(torch.randn(2, 3)))
    assert counted(lambda: torch.ones(2) + 1).operations == 2, "nothing is left of it"


@pytest.fixture
def make_run(tmp_path):
    def make(path=None, processes=1, **settings):
        events = []
        task = bare_task(QualityMetric("accuracy", Direction.MAXIMIZE), **settings)
        place, write = Place(tmp_path / "cache", tmp_path / "artifacts"), lambda *event: events.append(event)
        run = bare_run(task, place, write, saving=Saving(path))
        if processes > 1:
            seat = Seat(run.device, PRECISIONS["fp32"], processes=processes)
            run = Run(task, seat, place, Reporting(Meter(asked_steady=time.monotonic(), cores=1), write))
        return run, events

    return make


def steps_of(run, count, optimizer=torch.optim.AdamW):
    """Train; the weights afterwards, and what the optimizer keeps."""
    model = perceptron()
    optimizer = optimizer(model.parameters(), lr=0.01)
    for rows in run.batches(torch.arange(ROWS) for _ in range(count)):
        with run.counting_step():
            loss = F.cross_entropy(F.dropout(model(INPUTS[rows]), 0.1), LABELS[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [*model.parameters(), *(each for kept in optimizer.state.values() for each in kept.values())]


def figures(events):
    return [event[1]["figures"] for event in events if event[0] == "figures"]


def test_the_second_step_of_a_run_is_counted_and_logged_at_once(make_run):
    run, events = make_run()
    steps_of(run, 1)
    assert figures(events) == [], "the first sets the optimizer up"
    steps_of(run, 5)
    (found,) = figures(events)
    assert found == run.summary
    assert found["step_flops"] == PERCEPTRON_FLOPS
    assert 20 <= found["step_operations"] <= 100
    weights, rows = 4 * (64 * 32 + 32 * 10), 4 * ROWS * (64 + 32 + 10)
    assert 8 * weights < found["step_bytes"] < 30 * (weights + rows)


def test_counting_changes_no_weight(make_run):
    run, events = make_run()
    plain, _ = make_run(compile=True)
    assert all(map(torch.equal, steps_of(run, 4), steps_of(plain, 4)))
    assert figures(events) and not plain.summary


@pytest.mark.parametrize("given", [{"compile": True}, {"processes": 2}], ids=str)
def test_where_a_step_cannot_be_counted_as_it_is_nothing_is(make_run, given):
    run, events = make_run(**given)
    steps_of(run, 4)
    assert figures(events) == []


def test_a_resumed_training_is_not_counted_again(make_run, tmp_path):
    run, _ = make_run(tmp_path / "state.pt")
    run.report(1, accuracy=0.5)
    run.save({"epoch": 1})
    resumed, events = make_run(tmp_path / "state.pt")
    assert resumed.restore() == {"epoch": 1}
    steps_of(resumed, 4)
    assert figures(events) == []
