"""The cheap reference for fine-tuning: each base model of the study as it is, measured on the same texts.

A checkpoint is a base model, in the study's order; the last one is measured on the test split too. Imported only where
it is measured (see experiments.lazy).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from experiments.data.prompts import PLAIN_TEMPLATE, template_of
from experiments.data.tuning_batches import Examples, batches
from experiments.data.tuning_texts import load_rows, load_text_card, prepared_texts
from experiments.data.windows import NO_TARGET
from experiments.scores import probability_scores
from experiments.tuned_models import Tuned
from experiments.workloads.fine_tuner import EVALUATION_BATCH, FineTuner, Start, mean_loss, measure
from tracker.training.run import Run


def train(run: Run) -> None:
    """Measure what every base model that was prepared writes. Of the settings it reads those of the data."""
    folder = prepared_texts(run)
    validation = load_rows(folder, "validation", int(run.settings["validation_pairs"]))
    seen, test = load_rows(folder, "train", len(validation)), load_rows(folder, "test", int(run.settings["test_pairs"]))
    run.ready()
    for step, start, model in _untuned(run, template_of(run.data)):
        with run.evaluating():
            scores = measure(run, model, start.prompter, validation)
            training_loss = mean_loss(run, model, start.prompter.examples(seen))
        run.report(step, training_loss=training_loss, **scores.reported)
    with run.evaluating():
        last = measure(run, model, start.prompter, test)
    run.conclude(
        test_chrf=last.reported["chrf"],
        test_bits_per_byte=last.reported["bits_per_byte"],
        predictions_per_second=last.predictions_per_second,
    )


def classify(run: Run) -> None:
    """Measure the base models as classifiers: of the names of the classes, which is likeliest after a text?

    The name with the lowest mean cross-entropy of its tokens is the answer.
    """
    folder = prepared_texts(run)
    classes = load_text_card(folder).classes
    validation = load_rows(folder, "validation", int(run.settings["validation_documents"]))
    seen = load_rows(folder, "train", len(validation))
    test = load_rows(folder, "test", int(run.settings["test_documents"]))
    run.ready()
    for step, start, model in _untuned(run, PLAIN_TEMPLATE):
        with run.evaluating():
            training_loss = _scores(run, start, model, classes, seen)["validation_loss"]
            scores = _scores(run, start, model, classes, validation)
        run.report(step, training_loss=training_loss, **scores)
    with run.evaluating():
        begin = time.perf_counter()
        test_accuracy = _scores(run, start, model, classes, test)["accuracy"]
        seconds = time.perf_counter() - begin
    run.conclude(test_accuracy=test_accuracy, predictions_per_second=len(test) / seconds)


def _untuned(run: Run, template: str) -> Iterator[tuple[int, Start, Tuned]]:
    for step, name in enumerate(load_text_card(prepared_texts(run)).bases, start=1):
        with run.evaluating():
            start = Start.of(run, name, FineTuner.task, template)
        yield step, start, Tuned(start.network, start.prompter.padding)


def _scores(
    run: Run, start: Start, model: Tuned, classes: Sequence[str], rows: Sequence[tuple[str, int]]
) -> dict[str, float]:
    texts, labels = zip(*rows, strict=True)
    cutter = start.prompter
    names = [each or [cutter.end] for each in cutter.cut(classes)]
    pairs = [(prompt, name) for prompt in cutter.prompts(texts) for name in names]
    examples = Examples([prompt for prompt, _ in pairs], [name for _, name in pairs], cutter.padding)
    costs = _mean_costs(run, model, examples).reshape(len(texts), len(classes))
    likely = np.exp(-costs)
    return probability_scores(likely / likely.sum(axis=1, keepdims=True), np.asarray(labels))


@torch.no_grad()
def _mean_costs(run: Run, model: Tuned, examples: Examples) -> np.ndarray:
    """The mean cross-entropy of each answer's tokens, in nats (examples,)."""
    model.eval()
    found = []
    for rows in torch.arange(len(examples)).split(EVALUATION_BATCH):
        plan = [[[row] for row in rows.tolist()]]
        for tokens, targets, positions in batches(examples, plan, run.device):
            with run.precision.autocast(run.device):
                logits = model(tokens, positions)
            costs = F.cross_entropy(
                logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET, reduction="none"
            )
            counted = (targets != NO_TARGET).sum(dim=1)
            found.append((costs.view(targets.shape).sum(dim=1) / counted).cpu().numpy())
    return np.concatenate(found)
