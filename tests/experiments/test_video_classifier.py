"""The video classifier: what it learns, whose clips it takes, and what it says of clips that are none."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data.clips import prepare_clips
from experiments.data.synthetic_clips import FRAMES, MOTIONS, SIDE, synthetic_clips
from experiments.workloads.video_classifier import Classifier, Shape, VideoClassifier, training_flops
from tests.support.runs import check_servable, checkpoints, gallery_run, kept_folder
from tracker.errors import DataError
from tracker.training.run import Paused
from tracker.training.workload import WEIGHTS

CLASSES = {"falls": (1, 0), "rises \"🎈\" 'q'": (-1, 0), "left": (0, -1), "right": (0, 1)}
SMALL = {
    "size": 1, "image_side": 16, "stored_frames": 6, "clip_frames": 6, "frame_step": 1, "batch_size": 16, "epochs": 5,
    "learning_rate": 5e-3, "dropout": 0.0,
}  # fmt: skip


def moving(direction, draw, frames=8, side=16):
    """A bright square that moves over noise, uint8 (frames, side, side)."""
    clip = draw.integers(0, 60, (frames, side, side))
    row, column = draw.integers(4, side - 8, 2)
    for frame in range(frames):
        top, left = (
            int(np.clip(at + step * frame // 2, 0, side - 4)) for at, step in zip((row, column), direction, strict=True)
        )
        clip[frame, top : top + 4, left : left + 4] = 220
    return clip.astype(np.uint8)


def write_clips(folder, count=30):
    """Four classes; every other clip is a folder of frames, the rest are arrays."""
    draw = np.random.default_rng(3)
    for name, direction in CLASSES.items():
        for number in range(count):
            clip, place = moving(direction, draw), folder / name / f"clip {number}"
            if number % 2:
                place.parent.mkdir(parents=True, exist_ok=True)
                np.save(place.with_suffix(".npy"), clip)
                continue
            place.mkdir(parents=True)
            for frame, picture in enumerate(clip):
                Image.fromarray(picture).save(place / f"{frame:03}.png")
    return {"source": str(folder)}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips") / "moving")


@pytest.fixture(scope="module")
def clip_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(clips, clip_cache, tmp_path):
    """Makes a run of the video classifier, with the list that its events go to."""

    def make(data=None, **given):
        folders = clip_cache, tmp_path / "artifacts"
        return gallery_run(VideoClassifier(), data or clips, *folders, quality="accuracy", **SMALL | given)

    return make


def test_it_is_a_workload_whose_models_can_be_served():
    check_servable("experiments.workloads.video_classifier:VideoClassifier")


def test_it_learns_from_a_folder_reports_every_epoch_and_keeps_a_model_that_loads(make_run, tmp_path):
    run, events = make_run()
    VideoClassifier().train(run)
    assert len(checkpoints(events)) == 5
    assert max(each["accuracy"] for each in checkpoints(events)) > 0.7, "chance is one in four"
    assert run.summary["parameters"] > 0 and run.summary["flops"] > 0
    shown = json.loads((kept_folder(tmp_path) / "settings.json").read_text())
    Classifier(Shape(**shown["shape"])).load_state_dict(
        torch.load(kept_folder(tmp_path) / "model.pt", weights_only=True)
    )
    assert shown["classes"] == sorted(CLASSES)


def test_it_learns_synthetic_motions_of_digits_never_seen_and_better_than_the_baseline(make_run):
    data = {"source": "synthetic", "clips": 640}
    chosen = {
        "image_side": SIDE,
        "stored_frames": FRAMES,
        "clip_frames": 8,
        "frame_step": 2,
        "epochs": 8,
        "learning_rate": 3e-3,
    }
    run, events = make_run(data=data, **chosen)
    VideoClassifier().train(run)
    reached = max(each["accuracy"] for each in checkpoints(events))
    baseline, its_events = make_run(data=data, **chosen)
    for train in VideoClassifier.baselines.values():
        train(baseline)
    (checkpoint,) = checkpoints(its_events)
    assert 0.3 < checkpoint["accuracy"] < reached, "chance is one in eight"
    assert baseline.summary["test_accuracy"] > 0.3


def test_the_same_seed_gives_the_same_result_and_another_seed_another(make_run):
    found = []
    for seed in (1, 1, 2):
        run, events = make_run(seed=seed, epochs=2)
        VideoClassifier().train(run)
        found.append(checkpoints(events))
    assert found[0] == found[1] != found[2]


def test_a_paused_and_resumed_training_is_the_uninterrupted_one(make_run, tmp_path):
    whole, events = make_run(epochs=3, dropout=0.2)
    VideoClassifier().train(whole)
    state = tmp_path / "state.pt"
    paused, first = make_run(epochs=3, dropout=0.2, state_path=state, pause_after_epoch=1)
    with pytest.raises(Paused):
        VideoClassifier().train(paused)
    resumed, second = make_run(epochs=3, dropout=0.2, state_path=state)
    VideoClassifier().train(resumed)
    assert checkpoints(first) + checkpoints(second) == checkpoints(events)


def test_frame_rate_and_length_are_the_models_and_cost_flops():
    extra = {"channels": 1, "side": 32, "frames": 24}
    settings = {"size": 1, "clip_frames": 4, "frame_step": 2, "dropout": 0.0}
    short, long = (Shape.of({**settings, "clip_frames": frames}, 8, extra) for frames in (4, 8))
    assert training_flops(long) > 1.9 * training_flops(short)
    assert list(range(24))[short.looked_at] == [8, 10, 12, 14]
    with pytest.raises(DataError, match=r"clip_frames = 20 with frame_step = 2 span 39 frames; stored_frames = 24"):
        Shape.of({**settings, "clip_frames": 20}, 8, extra)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_kept_model_predicts_in_every_number_format(make_run, tmp_path, clips, clip_cache, weights):
    run, _ = make_run(epochs=4)
    VideoClassifier().train(run)
    workload = VideoClassifier()
    predict = workload.predictor(kept_folder(tmp_path), weights, torch.device("cpu"))
    inputs = workload.prediction_inputs(clips, run.settings, clip_cache, 6)
    assert set(predict(inputs)) <= set(CLASSES) and len(predict(inputs)) == len(inputs) == 6
    assert predict([]) == []


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("a film", "clip 1 is str frames"),
        ([[[0]]] * 5, "clip 1 is 5 frames; allowed: a list of 6 frames"),
        ([[[300]]] * 6, "clip 1: image 1 holds 300"),
        ([[["x"]]] * 6, "clip 1: image 1"),
    ],
)
def test_what_is_no_clip_is_refused_by_its_number(make_run, tmp_path, clip, message):
    run, _ = make_run(epochs=1)
    VideoClassifier().train(run)
    predict = VideoClassifier().predictor(kept_folder(tmp_path), "fp32", torch.device("cpu"))
    with pytest.raises(DataError, match=message):
        predict([clip])


def test_synthetic_clips_are_the_same_every_time_and_each_motion_is_one():
    first, again = (list(synthetic_clips(16, seed=5)) for _ in range(2))
    assert [each.label for each in first] == list(range(8)) * 2
    assert all(np.array_equal(one.frames, other.frames) for one, other in zip(first, again, strict=True))
    other = next(synthetic_clips(1, seed=6))
    assert not np.array_equal(first[0].frames, other.frames)
    for clip in first[:4]:
        bright = (clip.frames[:, 0] > 140).astype(float)
        rows, columns = np.mgrid[:SIDE, :SIDE]
        places = np.array([[(frame * axis).sum() / frame.sum() for axis in (rows, columns)] for frame in bright])
        down, right = places[-5:].mean(axis=0) - places[:5].mean(axis=0)
        seen = {"left": -right, "right": right, "up": -down, "down": down}[MOTIONS[clip.label]]
        assert seen > 2 and seen > abs(down if MOTIONS[clip.label] in ("left", "right") else right)


def broken(folder, kind):
    place = folder / "falls"
    if kind == "short":
        np.save(place / "a.npy", np.zeros((3, 16, 16), np.uint8))
    elif kind == "float":
        np.save(place / "a.npy", np.zeros((8, 16, 16)))
    elif kind == "shape":
        np.save(place / "a.npy", np.zeros((8, 16), np.uint8))
    elif kind == "texts":
        np.save(place / "a.npy", np.array([["a"]]))
    elif kind == "zip":
        with (place / "a.npy").open("wb") as file:
            np.savez(file, a=np.zeros(3))
    elif kind == "no zip":
        (place / "a.npy").write_bytes(b"PK\x03\x04 and nothing more")
    elif kind == "pickle":
        np.save(place / "a.npy", np.array([{"a": 1}], dtype=object))
    elif kind == "torn":
        (place / "a.npy").write_bytes(b"\x93NUMPY")
    elif kind == "image":
        (place / "a").mkdir()
        (place / "a" / "1.png").write_bytes(b"no image")
    elif kind == "sizes":
        (place / "a").mkdir()
        for frame, side in enumerate([16] * 7 + [20]):
            Image.fromarray(np.zeros((side, 16), np.uint8)).save(place / "a" / f"{frame}.png")
    else:
        (place / "a").mkdir()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("short", "falls/a.npy: it has 3 frames; stored_frames = 6"),
        ("float", "falls/a.npy: it holds float64"),
        ("shape", "falls/a.npy: its shape is 8 × 16"),
        ("texts", "falls/a.npy: it holds an array of <U1"),
        ("zip", "falls/a.npy: it holds several arrays"),
        ("no zip", "falls/a.npy: cannot be read as an array"),
        ("pickle", "falls/a.npy: cannot be read as an array"),
        ("torn", "falls/a.npy: cannot be read as an array"),
        ("image", r"falls/a/1.png: cannot be read as an image"),
        ("sizes", "falls/a/7.png: it is 16 × 20, the frames before it 16 × 16"),
        ("empty", "falls/a: no image is in it"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named_or_skipped_and_counted(tmp_path, kind, message):
    data = write_clips(tmp_path / "clips", count=8)
    broken(tmp_path / "clips", kind)
    settings, notes = {"image_side": 16, "stored_frames": 6}, []
    with pytest.raises(DataError, match=message) as refused:
        prepare_clips(data, settings, tmp_path / "cache", notes.append)
    assert "corrupt = 'skip'" in str(refused.value)
    folder = prepare_clips({**data, "corrupt": "skip"}, settings, tmp_path / "cache", notes.append)
    card = json.loads((folder / "card.json").read_text())
    assert "1 that cannot be used left out" in card["description"] and sum(card["rows"].values()) == 32
    assert any("left out: falls/a" in note for note in notes)


def test_splits_of_a_folder_are_taken_as_they_are(tmp_path):
    write_clips(tmp_path / "all", count=4)
    for split in ("train", "validation", "test"):
        (tmp_path / "clips" / split).mkdir(parents=True)
        for name in CLASSES:
            (tmp_path / "all" / name).rename(tmp_path / "clips" / split / name) if split == "train" else None
    for split in ("validation", "test"):
        write_clips(tmp_path / "clips" / split, count=2)
    folder = prepare_clips(
        {"source": str(tmp_path / "clips")}, {"image_side": 16, "stored_frames": 6}, tmp_path / "cache", lambda _: None
    )
    assert json.loads((folder / "card.json").read_text())["rows"] == {"train": 16, "validation": 8, "test": 8}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "nowhere"}, "neither 'synthetic' nor a folder"),
        ({"source": "synthetic", "clips": 3}, "data option 'clips'"),
        ({"source": "synthetic", "corrupt": "skip"}, "not for source = 'synthetic'"),
        ({"clips": 100, "source": "folder"}, "not for source = 'folder'"),
    ],
)
def test_a_source_that_cannot_be_is_refused(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        prepare_clips(data, {"image_side": 16, "stored_frames": 6}, tmp_path, lambda _: None)


def test_a_class_without_a_clip_and_a_single_class_are_refused(tmp_path):
    data = write_clips(tmp_path / "clips", count=2)
    (tmp_path / "clips" / "nothing").mkdir()
    settings = {"image_side": 16, "stored_frames": 6}
    with pytest.raises(DataError, match="nothing usable is in it"):
        prepare_clips(data, settings, tmp_path / "cache", lambda _: None)
    for split in ("train", "validation", "test"):
        write_clips(tmp_path / "split" / split, count=2)
    shutil.rmtree(tmp_path / "split" / "train" / "left")
    with pytest.raises(DataError, match="class 'left' has no clip in the training split"):
        prepare_clips({"source": str(tmp_path / "split")}, settings, tmp_path / "cache", lambda _: None)
    (tmp_path / "one" / "falls" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="its only class is 'falls'"):
        prepare_clips({"source": str(tmp_path / "one")}, settings, tmp_path / "cache", lambda _: None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_learns_on_a_gpu(make_run, precision):
    run, events = make_run(device="cuda", precision=precision)
    VideoClassifier().train(run)
    assert max(each["accuracy"] for each in checkpoints(events)) > 0.7, "chance is one in four"
