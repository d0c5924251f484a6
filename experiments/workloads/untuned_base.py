"""The cheap reference for fine-tuning: each base model of the study as it is, measured on the same texts.

A checkpoint is a base model: of several, the first is measured first. Imported only where it is measured (see
experiments.lazy).
"""

from __future__ import annotations

from experiments.data.tuning_texts import load_rows, load_text_card, prepared_texts
from experiments.tuned_models import Tuned
from experiments.workloads.fine_tuner import FineTuner, Measured, Start, mean_loss, measure
from tracker.training.run import Run


def train(run: Run) -> None:
    """Measure every base model that was prepared; nothing is trained. Of the settings it reads those of the data."""
    folder = prepared_texts(run)
    card = load_text_card(folder)
    run.ready()
    last: Measured | None = None
    for step, name in enumerate(card.bases, start=1):
        with run.evaluating():
            start = Start.of(run, name, FineTuner.task)
            model = Tuned(start.network, start.prompter.padding)
            validation = load_rows(folder, "validation", int(run.settings["validation_pairs"]))
            seen = start.prompter.examples(load_rows(folder, "train", len(validation)))
            scores = measure(run, model, start.prompter, validation)
            training_loss = mean_loss(run, model, seen)
        run.report(step, training_loss=training_loss, **scores.reported)
        with run.evaluating():
            last = measure(run, model, start.prompter, load_rows(folder, "test", int(run.settings["test_pairs"])))
    if last is not None:
        run.conclude(
            test_chrf=last.reported["chrf"],
            test_bits_per_byte=last.reported["bits_per_byte"],
            predictions_per_second=last.predictions_per_second,
        )
