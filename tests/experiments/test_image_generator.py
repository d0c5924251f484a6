"""The image generator: what it learns, what its steps cost, how it is judged, and what it says of wrong requests."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data.array_data import load_examples
from experiments.data.images import prepared_images
from experiments.sample_judge import Jury, frechet_distance
from experiments.workloads.image_generator import Generator, ImageGenerator, Shape, pass_flops
from tests.support.runs import gallery_run
from tracker.errors import DataError, RequestError
from tracker.training.loading import load_workload
from tracker.training.run import Paused
from tracker.training.serving_cost import answer_quality, measure_serving, serving_inputs, varied_inputs
from tracker.training.workload import WEIGHTS, Predicts

CLASSES = ("left", "right", "top \"🎈\" 'q'")
SMALL = {
    "size": 1, "patch": 2, "sampling_steps": 4, "batch_size": 8, "epochs": 2, "learning_rate": 5e-3,
    "weight_average": 0.9,
}  # fmt: skip
CPU = torch.device("cpu")


def write_images(folder, count=20, side=8):
    """Three classes: a bright half, left, right or top, in noise."""
    draw = np.random.default_rng(3)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = draw.integers(0, 60, (side, side)).astype(np.uint8)
            half = (slice(None), slice(0, side // 2)) if name == "left" else (slice(None), slice(side // 2, side))
            image[half if name in CLASSES[:2] else (slice(0, side // 2), slice(None))] = 200
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return {"source": str(folder)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images") / "halves")


@pytest.fixture(scope="module")
def image_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(images, image_cache, tmp_path):
    """Makes a run of the image generator, with the list that its events go to."""

    def make(data=None, **given):
        folders = image_cache, tmp_path / "artifacts"
        return gallery_run(ImageGenerator(), data or images, *folders, quality="frechet_distance", **SMALL | given)

    return make


def checkpoints(events):
    return [payload["metrics"] for event, payload in events if event == "checkpoint"]


def kept_folder(tmp_path):
    kept = [each for each in (tmp_path / "artifacts").iterdir() if each.is_dir()]
    return max(kept, key=lambda folder: int(folder.name.removeprefix("epoch-")))


@pytest.fixture
def trained(make_run, tmp_path):
    """The folder of a model that was kept."""
    run, _ = make_run()
    ImageGenerator().train(run)
    return kept_folder(tmp_path)


def test_it_is_a_workload_whose_models_can_be_served():
    workload = load_workload("experiments.workloads.image_generator:ImageGenerator")
    assert isinstance(workload, Predicts)
    for name, knob in workload.knobs.items():
        assert knob.default is None or knob.problem(knob.default) is None, name


def test_it_learns_and_keeps_a_model_that_loads_and_a_picture_of_its_samples(make_run, tmp_path):
    run, events = make_run(epochs=30, learning_rate=1e-2)
    ImageGenerator().train(run)
    reported = checkpoints(events)
    assert len(reported) == 30
    assert min(each["frechet_distance"] for each in reported) < reported[0]["frechet_distance"] / 2
    assert max(each["class_agreement"] for each in reported) > 0.6, "chance is one in three"
    assert run.summary["parameters"] > 0 and run.summary["flops"] > 0
    shown = json.loads((kept_folder(tmp_path) / "settings.json").read_text())
    Generator(Shape(**shown["shape"])).load_state_dict(
        torch.load(kept_folder(tmp_path) / "model.pt", weights_only=True)
    )
    assert shown["classes"] == sorted(CLASSES) and shown["sampling_steps"] == 4
    with Image.open(tmp_path / "artifacts" / "samples.png") as picture:
        assert picture.size == (8 * 49, 3 * 49), "eight images of each class"


def test_the_baseline_is_judged_the_same_way_and_better_than_a_model_that_has_not_learned(make_run):
    baseline, events = make_run()
    for train in ImageGenerator.baselines.values():
        train(baseline)
    (checkpoint,) = checkpoints(events)
    assert checkpoint["class_agreement"] > 0.9
    run, its_events = make_run(epochs=1)
    ImageGenerator().train(run)
    assert checkpoint["frechet_distance"] < checkpoints(its_events)[0]["frechet_distance"]
    assert baseline.summary["predictions_per_second"] > 0 and baseline.summary["test_class_agreement"] > 0.9


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    found = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed)
        ImageGenerator().train(run)
        found.append(checkpoints(events))
    assert found[0] == found[1] != found[2]


def test_a_paused_and_resumed_training_is_the_uninterrupted_one(make_run, tmp_path):
    whole, events = make_run(epochs=3)
    ImageGenerator().train(whole)
    state = tmp_path / "state.pt"
    paused, first = make_run(epochs=3, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        ImageGenerator().train(paused)
    resumed, second = make_run(epochs=3, state_path=state)
    ImageGenerator().train(resumed)
    assert checkpoints(first) + checkpoints(second) == checkpoints(events)


def test_a_prediction_costs_as_many_passes_as_it_takes_steps(make_run):
    runs = []
    for steps in (1, 8):
        run, _ = make_run(epochs=1, sampling_steps=steps)
        ImageGenerator().train(run)
        runs.append(run.summary)
    assert runs[1]["prediction_flops"] == 8 * runs[0]["prediction_flops"]
    assert runs[1]["flops"] == runs[0]["flops"], "training does not depend on the steps"
    small, large = (Shape.of({"size": size, "patch": 2}, 3, {"channels": 1, "side": 8}) for size in (1, 2))
    assert pass_flops(large) > 2 * pass_flops(small)


@pytest.mark.parametrize(("side", "patch", "channels"), [(9, 4, 3), (8, 1, 1), (5, 64, 1)])
def test_images_of_any_side_and_patch_get_velocities_of_their_own_shape(side, patch, channels):
    shape = Shape.of({"size": 1, "patch": patch}, 2, {"channels": channels, "side": side})
    noise = torch.randn(2, channels, side, side)
    assert Generator(shape)(noise, torch.rand(2), torch.tensor([0, 1])).shape == noise.shape


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_kept_model_predicts_in_every_number_format(trained, images, image_cache, weights):
    workload = ImageGenerator()
    predict = workload.predictor(trained, weights, CPU)
    inputs = workload.prediction_inputs(images, {"deduplicate": False}, image_cache, 5)
    answers = np.array(predict(inputs))
    assert answers.shape == (len(inputs), 8, 8) and answers.min() >= 0 and answers.max() <= 255
    assert predict([]) == []


def test_serving_is_measured_and_judged_with_any_number_of_steps(trained, images, image_cache):
    reference, settings = "experiments.workloads.image_generator:ImageGenerator", {"deduplicate": False}
    inputs = serving_inputs(reference, images, settings, image_cache, 8)
    found = {}
    for steps in (1, 4, 32):
        asked = varied_inputs(inputs, "sampling_steps", steps)
        found[steps] = measure_serving(reference, trained, "fp32", "cpu", 1, asked, 0.05)
        answers = found[steps].answers
        quality = answer_quality(reference, "frechet_distance", asked, answers, images, settings, image_cache)
        assert found[steps].problem == "" and quality > 0
    as_it_is = measure_serving(reference, trained, "fp32", "cpu", 1, inputs, 0.05)
    assert as_it_is.answers == found[4].answers != found[1].answers, "it was trained with 4"
    assert math.isnan(answer_quality("tests.support.digits:Digits", "accuracy", [], [1], {}, {}, image_cache))
    with pytest.raises(RequestError, match="an input of this workload is no table of keys"):
        varied_inputs([[1, 2]], "sampling_steps", 1)


def test_an_image_follows_from_class_seed_and_steps_whatever_is_asked_beside_it(trained):
    predict = ImageGenerator().predictor(trained, "fp32", CPU)
    asked = {"class": "left", "seed": 7}
    alone = np.array(predict([asked])[0])
    beside = predict(["right", {**asked, "sampling_steps": 1}, asked, {**asked, "seed": 8}])
    assert np.abs(alone - np.array(beside[2])).max() <= 1, "of another batch, up to rounding"
    assert not np.array_equal(alone, beside[1]) and not np.array_equal(alone, beside[3])
    assert predict(["left"]) == predict([{"class": "left", "seed": 0, "sampling_steps": 4}])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("lft", "input 2 asks for class 'lft'; did you mean 'left'"),
        (3, "input 2 asks for class 3"),
        ({"seed": 1}, "input 2 asks for class None"),
        ({"class": "left", "step": 1}, "input 2 has a key 'step'; did you mean 'sampling_steps'|allowed"),
        ({"class": "left", "seed": -1}, "input 2: seed is -1; allowed: a whole number from 0"),
        ({"class": "left", "seed": "1"}, "input 2: seed is '1'"),
        ({"class": "left", "seed": float("nan")}, "input 2: seed is nan"),
        ({"class": "left", "sampling_steps": 0}, "sampling_steps is 0; allowed: a whole number from 1 to 1000"),
        ({"class": "left", "sampling_steps": 1.5}, "input 2: sampling_steps is 1.5"),
        ({"class": "left", "sampling_steps": True}, "input 2: sampling_steps is True"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused_by_its_number(trained, asked, message):
    predict = ImageGenerator().predictor(trained, "fp32", CPU)
    with pytest.raises(DataError, match=message):
        predict(["left", asked])


def test_real_images_are_near_real_ones_and_noise_is_far(make_run):
    run, _ = make_run()
    folder = prepared_images(run)
    jury, train = Jury(folder, "validation", CPU), load_examples(folder, "train", CPU)
    real = jury.of([(train.inputs, train.labels)])
    noise = jury.of([(torch.randint(0, 256, train.inputs.shape, dtype=torch.uint8), train.labels)])
    assert real.class_agreement > 0.9 > noise.class_agreement
    assert real.frechet_distance < noise.frechet_distance / 10


def test_the_frechet_distance_is_that_of_the_formula():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    one, other = first @ first.T, second @ second.T
    mean = torch.arange(6, dtype=torch.float64)
    roots = torch.linalg.eigvals(one @ other).real.clamp(min=0).sqrt().sum()
    expected = float((mean - 1).square().sum() + one.trace() + other.trace() - 2 * roots)
    assert frechet_distance(mean, one, torch.ones(6, dtype=torch.float64), other) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(mean, one, mean, one) == pytest.approx(0, abs=1e-6)


def test_an_image_that_is_none_is_named_or_left_out_and_counted(tmp_path, make_run):
    data = write_images(tmp_path / "images")
    (tmp_path / "images" / "left" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"left/a\.png: cannot be read as an image"):
        make_run(data)
    run, _ = make_run({**data, "corrupt": "skip"})
    assert "1 unreadable images left out" in run.data_card.description


def test_a_class_without_an_image_and_a_split_too_small_to_judge_by_are_refused(tmp_path, make_run):
    data = write_images(tmp_path / "images", count=2)
    (tmp_path / "images" / "nothing").mkdir()
    with pytest.raises(DataError, match=r"class folder .*nothing' holds no image"):
        make_run(data)
    for split in ("train", "validation", "test"):
        write_images(tmp_path / "divided" / split, count=2 if split == "train" else 1)
        if split == "test":
            for name in CLASSES[1:]:
                (tmp_path / "divided" / split / name / "0.png").unlink()
                (tmp_path / "divided" / split / name).rmdir()
    with pytest.raises(DataError, match="the test split has 1 image; to judge generated ones it takes 2"):
        make_run({"source": str(tmp_path / "divided")})


def test_the_baseline_copes_with_a_class_of_one_image_and_colours(tmp_path, make_run):
    for split, count in (("train", 1), ("validation", 2), ("test", 2)):
        write_images(tmp_path / "divided" / split, count=count)
    run, events = make_run({"source": str(tmp_path / "divided"), "channels": "rgb"})
    for train in ImageGenerator.baselines.values():
        train(run)
    assert len(checkpoints(events)) == 1


def test_a_trial_imports_none_of_the_libraries_that_only_preparation_needs():
    heavy = ("PIL", "datasets", "sklearn", "pandas", "pyarrow", "scipy", "mlflow", "optuna")
    code = f"import sys, experiments.workloads.image_generator; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, precision):
    run, events = make_run(device="cuda", precision=precision, epochs=30, learning_rate=1e-2)
    ImageGenerator().train(run)
    reported = checkpoints(events)
    assert min(each["frechet_distance"] for each in reported) < reported[0]["frechet_distance"] / 2
