"""Fine-tuning a base model to classify texts: the sibling of experiments.workloads.fine_tuner, with its settings.

The base model gets a new output layer for the classes, which every method trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from experiments import lazy
from experiments.data.tuning_batches import Examples, Row, evaluation_rows, padded_texts, training_rows
from experiments.data.tuning_texts import load_rows, load_text_card, prepared_texts
from experiments.memory import keep_freed_memory
from experiments.scores import CLASSIFIER_METRICS, classification_loss, classifier_scores
from experiments.training_loop import Batch, fit
from experiments.tuned_models import TunedClassifier, tunable
from experiments.workloads.fine_tuner import (
    EVALUATION_BATCH,
    SEED_STEP,
    TUNING_KNOBS,
    TUNING_OPTIONS,
    Start,
    kept_network,
    prepare_tuning,
    sizes,
    tokens_of,
    training_flops,
)
from experiments.workloads.text_classifier import TextClassifier
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import PredictionTexts, Predictor

TEMPLATE = "{source}"


class ClassifierTuner:
    """The workload: a base model learns to classify texts. See tracker.training.workload.Workload."""

    task = "classification"
    knobs: Mapping[str, Knob] = {
        **TUNING_KNOBS,
        "source_length": Knob("int", 128, "tokens of a text that are read", low=4, high=32_768),
        "validation_documents": Knob("int", 500, "validation texts to measure each epoch with; 0 for all", low=0),
        "test_documents": Knob("int", 1000, "test texts to measure the trained model with; 0 for all", low=0),
    }
    metrics: Mapping[str, Direction] = CLASSIFIER_METRICS
    data_options: Mapping[str, str] = {
        **TextClassifier.data_options,
        **{name: TUNING_OPTIONS[name] for name in ("base_models", "base_bytes")},
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Make or check the base models and gather the texts. Raises DataError, WorkloadError."""
        return prepare_tuning(data, settings, self.task, TEMPLATE, cache, progress)

    def train(self, run: Run) -> None:
        """Tune one base model; keeps what was trained of it, and its settings."""
        settings = run.settings
        if run.device.type == "cpu":
            keep_freed_memory()
        folder = prepared_texts(run)
        card = load_text_card(folder)
        start = Start.of(run, str(settings["base_model"]), self.task, TEMPLATE, len(card.classes))
        used = max(1, round(float(settings["train_share"]) * card.rows["train"]))
        train = Texts(start, load_rows(folder, "train", used), run.device)
        validation = Texts(start, load_rows(folder, "validation", int(settings["validation_documents"])), run.device)
        model = TunedClassifier(tunable(start.network, start.tuning), start.prompter.padding).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)
        batch_size = int(settings["batch_size"])

        def plan(epoch: int) -> list[list[Row]]:
            return training_rows(train.examples, batch_size, run.seed * SEED_STEP + epoch, packed=False)

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(used / batch_size),
            train_batches=lambda epoch: train.batches(plan(epoch)),
            loss=classification_loss(run),
            evaluate=lambda tuned: classifier_scores(run, tuned, validation.batches()).reported,
            keep=lambda tuned, kept: start.save(tuned, TEMPLATE, settings, card.classes, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test = Texts(start, load_rows(folder, "test", int(settings["test_documents"])), run.device)
            scores = classifier_scores(run, done.model, test.batches())
        run.conclude(
            test_accuracy=scores.accuracy,
            **sizes(model),
            flops=training_flops(model, start, tokens_of(train.examples, plan, round(done.samples / used))),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=scores.predictions_per_second,
        )

    def prediction_texts(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> PredictionTexts:
        """Whole texts of the test split, and the names of their classes. Raises DataError."""
        texts = TextClassifier().prediction_texts(data, settings, cache, limit)
        return replace(texts, fingerprint=self.prepare(data, settings, cache, lambda _: None).fingerprint)

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Texts to the names of their classes, by the model that was kept in ``folder``. Raises DataError."""
        network, cutter, saved = kept_network(folder, weights, device, self.task)
        model = TunedClassifier(network, cutter.padding)

        def predict(texts: Sequence[str]) -> list[str]:
            found: list[str] = []
            for begin in range(0, len(texts), EVALUATION_BATCH):
                prompts = cutter.prompts(list(texts[begin : begin + EVALUATION_BATCH]))
                with torch.inference_mode():
                    logits = model(padded_texts(prompts, cutter.padding, device))
                found.extend(saved["classes"][place] for place in logits.argmax(dim=1).tolist())
            return found

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[str]:
        """Whole texts of the test split. Raises DataError."""
        return list(self.prediction_texts(data, settings, cache, limit).inputs)

    @staticmethod
    def _untuned(run: Run) -> None:
        lazy.call("experiments.workloads.untuned_base:classify", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"the base model untuned": _untuned}


class Texts:
    """The texts of a split as tokens, with their classes."""

    def __init__(self, start: Start, rows: Sequence[tuple[str, int]], device: torch.device) -> None:
        texts, labels = zip(*rows, strict=True)
        self.examples = Examples(start.prompter.prompts(texts), [()] * len(texts), start.prompter.padding)
        self.labels = torch.tensor(labels, device=device)

    def batches(self, plan: Sequence[Sequence[Row]] | None = None) -> Iterator[Batch]:
        """(tokens, classes) of the planned batches; without a plan, of all texts by length."""
        device = self.labels.device
        for rows in plan or evaluation_rows(self.examples, EVALUATION_BATCH):
            texts = [index for row in rows for index in row]
            prompts = [self.examples.prompts[index] for index in texts]
            yield padded_texts(prompts, self.examples.padding, device), self.labels[torch.tensor(texts, device=device)]
