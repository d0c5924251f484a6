from __future__ import annotations

import json
import math
import subprocess
import sys
import wave

import numpy as np
import pytest
import torch
from torch import nn

from experiments.data.sound_preparation import prepared_sounds
from experiments.workloads.audio_classifier import AudioClassifier, Classifier, Network, Shape, training_flops
from tests.support.runs import check_servable, checkpoints, gallery_run, kept_folder
from tracker.errors import DataError, TrainingFailedError
from tracker.training.run import Paused
from tracker.training.workload import WEIGHTS

CLASSES = {"low": (250, 250), "high \"🎺\" 'q'": (900, 900), "rising": (300, 1100), "falling": (1100, 300)}
SMALL = {
    "size": 1, "mel_bands": 20, "clip_seconds": 0.3, "sample_rate": 4000, "batch_size": 16, "epochs": 4,
    "learning_rate": 1e-2,
}  # fmt: skip


def write_sounds(folder, count=40):
    """Four classes of noisy tones that are low, high, rising or falling."""
    chance = np.random.default_rng(5)
    for name, (begin, end) in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            rate = 4000 if number % 2 else 8000
            hertz = np.linspace(begin, end, round(0.3 * rate)) * chance.uniform(0.9, 1.1)
            sound = 0.2 * np.sin(2 * math.pi * np.cumsum(hertz) / rate) + 0.1 * chance.standard_normal(len(hertz))
            with wave.open(str(folder / name / f"s{number}_nohash_0.wav"), "wb") as file:
                file.setparams((1, 2, rate, len(sound), "NONE", ""))
                file.writeframes(np.rint(20_000 * sound.clip(-1, 1)).astype("<i2").tobytes())
    return {"source": str(folder)}


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return write_sounds(tmp_path_factory.mktemp("sounds") / "tones")


@pytest.fixture(scope="module")
def sound_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(tones, sound_cache, tmp_path):
    """Makes a run of the audio classifier, with the list that its events go to."""

    def make(data=None, cache=None, **given):
        folders = cache or sound_cache, tmp_path / "artifacts"
        return gallery_run(AudioClassifier(), data or tones, *folders, quality="accuracy", **SMALL | given)

    return make


def test_it_is_a_workload_whose_models_can_be_served():
    check_servable("experiments.workloads.audio_classifier:AudioClassifier")


def test_it_learns_reports_every_epoch_and_keeps_a_model_that_loads(make_run, tmp_path):
    run, events = make_run()
    AudioClassifier().train(run)
    assert [event for event, _ in events if event not in ("saved", "figures")] == ["ready", *["checkpoint"] * 4]
    assert checkpoints(events)[-1]["accuracy"] > 0.8, "chance is one in four"
    assert run.summary["test_accuracy"] > 0.8
    assert run.summary["parameters"] > 0 and run.summary["flops"] > 0
    assert run.summary["samples_per_second"] > 0 and run.summary["predictions_per_second"] > 0
    shown = json.loads((kept_folder(tmp_path) / "settings.json").read_text())
    Network(Shape(**shown["shape"])).load_state_dict(torch.load(kept_folder(tmp_path) / "model.pt", weights_only=True))
    assert shown["classes"] == sorted(CLASSES)


def test_it_tells_synthetic_digits_of_speakers_never_heard_apart_and_better_than_the_mean_spectrum_does(make_run):
    data = {"source": "synthetic", "speakers": 40, "takes": 1}
    chosen = {"size": 2, "clip_seconds": 1.0, "epochs": 7, "hop_ms": 32.0}
    run, events = make_run(data=data, **chosen)
    AudioClassifier().train(run)
    reached = max(each["accuracy"] for each in checkpoints(events))
    baseline, its_events = make_run(data=data, **chosen)
    for train in AudioClassifier.baselines.values():
        train(baseline)
    assert len(checkpoints(its_events)) == 1
    assert 0.1 < checkpoints(its_events)[0]["accuracy"] < reached and reached > 0.35, "chance is one in ten"
    assert baseline.summary["parameters"] == 10 * 20 + 10 and baseline.summary["test_accuracy"] > 0.1


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    found = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed, epochs=2)
        AudioClassifier().train(run)
        found.append(checkpoints(events))
    assert found[0] == found[1] != found[2]


def test_a_paused_and_resumed_training_is_the_uninterrupted_one(make_run, tmp_path):
    whole, events = make_run(epochs=3, weight_average=0.9)
    AudioClassifier().train(whole)
    state = tmp_path / "state.pt"
    paused, first = make_run(epochs=3, weight_average=0.9, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        AudioClassifier().train(paused)
    resumed, rest = make_run(epochs=3, weight_average=0.9, state_path=state)
    AudioClassifier().train(resumed)
    assert checkpoints(first) + checkpoints(rest) == checkpoints(events)
    assert resumed.summary["test_accuracy"] == whole.summary["test_accuracy"]
    assert resumed.summary["flops"] == whole.summary["flops"]


@pytest.mark.parametrize(
    "settings",
    [{"precision": "bf16"}, {"channels_last": False}, {"gradient_accumulation": 2}],
    ids=lambda settings: next(iter(settings)),
)
def test_it_learns_as_well_with(make_run, settings):
    run, events = make_run(**settings)
    AudioClassifier().train(run)
    assert checkpoints(events)[-1]["accuracy"] > 0.8


def test_the_layout_in_memory_changes_no_logit():
    shape = shape_of(size=2)
    torch.manual_seed(0)
    first, last = (Classifier(shape_of(size=2, channels_last=each)).eval() for each in (False, True))
    last.load_state_dict(first.state_dict())
    clips = torch.randn(3, shape.clip).clamp(-1, 1) * 0.1
    torch.testing.assert_close(first(clips), last(clips), rtol=1e-4, atol=1e-5)


def test_a_training_that_diverges_fails_as_not_finite(make_run):
    run, _ = make_run(learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(TrainingFailedError) as failure:
        AudioClassifier().train(run)
    assert failure.value.reason == "not_finite"


def test_a_smaller_share_of_the_training_clips_is_used_and_takes_less_work(make_run):
    work = {}
    for share in (0.25, 1.0):
        run, _ = make_run(train_share=share, epochs=1)
        AudioClassifier().train(run)
        work[share] = run.summary["flops"]
    assert work[0.25] / work[1.0] == pytest.approx(0.25, abs=0.01)


def test_a_trial_prepares_a_rate_of_its_own_and_notices_data_that_have_changed(tmp_path, make_run):
    data = write_sounds(tmp_path / "changing", count=20)
    run, _ = make_run(data=data, cache=tmp_path / "cache")
    run.settings = {**run.settings, "sample_rate": 2000}
    assert np.load(prepared_sounds(run) / "train-inputs.npy").shape[1] == 600
    next((tmp_path / "changing" / "low").iterdir()).unlink()
    run.settings = {**run.settings, "sample_rate": 3000}
    with pytest.raises(DataError, match="no longer those that the study started with"):
        prepared_sounds(run)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_kept_model_answers_with_weights_of_every_format(make_run, tmp_path, weights):
    run, _ = make_run(epochs=5)
    AudioClassifier().train(run)
    predict = AudioClassifier().predictor(kept_folder(tmp_path), weights, torch.device("cpu"))
    inputs = AudioClassifier().prediction_inputs(run.data, run.settings, run.cache, 1000)
    labels = np.load(prepared_sounds(run) / "test-labels.npy")
    assert len(inputs) == len(labels) and len(inputs[0]) == 1200
    right = [found == sorted(CLASSES)[label] for found, label in zip(predict(inputs), labels, strict=True)]
    assert np.mean(right) > 0.8, "chance is one in four"
    assert json.loads(json.dumps(inputs)) == inputs


def test_a_kept_model_is_the_one_that_was_measured(make_run, tmp_path):
    run, _ = make_run(epochs=1)  # the best epoch is kept, and the last one tested
    AudioClassifier().train(run)
    predict = AudioClassifier().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    labels = np.load(prepared_sounds(run) / "test-labels.npy")
    found = predict(AudioClassifier().prediction_inputs(run.data, run.settings, run.cache, 1000))
    accuracy = np.mean([name == sorted(CLASSES)[label] for name, label in zip(found, labels, strict=True)])
    assert accuracy == pytest.approx(run.summary["test_accuracy"])


def test_sounds_of_any_length_are_answered_and_what_is_no_sound_is_reported(make_run, tmp_path):
    run, _ = make_run(epochs=4)
    AudioClassifier().train(run)
    predict = AudioClassifier().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    sound = AudioClassifier().prediction_inputs(run.data, run.settings, run.cache, 1)[0]
    assert predict([sound]) == predict([[0.0] * 400 + sound + [0.0] * 400]), "its middle is heard"
    assert len(predict([sound[:300], [0.5], sound])) == 3
    assert predict([]) == []
    for wrong in ([], [[0.1], [0.2]], "hello", [0.1, "x"], [float("nan")], [2.0], None):
        with pytest.raises(DataError, match=r"sound 2 is .*; allowed: a list of numbers from -1 to 1, 4000 a second"):
            predict([sound, wrong])


def shape_of(**settings):
    defaults = {name: knob.default for name, knob in AudioClassifier.knobs.items()}
    return Shape.of({**defaults, **settings}, classes=10)


def test_the_dial_derives_width_and_depth_and_times_become_samples():
    sizes = [(shape_of(size=size).width, shape_of(size=size).depth) for size in (1, 2, 3, 8)]
    assert sizes == [(8, 1), (16, 1), (24, 2), (64, 4)]
    shape = shape_of(sample_rate=16_000, window_ms=25.0, hop_ms=10.0, clip_seconds=1.5)
    assert (shape.window, shape.hop, shape.clip) == (400, 160, 24_000)
    counts = [sum(each.numel() for each in Network(shape_of(size=size)).parameters()) for size in range(1, 7)]
    assert counts == sorted(counts) and len(set(counts)) == 6


def test_the_shortest_clips_and_the_longest_hops_still_give_logits():
    for settings in ({"clip_seconds": 0.05, "hop_ms": 500.0}, {"mel_bands": 8, "sample_rate": 1000, "window_ms": 2.0}):
        shape = shape_of(**settings)
        assert Classifier(shape).eval()(torch.zeros(2, shape.clip)).shape == (2, 10)


def test_masks_fall_on_training_alone():
    model = Classifier(shape_of(time_mask=0.5, frequency_mask=0.5, dropout=0.0)).eval()
    clips = torch.randn(2, model.shape.clip).clamp(-1, 1) * 0.1
    assert torch.equal(model(clips), model(clips))
    for layer in model.modules():
        layer.training = layer is model  # so that only the masks are as in training
    assert not torch.equal(model(clips), model(clips))


def test_flops_are_three_times_two_for_each_multiplication_of_the_forward_pass():
    shape = shape_of(size=2)
    multiplications = []

    def count(layer, inputs, output):
        per_output = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels * 9
        multiplications.append(output.numel() * per_output)

    network = Network(shape).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 1, shape.mel_bands, 1 + shape.clip // shape.hop))
    assert training_flops(shape) == 6 * sum(multiplications)


def test_a_trial_imports_none_of_the_libraries_that_only_baselines_need():
    heavy = ("tokenizers", "datasets", "sklearn", "pandas", "pyarrow", "scipy", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.audio_classifier; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, precision):
    run, events = make_run(device="cuda", precision=precision)
    AudioClassifier().train(run)
    assert checkpoints(events)[-1]["accuracy"] > 0.8
