"""Training a model on batches, epoch by epoch: the one loop that every workload shares.

Mixed precision with loss scaling where the precision asks for it, gradient accumulation and clipping, a schedule,
early stopping, an average of the weights, several processes, evaluation and a checkpoint after every epoch. The
training can be paused after any epoch and resumed in another process, with the same result.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from experiments.optimiser import OPTIMISER_KNOBS, make_optimiser, set_learning_rate
from tracker.errors import TrainingFailedError
from tracker.study.knobs import Knob
from tracker.training.run import Run

Batch = tuple[Tensor, ...]
"""Tensors whose first dimension is the examples."""

LOOP_KNOBS: Mapping[str, Knob] = {
    **OPTIMISER_KNOBS,
    "batch_size": Knob("int", 64, "examples in one step", low=1),
    "gradient_accumulation": Knob("int", 1, "micro-batches that the examples of a step are split into", low=1),
    "epochs": Knob("int", 5, "passes over the training split", low=1),
    "patience": Knob("int", 0, "stop after so many epochs without a better quality; 0 for never", low=0),
    "label_smoothing": Knob("float", 0.0, "share of a label that is spread over all classes", low=0.0, high=0.5),
    "weight_average": Knob("float", 0.0, "decay of the weights' moving average; 0: none", low=0.0, high=0.9999),
}  # fmt: skip
"""The settings that ``fit`` reads."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of a training.

    ``model`` is the one to predict with: the trained one or the average of its weights. ``samples`` are the examples
    seen by all processes, ``seconds`` those spent on them, without evaluation.
    """

    model: nn.Module
    samples: int
    seconds: float


def fit(
    run: Run,
    model: nn.Module,
    *,
    steps_per_epoch: int,
    train_batches: Callable[[int], Iterable[Batch]],
    loss: Callable[[nn.Module, Batch], Tensor],
    evaluate: Callable[[nn.Module], Mapping[str, float]],
    keep: Callable[[nn.Module, Path], None] | None = None,
) -> Fit:
    """Train ``model`` and report training_loss and what ``evaluate`` returns after every epoch (from 1).

    ``train_batches`` gives the batches of an epoch, the same ones in every process; ``loss`` the mean loss of a
    batch (called with the model, which may be wrapped), under the run's precision. ``evaluate`` and ``keep``, which
    writes the model into a folder of its own, get the model to predict with, in evaluation mode; a checkpoint's
    model is kept where its quality is the run's best so far. All but training happens in process 0 alone.
    """
    settings = run.settings
    trained = run.distribute(model)
    optimiser = make_optimiser(model, settings)
    scaler = run.precision.scaler(run.device)
    average = _average(model, float(settings["weight_average"]))
    predicting = model if average is None else average.module
    epochs, patience = int(settings["epochs"]), int(settings["patience"])
    epoch, stale, samples, seconds = 0, 0, 0, 0.0
    if (state := run.restore()) is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        scaler.load_state_dict(state["scaler"])
        if average is not None:
            average.load_state_dict(state["average"])
        epoch, stale, samples, seconds = (state[name] for name in ("epoch", "stale", "samples", "seconds"))
    else:
        run.conclude(steps_per_epoch=steps_per_epoch)
    while epoch < epochs and not (patience and stale >= patience):
        epoch += 1
        begin = time.perf_counter()
        # Each epoch draws its random numbers from a seed of its own: resuming in another process changes none.
        torch.manual_seed((run.seed * 1_000_003 + epoch) * 1_009 + run.rank)
        model.train()
        loss_sum, count = torch.zeros((), device=run.device), 0
        for step, batch in enumerate(run.batches(train_batches(epoch)), start=(epoch - 1) * steps_per_epoch):
            set_learning_rate(optimiser, settings, step / (epochs * steps_per_epoch))
            with run.counting_step():
                loss_sum += _step(run, trained, batch, loss, optimiser, scaler)
                if average is not None:
                    average.update_parameters(model)
            count += len(batch[0])
        training_loss = _over_processes(run, loss_sum) / max(
            count, 1
        )  # waits for the device: the clock is read after it
        samples, seconds = samples + count, seconds + time.perf_counter() - begin
        if run.rank == 0:
            predicting.eval()
            with run.evaluating(), torch.no_grad():
                scores = evaluate(predicting)
            _report(run, epoch, {"training_loss": training_loss, **scores})
            stale = 0 if run.improved else stale + 1
            if keep is not None and run.improved:
                with run.saving():
                    keep(predicting, run.artifact(f"epoch-{epoch}/model.pt").parent)
        stale = int(run.agree(stale))
        run.save(
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "scaler": scaler.state_dict(),
                "average": {} if average is None else average.state_dict(),
                "epoch": epoch,
                "stale": stale,
                "samples": samples,
                "seconds": seconds,
            }
        )
    return Fit(predicting, samples, seconds)


def _report(run: Run, epoch: int, scores: Mapping[str, float]) -> None:
    """Raises TrainingFailedError(``not_finite``) where a score is no finite number: the training has diverged."""
    if broken := [f"{name} is {float(value)}" for name, value in scores.items() if not math.isfinite(value)]:
        raise TrainingFailedError("not_finite", f"{', '.join(broken)} after epoch {epoch}")
    run.report(epoch, **scores)


def _step(
    run: Run,
    model: nn.Module,
    batch: Batch,
    loss: Callable[[nn.Module, Batch], Tensor],
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> Tensor:
    """One step of the optimiser on this process's share of a batch; the sum of its examples' losses."""
    rows, parts = len(batch[0]), int(run.settings["gradient_accumulation"])
    if rows < run.processes:
        return torch.zeros((), device=run.device)  # an example for some processes only: left out by all
    share = batch if run.processes == 1 else tuple(each[run.rank :: run.processes] for each in batch)
    loss_sum = torch.zeros((), device=run.device)
    pieces = list(zip(*(each.chunk(parts) for each in share), strict=True)) if parts > 1 else [share]
    for number, piece in enumerate(pieces, start=1):
        with _gradients_kept_back(model, number < len(pieces)):
            with run.precision.autocast(run.device):
                mean = loss(model, piece)
            # So that the gradient is that of the whole batch's mean, however it is divided.
            weight = len(piece[0]) * run.processes / rows
            scaler.scale(mean if weight == 1.0 else mean * weight).backward()  # type: ignore[no-untyped-call]
        loss_sum += mean.detach() * len(piece[0])
    if clip := float(run.settings["gradient_clip"]):
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    scaler.step(optimiser)
    scaler.update()
    optimiser.zero_grad(set_to_none=True)
    return loss_sum


@contextlib.contextmanager
def _gradients_kept_back(model: nn.Module, more_to_come: bool) -> Iterator[None]:
    """Processes exchange their gradients once a step, with the last of its parts."""
    if more_to_come and isinstance(model, nn.parallel.DistributedDataParallel):
        with model.no_sync():
            yield
    else:
        yield


def _average(model: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights (Polyak averaging; Izmailov et al. 2018, arXiv:1803.05407)."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None


def _over_processes(run: Run, value: Tensor) -> float:
    if run.processes > 1:
        torch.distributed.all_reduce(value)
    return float(value.item())
