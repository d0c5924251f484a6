"""The object detector: what it learns, whose images it takes, and what it says of images that are none."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from experiments.data.corpus import split_for_share, stable_hash
from experiments.data.scenes import load_scenes, prepare_scenes
from experiments.data.synthetic_scenes import SIDE, synthetic_scenes
from experiments.detection_scores import average_precisions
from experiments.workloads.object_detector import (
    Detector,
    ObjectDetector,
    Shape,
    detection_loss,
    detections,
    generalised_overlap,
    peaks_of,
    places_of,
    training_flops,
)
from experiments.workloads.sliding_window import overlaps
from tests.support.runs import check_servable, checkpoints, gallery_run, kept_folder
from tracker.errors import DataError
from tracker.training.run import Paused
from tracker.training.workload import WEIGHTS

SMALL = {"size": 1, "image_side": 32, "batch_size": 8, "learning_rate": 1e-2}
CLASSES = {1: "dark", 7: "light \"🎈\" 'q'"}


def write_coco(folder, count=60):
    """Grey images of 60 × 40 with one or two squares, darker or lighter than the ground, in COCO's form."""
    draw, images, annotations = np.random.default_rng(4), [], []
    (folder / "pictures").mkdir(parents=True)
    for number in range(count):
        pixels = draw.integers(110, 140, (40, 60))
        for left in (4, 34)[: draw.integers(1, 3)]:
            side, top = int(draw.integers(10, 18)), int(draw.integers(0, 20))
            label = int(draw.choice(list(CLASSES)))
            pixels[top : top + side, left : left + side] = 20 if label == 1 else 240
            box = {"bbox": [left, top, side, side], "category_id": label, "image_id": number, "id": len(annotations)}
            annotations.append(box)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pictures" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 60, "height": 40})
    content = {
        "images": images,
        "categories": [{"id": each, "name": name} for each, name in CLASSES.items()],
        "annotations": annotations,
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return {"source": str(folder / "boxes.json"), "images": str(folder / "pictures"), "channels": "grey"}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco") / "squares")


@pytest.fixture(scope="module")
def scene_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(boxes, scene_cache, tmp_path):
    """Makes a run of the object detector, with the list that its events go to."""

    def make(data=None, **given):
        folders = scene_cache, tmp_path / "artifacts"
        return gallery_run(ObjectDetector(), data or boxes, *folders, quality="mean_average_precision", **SMALL | given)

    return make


def test_it_is_a_workload_whose_models_can_be_served():
    check_servable("experiments.workloads.object_detector:ObjectDetector")


def test_it_learns_from_a_file_and_keeps_a_model_that_finds_boxes_in_pixels_of_the_image(make_run, tmp_path):
    run, events = make_run(epochs=15, image_side=48)
    ObjectDetector().train(run)
    assert max(each["average_precision_50"] for each in checkpoints(events)) > 0.7
    assert run.summary["parameters"] > 0 and run.summary["flops"] > 0
    predict = ObjectDetector().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    picture = np.full((80, 120), 125)
    picture[20:50, 60:90] = 240  # twice as large as those of the training: boxes are in its own pixels
    (found,) = predict([picture.tolist()])
    best = max(found, key=lambda each: each["score"])
    assert best["class"] == CLASSES[7]
    assert overlaps(np.array([best["box"]]), np.array([[60.0, 20.0, 30.0, 30.0]])) > 0.5
    assert predict([]) == []


@pytest.mark.parametrize("train", [ObjectDetector().train, *ObjectDetector.baselines.values()])
@pytest.mark.parametrize(
    ("split", "given"), [("training", {"train_share": 0.001}), ("validation", {"validation_images": 1})]
)
def test_a_share_of_images_without_any_box_is_refused(make_run, tmp_path, train, split, given):
    data, path = write_coco(tmp_path / "coco"), tmp_path / "coco" / "boxes.json"
    content = json.loads(path.read_text())
    hashes = {each["id"]: stable_hash(each["file_name"]) for each in content["images"]}
    of_split = [image for image, number in hashes.items() if split_for_share(number / 2**64) in (split, split[:5])]
    first = min(of_split, key=hashes.__getitem__)
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] != first]
    path.write_text(json.dumps(content))
    run, _ = make_run(data=data, epochs=1, **given)
    with pytest.raises(DataError, match=f"none of the 1 {split} images that are used has a box"):
        train(run)


def test_the_baseline_finds_digits_of_synthetic_scenes_and_the_detector_learns_there(make_run):
    data = {"source": "synthetic", "scenes": 160}
    baseline, its_events = make_run(data=data, image_side=48)
    for train in ObjectDetector.baselines.values():
        train(baseline)
    (checkpoint,) = checkpoints(its_events)
    assert checkpoint["average_precision_50"] > 0.1 and baseline.summary["test_mean_average_precision"] > 0.02
    run, events = make_run(data=data, image_side=48, epochs=3)
    ObjectDetector().train(run)
    assert checkpoints(events)[-1]["validation_loss"] < checkpoints(events)[0]["validation_loss"]


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    found = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed, epochs=2)
        ObjectDetector().train(run)
        found.append(checkpoints(events))
    assert found[0] == found[1] != found[2]


def test_a_paused_and_resumed_training_is_the_uninterrupted_one(make_run, tmp_path):
    whole, events = make_run(epochs=3)
    ObjectDetector().train(whole)
    state = tmp_path / "state.pt"
    paused, first = make_run(epochs=3, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        ObjectDetector().train(paused)
    resumed, second = make_run(epochs=3, state_path=state)
    ObjectDetector().train(resumed)
    assert checkpoints(first) + checkpoints(second) == checkpoints(events)


def test_resolution_costs_flops():
    small, large = (Shape(2, 1, side, 16, 1) for side in (32, 64))
    assert training_flops(large) > 3.5 * training_flops(small)


def test_right_maps_give_the_boxes_back_and_a_lower_loss():
    boxes = torch.tensor([[[4.0, 6.0, 10.0, 8.0], [20.0, 18.0, 9.0, 12.0], [0.0, 0.0, 0.0, 0.0]]])
    labels = torch.tensor([[0, 1, -1]])
    logits, edges = torch.full((1, 2, 8, 8), -8.0), torch.full((1, 4, 8, 8), 4.0)
    places = places_of(logits)
    for box, label, peak in zip(boxes[0, :2], labels[0], peaks_of(boxes, labels, places)[0], strict=False):
        place = int(peak.argmax())
        assert peak[place] == 1
        row, column = divmod(place, 8)
        logits[0, label, row, column] = 8.0
        edges[0, :, row, column] = torch.cat([places[place] - box[:2], box[:2] + box[2:] - places[place]])
    (found,) = detections((logits, edges), 0.5)
    assert found[:, 5].tolist() == [0, 1]
    assert torch.allclose(found[:, :4], boxes[0, :2], atol=1e-4)
    right = detection_loss((logits, edges), boxes, labels)
    assert right < 2 < detection_loss((-logits, edges), boxes, labels)


def test_generalised_overlap_is_one_of_equals_and_negative_of_what_is_far_apart():
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    assert generalised_overlap(one, one) == 1
    assert generalised_overlap(one, one + 8) == pytest.approx(8 / 100 - 1)


def test_average_precision_is_that_of_coco():
    right = [np.array([[0, 0, 10, 10, 0], [20, 20, 10, 10, 1]], float), np.empty((0, 5))]
    exact = [np.array([[0, 0, 10, 10, 0.9, 0], [20, 20, 10, 10, 0.8, 1]], float), np.empty((0, 6))]
    assert average_precisions(exact, right, 2) == pytest.approx(
        {"mean_average_precision": 1.0, "average_precision_50": 1.0}
    )
    shifted = [exact[0] + [0, 0, 0, 4, 0, 0], exact[1]]  # an overlap of 10 / 14, above 0.5 to 0.7
    found = average_precisions(shifted, right, 2)
    assert found["average_precision_50"] == pytest.approx(1) and found["mean_average_precision"] == pytest.approx(0.5)
    assert average_precisions([exact[1]] * 2, right, 2)["mean_average_precision"] == 0


def test_average_precision_is_the_first_figures_that_coco_sums_up():
    draw, right, found, annotations = np.random.default_rng(0), [], [], []
    for image in range(12):
        objects = np.column_stack([draw.uniform(0, 30, (4, 2)), draw.uniform(5, 15, (4, 2)), draw.integers(0, 3, 4)])
        near = np.column_stack([objects[:, :4] + draw.uniform(-2, 2, (4, 4)), draw.uniform(size=4), objects[:, 4]])
        stray = [draw.uniform(0, 30, (110, 4)), draw.uniform(0, 0.5, 110), draw.integers(0, 4, 110)]
        right.append(objects)
        found.append(np.concatenate([near, np.column_stack(stray)]))  # more than count
        for left, top, width, height, label in objects.tolist():
            box = {"bbox": [left, top, width, height], "area": width * height, "iscrowd": 0}
            annotations.append({**box, "id": len(annotations) + 1, "image_id": image, "category_id": int(label)})
    truth = COCO()
    images, categories = ([{"id": each} for each in range(count)] for count in (12, 4))
    truth.dataset = {"info": {}, "images": images, "categories": categories, "annotations": annotations}
    truth.createIndex()
    rows = np.concatenate([np.column_stack([np.full(len(of), image), of]) for image, of in enumerate(found)])
    whole = COCOeval(truth, truth.loadRes(rows), "bbox")
    whole.evaluate()
    whole.accumulate()
    whole.summarize()
    assert 0.05 < whole.stats[0] < whole.stats[1] < 1
    assert list(average_precisions(found, right, 4).values()) == pytest.approx(whole.stats[:2], abs=1e-12)


def test_a_missing_pycocotools_is_named_before_anything_is_prepared(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    monkeypatch.delitem(sys.modules, "experiments.detection_scores", raising=False)
    with pytest.raises(DataError, match="pip install pycocotools"):
        ObjectDetector().prepare({}, {"image_side": 32}, tmp_path, print)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_kept_model_predicts_in_every_number_format(make_run, tmp_path, boxes, scene_cache, weights):
    run, _ = make_run(epochs=2)
    ObjectDetector().train(run)
    workload = ObjectDetector()
    predict = workload.predictor(kept_folder(tmp_path), weights, torch.device("cpu"))
    inputs = workload.prediction_inputs(boxes, run.settings, scene_cache, 3)
    assert len(json.loads(json.dumps(predict(inputs)))) == len(inputs) == 3


@pytest.mark.parametrize(
    ("image", "message"),
    [("a picture", "image 1"), ([[300]], "image 1 holds 300"), ([[1, 2], [3]], "image 1 is not rows")],
)
def test_what_is_no_image_is_refused_by_its_number(make_run, tmp_path, image, message):
    run, _ = make_run(epochs=1)
    ObjectDetector().train(run)
    predict = ObjectDetector().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    with pytest.raises(DataError, match=message):
        predict([image])


def test_synthetic_scenes_are_the_same_every_time_and_boxes_hold_the_ink():
    first, again = (list(synthetic_scenes(12, seed=5)) for _ in range(2))
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(first, again, strict=True))
    assert {1, 5} <= {len(each.boxes) for each in synthetic_scenes(60, seed=5)} <= {1, 2, 3, 4, 5}
    for scene in first:
        inside = np.zeros((SIDE, SIDE), bool)
        for left, top, width, height in scene.boxes:
            assert left >= 0 and top >= 0 and left + width <= SIDE and top + height <= SIDE
            inside[round(top) : round(top + height), round(left) : round(left + width)] = True
        assert scene.pixels[inside].mean() > scene.pixels[~inside].mean() + 20


def test_images_keep_their_aspect_ratio_and_boxes_move_with_them(boxes, scene_cache):
    folder = prepare_scenes(boxes, {"image_side": 30}, scene_cache, print)
    scenes = load_scenes(folder, "train", torch.device("cpu"))
    assert scenes.inputs.shape[1:] == (1, 30, 30)
    assert not scenes.inputs[:, :, 20:].any(), "60 × 40 fills two thirds"
    for image, of_image, labels in zip(scenes.inputs, scenes.boxes, scenes.labels, strict=True):
        for (left, top, width, height), label in zip(of_image, labels, strict=True):
            if label >= 0:
                middle = float(image[0, int(top + height / 2), int(left + width / 2)])
                assert middle < 40 if label == 0 else middle > 220


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, precision):
    run, events = make_run(device="cuda", precision=precision, epochs=20)
    ObjectDetector().train(run)
    assert max(each["average_precision_50"] for each in checkpoints(events)) > 0.5


def test_a_detector_takes_images_of_any_side():
    maps = Detector(Shape(3, 1, 50, 16, 1))(torch.zeros(2, 1, 50, 50))
    assert [each.shape[:2] for each in maps] == [(2, 3), (2, 4)] and maps[0].shape[2:] == maps[1].shape[2:]
