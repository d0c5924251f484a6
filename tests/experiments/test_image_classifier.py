from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from experiments.data.array_data import load_array_card, load_examples
from experiments.data.images import prepared_images
from experiments.workloads.image_classifier import ImageClassifier, Shape, batches, make_model, set_up, training_batches
from tests.support.runs import gallery_run
from tracker.errors import DataError
from tracker.training.run import Paused, Run
from tracker.training.workload import Predicts, Workload

SMALL = {
    "size": 1, "batch_size": 64, "epochs": 2, "learning_rate": 1e-2,
}  # fmt: skip
ARCHITECTURES = ("cnn", "vit")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def make_run(cache: Path, tmp_path: Path) -> Callable[..., tuple[Run, list[tuple[str, Any]]]]:
    """Makes a run of the image classifier on the digits, with the list that its events go to."""

    def make(data=None, **given):
        return gallery_run(
            ImageClassifier(), data or {}, cache, tmp_path / "artifacts", quality="accuracy", **SMALL | given
        )

    return make


def metrics(events):
    return [payload["metrics"] for event, payload in events if event == "checkpoint"]


def shape(architecture, *, channels=1, side=8, size=1, patch=4):
    return Shape.of(
        {"architecture": architecture, "size": size, "patch": patch, "dropout": 0.0}, channels, side, classes=10
    )


def images(channels=1, side=8, count=5):
    chance = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=chance)


def test_it_is_a_workload_that_predicts():
    assert isinstance(ImageClassifier(), Workload) and isinstance(ImageClassifier(), Predicts)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [4, 8, 33])
def test_every_side_and_number_of_channels_gives_a_logit_a_class(architecture, channels, side):
    model = make_model(shape(architecture, channels=channels, side=side)).eval()
    assert model(images(channels, side)).shape == (5, 10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_logits_of_an_image_depend_on_no_other_image(architecture):
    torch.manual_seed(0)
    model = make_model(shape(architecture)).train()
    several = images()
    torch.testing.assert_close(model(several)[:1], model(several[:1]), rtol=1e-4, atol=1e-5)


def test_the_dial_makes_each_architecture_larger():
    for architecture in ARCHITECTURES:
        sizes = [
            sum(each.numel() for each in make_model(shape(architecture, size=size)).parameters()) for size in (1, 2, 3)
        ]
        assert sizes == sorted(set(sizes))
    assert (shape("cnn", size=3).width, shape("cnn", size=3).depth) == (48, 2)
    assert (shape("vit", size=3).width, shape("vit", size=3).depth) == (96, 4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_multiplications_are_those_that_torch_counts(architecture):
    model = make_model(shape(architecture, channels=3, side=30, size=2, patch=8)).eval()
    plainly = sdpa_kernel(SDPBackend.MATH)  # torch does not count the fused kernel of CPUs
    with FlopCounterMode(display=False) as counted, plainly, torch.no_grad():
        model(images(3, 30, count=1))
    assert 2 * model.multiplications() == counted.get_total_flops()


def test_channels_last_gives_the_same_logits_from_maps_that_are_stored_pixel_by_pixel():
    torch.manual_seed(0)
    model, several = make_model(shape("cnn", channels=3)).eval(), images(3)
    expected, stored = model(several), []
    set_up(model, {"activation_checkpointing": False, "channels_last": True, "compile": False})
    for block in model.blocks:
        block.register_forward_hook(lambda _, inputs, output: stored.append(output))
    torch.testing.assert_close(model(several), expected, rtol=1e-4, atol=1e-5)
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in stored)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_activations_that_are_computed_again_give_the_same_gradients(architecture):
    gradients, kept = [], []
    for again in (False, True):
        torch.manual_seed(0)
        model = make_model(shape(architecture, size=2)).train()
        set_up(model, {"activation_checkpointing": again, "channels_last": False, "compile": False})
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each, s=saved: s.append(each.numel()) or each, lambda e: e
        ):
            loss = model(images()).square().mean()
        loss.backward()
        gradients.append([each.grad for each in model.parameters()])
        kept.append(sum(saved))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    assert kept[1] < kept[0] / 2


def test_a_convolutional_network_learns_the_digits_reports_each_epoch_and_keeps_what_loads(make_run, tmp_path):
    run, events = make_run(epochs=4)
    ImageClassifier().train(run)
    assert [event for event, _ in events if event != "figures"] == ["ready", *["checkpoint"] * 4]
    assert metrics(events)[-1]["accuracy"] > 0.9, "chance is one in ten"
    assert metrics(events)[-1]["training_loss"] < metrics(events)[0]["training_loss"]
    assert metrics(events)[-1]["worst_slice_accuracy"] <= metrics(events)[-1]["accuracy"]
    assert run.summary["test_accuracy"] > 0.9
    assert run.summary["flops"] > 0 and run.summary["samples_per_second"] > 0
    kept = max((tmp_path / "artifacts").iterdir())
    shown = json.loads((kept / "settings.json").read_text())
    model = make_model(Shape(**shown["shape"]))
    model.load_state_dict(torch.load(kept / "model.pt", weights_only=True))
    assert shown["classes"] == list("0123456789")


def test_a_vision_transformer_learns_the_digits(make_run):
    run, events = make_run(architecture="vit", epochs=5, learning_rate=5e-3)
    ImageClassifier().train(run)
    assert metrics(events)[-1]["accuracy"] > 0.8
    assert run.summary["test_accuracy"] > 0.8


def test_every_way_of_computing_learns(make_run):
    together = {"channels_last": True, "activation_checkpointing": True, "weight_average": 0.5, "precision": "bf16"}
    for settings in (together, {**together, "architecture": "vit", "gradient_accumulation": 2}):
        run, events = make_run(batch_size=16, epochs=2, learning_rate=5e-3, train_share=0.5, **settings)
        ImageClassifier().train(run)
        assert metrics(events)[-1]["accuracy"] > 0.7


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    seen = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed, epochs=1, shift=0.2, flip=True, train_share=0.2)
        ImageClassifier().train(run)
        seen.append(metrics(events))
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_training_that_was_paused_comes_to_the_same_as_one_that_was_not(make_run, tmp_path, architecture):
    settings = {"architecture": architecture, "shift": 0.2, "train_share": 0.3, "dropout": 0.3}
    whole, expected = make_run(**settings)
    ImageClassifier().train(whole)
    first, started = make_run(state_path=tmp_path / "state.pt", pause_after_epoch=1, **settings)
    with pytest.raises(Paused):
        ImageClassifier().train(first)
    second, rest = make_run(state_path=tmp_path / "state.pt", **settings)
    ImageClassifier().train(second)
    assert len(metrics(started)) == len(metrics(rest)) == 1
    assert metrics(started) + metrics(rest) == metrics(expected)
    assert second.summary["test_accuracy"] == whole.summary["test_accuracy"]


def test_each_epoch_has_every_image_once_in_another_order_and_moved_otherwise(make_run):
    run, _ = make_run()
    train = load_examples(prepared_images(run), "train", run.device)
    first, second = (list(training_batches(train, run.settings, seed)) for seed in (1, 2))
    assert sum(len(labels) for _, labels in first) == len(train)
    assert {image.numpy().tobytes() for batch, _ in first for image in batch} == {
        image.numpy().tobytes() for image in train.inputs
    }
    assert not torch.equal(first[0][1], second[0][1])
    moved_images = next(training_batches(train, {**run.settings, "shift": 0.25}, 1))[0]
    assert moved_images.shape == first[0][0].shape and not torch.equal(moved_images, first[0][0])


def test_only_the_share_of_the_training_split_is_used(make_run):
    run, _ = make_run(epochs=1)
    few, _ = make_run(epochs=1, train_share=0.1)
    for each in (run, few):
        ImageClassifier().train(each)
    assert few.summary["flops"] == pytest.approx(run.summary["flops"] / 10, rel=0.01)


def test_a_trial_with_another_side_prepares_it_from_the_data_that_the_study_began_with(make_run, tmp_path):
    for name, shade in (("dark", 0), ("light", 200)):
        (tmp_path / "shades" / name).mkdir(parents=True)
        for number in range(40):
            Image.new("L", (8, 8), shade + number).save(tmp_path / "shades" / name / f"{number}.png")
    data = {"source": str(tmp_path / "shades")}
    run, events = make_run(data=data)
    run.settings = {**run.settings, "image_side": 6}
    ImageClassifier().train(run)
    assert load_array_card(prepared_images(run)).extra["side"] == 6
    assert len(metrics(events)) == 2
    Image.new("L", (8, 8), 99).save(tmp_path / "shades" / "dark" / "another.png")
    run.settings = {**run.settings, "image_side": 5}
    with pytest.raises(DataError, match="no longer those that the study started with"):
        prepared_images(run)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_kept_model_predicts_what_the_trained_one_did(make_run, cache, tmp_path, architecture):
    run, _ = make_run(architecture=architecture, learning_rate=5e-3)
    ImageClassifier().train(run)
    kept = max((tmp_path / "artifacts").iterdir())
    inputs = ImageClassifier().prediction_inputs(run.data, run.settings, cache, limit=100)
    assert len(inputs) == 100 and np.shape(inputs[0]) == (8, 8, 1)
    test = load_examples(prepared_images(run), "test", run.device)
    model = make_model(Shape(**json.loads((kept / "settings.json").read_text())["shape"])).eval()
    model.load_state_dict(torch.load(kept / "model.pt", weights_only=True))
    with torch.no_grad():
        expected = [str(each) for each in model(next(batches(test))[0][:100]).argmax(dim=1).tolist()]
    predict = ImageClassifier().predictor(kept, "fp32", run.device)
    assert predict(inputs) == expected
    assert predict([]) == []
    assert predict([np.kron(np.squeeze(inputs[0]), np.ones((2, 2))).tolist()]) == expected[:1], "another size"
    for weights in ("bf16", "int8"):
        rounded = ImageClassifier().predictor(kept, weights, run.device)(inputs)
        assert sum(one == other for one, other in zip(rounded, expected, strict=True)) >= 95
    with pytest.raises(DataError, match="image 1 holds -1"):
        predict([[[-1, 0]]])


def test_the_baselines_report_one_checkpoint_each_on_the_same_split(make_run):
    assert len(ImageClassifier.baselines) == 2
    for train in ImageClassifier.baselines.values():
        run, events = make_run()
        train(run)
        assert len(metrics(events)) == 1
        assert metrics(events)[0]["accuracy"] > 0.9
        assert run.summary["test_accuracy"] > 0.9 and run.summary["parameters"] > 0
        fewer, events = make_run(train_share=0.02)
        train(fewer)
        assert metrics(events)[0]["accuracy"] < 0.9


def test_the_study_file_names_what_is_there():
    study = tomllib.loads(Path("experiments/studies/image_classifier.toml").read_text())
    hardware = {"device", "threads", "precision", "compile", "processes", "seed"}
    for table in ("settings", "space", "smoke"):
        assert study[table].keys() <= ImageClassifier.knobs.keys() | hardware | {"trials"}
    assert study["data"].keys() <= ImageClassifier.data_options.keys()


def test_a_trial_imports_none_of_the_libraries_that_only_preparation_needs():
    heavy = ("PIL", "datasets", "sklearn", "pandas", "pyarrow", "scipy", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.image_classifier; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, architecture, precision):
    settings = {"architecture": architecture, "precision": precision, "channels_last": True, "shift": 0.125}
    run, events = make_run(device="cuda", epochs=6, learning_rate=5e-3, **settings)
    ImageClassifier().train(run)
    assert metrics(events)[-1]["accuracy"] > 0.8
