"""What the workers of any test may import: imported once, in the process that they are forked from."""

from __future__ import annotations

import importlib

from tests.support import digits

for _name in (
    *("tests.support.digits", "tests.support.iterations", "tests.support.lucky", "tests.support.pausable"),
    *("tests.support.quick", "tests.support.accidents"),
    *("experiments.workloads.audio_classifier", "experiments.workloads.image_classifier"),
    *("experiments.workloads.video_classifier", "experiments.workloads.question_answerer"),
    "experiments.workloads.object_detector",
    "experiments.workloads.image_generator",
    *("experiments.workloads.language_model", "experiments.workloads.tabular_classifier"),
    *("experiments.workloads.fine_tuner", "experiments.workloads.classifier_tuner"),
    *("experiments.workloads.text_classifier", "experiments.workloads.translator", "sklearn.datasets"),
):
    importlib.import_module(_name)
digits.read()
