"""The contract of training code, on every workload of the gallery, and on code that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker import run_study
from tracker.records import PhaseSeconds
from tracker.runner.contract import check_workload
from tracker.store.home import Home
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.training.describe import describe_workload

STUDIES = Path(__file__).parents[2] / "experiments" / "studies"
GALLERY = {StudyDocument.read(path).workload: path for path in sorted(STUDIES.glob("*.toml"), reverse=True)}


FEWER = {
    "audio_classifier": {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2},
    "video_classifier": {"epochs": 5, "batch_size": 8, "learning_rate": 5e-3, "dropout": 0.0},
    "image_generator": {"epochs": 3, "sampling_steps": 2},
    "object_detector": {"epochs": 3, "image_side": 32, "batch_size": 16},
    "question_answerer": {"epochs": 3, "batch_size": 8, "train_share": 0.3, "dropout": 0.0},
    "translator": {"epochs": 2},
    "fine_tuner": {"train_share": 0.05},
    "classifier_tuner": {"train_share": 0.02, "validation_documents": 30, "test_documents": 30},
    "language_model": {"train_share": 0.001, "validation_bytes": 5000, "test_bytes": 5000},
}
"""A few steps of training show what the contract asks for; these studies' smoke trainings take many."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


def findings(document, home):
    return {finding.check: finding for finding in check_workload(document, home, lambda message: None)}


@pytest.mark.parametrize("study", GALLERY.values(), ids=lambda path: path.stem)
def test_every_workload_of_the_gallery_keeps_the_contract(study, home):
    found = findings(StudyDocument.read(study).smoke().override(FEWER.get(study.stem)), home)
    assert [finding for finding in found.values() if finding.verdict == "failed"] == []
    assert found["pauses and resumes to the same result"].verdict == "passed"
    assert found["honours its seed"].verdict == "passed"


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_of_the_gallery_is_one_and_has_a_smoke_study(study):
    document = StudyDocument.read(study)
    description = describe_workload(document.workload)
    assert check_study(document, description).budget
    assert check_study(document.smoke(), description).budget.trials >= 2


def test_a_trial_says_what_a_step_computes_and_how_its_time_divides(home):
    path = STUDIES / "tabular_classifier.toml"
    content = {**StudyDocument.read(path).smoke().content, "budget": {"trials": 1}}
    found = run_study(content, home=home.path).runs().query("role == 'trial'").iloc[0]
    summary, settings = found["summary"], found["settings"]
    steps = settings["epochs"] * summary["steps_per_epoch"]
    # The workload has a formula of its own: it takes every batch to be whole, and every gradient to be needed.
    assert summary["step_flops"] * steps == pytest.approx(summary["flops"], rel=0.3)
    assert summary["step_operations"] > 20
    phases = [summary[name] for name in PhaseSeconds.__slots__]
    assert sum(phases) == pytest.approx(found["wall_seconds"], rel=0.01)
    assert min(phases) > 0.0


BROKEN = """
import random, time
from tracker import workload

def report(run, epochs):
    for epoch in range(1, epochs + 1):
        time.sleep(0.01)
        yield epoch

@workload(metrics={"accuracy": "maximize"})
def unseeded(run, epochs: int = 2):
    for epoch in report(run, epochs):
        run.report(epoch, accuracy=random.SystemRandom().random())

@workload(metrics={"accuracy": "maximize"})
def deaf_to_seeds(run, epochs: int = 2):
    for epoch in report(run, epochs):
        run.report(epoch, accuracy=0.1 * epoch)

@workload(metrics={"accuracy": "maximize"})
def forgetful(run, epochs: int = 3):
    state, start = run.restore(), 0
    score = run.seed / 10
    if state:
        start, score = state["epoch"], 0.0
    for epoch in range(start + 1, epochs + 1):
        score += 0.1
        run.report(epoch, accuracy=score)
        run.save({"epoch": epoch})

@workload(metrics={"accuracy": "maximize"})
def getting_worse(run, epochs: int = 2):
    for epoch in report(run, epochs):
        run.report(epoch, accuracy=(0.5 + run.seed) / epoch)

@workload(metrics={"accuracy": "maximize"})
def only_in_fp32(run, epochs: int = 2, precision: str = "fp32"):
    if precision != "fp32":
        raise ValueError("no " + precision)
    for epoch in report(run, epochs):
        run.report(epoch, accuracy=0.1 * epoch + run.seed)
"""


@pytest.mark.parametrize(
    ("name", "check", "seen"),
    [
        ("unseeded", "honours its seed", "the same seed gave another result"),
        ("deaf_to_seeds", "honours its seed", "run.seed is not used"),
        ("forgetful", "pauses and resumes to the same result", "accuracy"),
        ("getting_worse", "learns", "0.5 after the first checkpoint"),
        ("only_in_fp32", "works in bf16", "no bf16"),
    ],
)
def test_what_breaks_the_contract_is_found_and_named(name, check, seen, home, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    content = {
        "name": "check",
        "workload": f"{tmp_path / 'broken.py'}:{name}",
        "quality": {"metric": "accuracy"},
        "budget": {"trials": 1},
        "settings": {"threads": 1},
        "space": {"seed": [0]},
    }
    checked = check_workload(StudyDocument("broken", content), home, lambda message: None)
    found = next(finding for finding in checked if finding.check == check)
    assert found.verdict == "failed"
    assert seen in found.seen
