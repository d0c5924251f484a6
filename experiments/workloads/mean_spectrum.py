"""The cheap reference for sounds: logistic regression on each clip's mean log-mel spectrum over time.

Imported only where it is trained (see experiments.lazy).
"""

from __future__ import annotations

import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.data.array_data import Examples, load_array_card, load_examples
from experiments.data.sound_preparation import prepared_sounds
from experiments.scores import probability_scores
from experiments.spectrogram import LogMel
from experiments.workloads.audio_classifier import Shape, batches
from tracker.training.run import Run

INVERSE_REGULARISATION = 1.0
MAX_ITERATIONS = 1000


def train(run: Run) -> None:
    """Fit once and report one checkpoint. Of the settings it reads those of the data, and ``threads``."""
    folder = prepared_sounds(run)
    classes = len(load_array_card(folder).classes)
    splits = {split: load_examples(folder, split, torch.device("cpu")) for split in ("validation", "test")}
    splits["train"] = load_examples(folder, "train", torch.device("cpu"), float(run.settings["train_share"]))
    shape = Shape.of(run.settings, classes)
    spectrogram = LogMel(shape.mel_bands, shape.window, shape.hop, shape.sample_rate)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS))
    run.ready()
    begin = time.perf_counter()
    with threadpool_limits(int(run.settings["threads"])):
        features = mean_spectra(spectrogram, splits["train"])
        model.fit(features, splits["train"].labels.numpy())
        seconds = time.perf_counter() - begin
        with run.evaluating():
            training_loss = _scores(model, features, splits["train"], classes)["validation_loss"]
            scores = _scores(model, mean_spectra(spectrogram, splits["validation"]), splits["validation"], classes)
        run.report(1, training_loss=training_loss, **scores)
        with run.evaluating():
            begin = time.perf_counter()
            test = _scores(model, mean_spectra(spectrogram, splits["test"]), splits["test"], classes)
            test_seconds = time.perf_counter() - begin
    regression = model[-1]
    run.conclude(
        test_accuracy=test["accuracy"],
        parameters=regression.coef_.size + regression.intercept_.size,
        samples_per_second=len(splits["train"]) / seconds,
        predictions_per_second=len(splits["test"]) / test_seconds,
    )


def mean_spectra(spectrogram: LogMel, examples: Examples) -> np.ndarray:
    """The mean over time of each clip's log-mel spectrogram (examples, bands)."""
    with torch.inference_mode():
        return torch.cat([spectrogram(clips).mean(dim=2) for clips, _ in batches(examples)]).numpy()


def _scores(model: Pipeline, features: np.ndarray, examples: Examples, classes: int) -> dict[str, float]:
    """What is reported of these examples; the loss as that of the validation."""
    probabilities = np.zeros((len(examples), classes))
    probabilities[:, model.classes_] = model.predict_proba(features)
    return probability_scores(probabilities, examples.labels.numpy())
