"""Images with boxes from COCO's json: what cannot be used is named by file and row, or left out and counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from experiments.data.scenes import prepare_scenes
from tracker.errors import DataError

SETTINGS = {"image_side": 32}


def content_of(split):
    return {
        "images": [{"id": 1, "file_name": f"{split}.png", "width": 40, "height": 30}],
        "categories": [{"id": 3, "name": "cup"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 3, "bbox": [2, 3, 10, 12], "iscrowd": 0}],
    }


def write(folder, change=lambda content: None):
    """Three files in COCO's form with an image each; ``change`` alters that of the training."""
    for split in ("train", "validation", "test"):
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(folder / f"{split}.png")
        content = content_of(split)
        if split == "train":
            change(content)
        (folder / f"{split}.json").write_text(json.dumps(content))
    return {"source": str(folder)}


def annotation(**changed):
    def change(content):
        content["annotations"].append({**content["annotations"][0], "id": 6, **changed})

    return change


def image(**changed):
    def change(content):
        content["images"].append({**content["images"][0], "id": 2, **changed})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            annotation(bbox=[30, 3, 20, 12]),
            "annotations row 2 (id 6): its bbox [30, 3, 20, 12] is outside of the image, 40 × 30",
        ),
        (annotation(bbox=[-5, 3, 20, 12]), "annotations row 2 (id 6): its bbox [-5, 3, 20, 12] is outside"),
        (annotation(bbox=[40.5, 3, 0.2, 12]), "annotations row 2 (id 6): its bbox [40.5, 3, 0.2, 12] is outside"),
        (annotation(bbox=[3, 3, 0, 12]), "annotations row 2 (id 6): its bbox [3, 3, 0, 12] has no area"),
        (annotation(bbox=[3, 3, 4, -1]), "annotations row 2 (id 6): its bbox [3, 3, 4, -1] has no area"),
        (annotation(bbox=[3, 3, 4]), "annotations row 2 (id 6): its bbox is [3, 3, 4]; allowed: four numbers"),
        (annotation(bbox=[3, 3, 4, float("nan")]), "annotations row 2 (id 6): its bbox is [3, 3, 4, nan]"),
        (annotation(category_id=4), "annotations row 2 (id 6): no category has the id 4, its category_id; there are 3"),
        (annotation(image_id="one"), "annotations row 2 (id 6): no usable image has the id 'one', its image_id"),
        (lambda content: content["annotations"].append("box"), "annotations row 2: it is 'box'; allowed: an object"),
        (image(file_name="gone.png"), "images row 2 (id 2): 'gone.png' cannot be read as an image"),
        (image(file_name="train.json"), "images row 2 (id 2): 'train.json' cannot be read as an image"),
        (image(file_name="../train.png"), "images row 2 (id 2): its file_name is '../train.png'; allowed"),
        (image(width=41), "images row 2 (id 2): 'train.png' is 40 × 30, not 41 × 30 as it says"),
        (image(width="40"), "images row 2 (id 2): its width is '40'; allowed"),
        (image(id=1), "images row 2 (id 1): another row before it has the same id"),
        (image(id=None), "images row 2 (id None): its id is None; allowed"),
        (
            lambda content: content["categories"].append({"id": 4, "name": "spoon"}),
            "class 'spoon' has no example in the training split",
        ),
        (lambda content: content["categories"].append({"id": 4}), "categories row 2 (id 4): its name is None; allowed"),
    ],
)
def test_what_cannot_be_used_is_named_by_file_and_row_or_skipped_and_counted(tmp_path, change, message):
    data, notes = write(tmp_path, change), []
    with pytest.raises(DataError) as refused:
        prepare_scenes(data, SETTINGS, tmp_path / "cache", notes.append)
    assert message in str(refused.value) and str(tmp_path.name) in str(refused.value)
    assert "corrupt = 'skip' leaves out" in str(refused.value)
    folder = prepare_scenes({**data, "corrupt": "skip"}, SETTINGS, tmp_path / "cache", notes.append)
    card = json.loads((folder / "card.json").read_text())
    assert card["rows"] == {"train": 1, "validation": 1, "test": 1} and card["classes"] == ["cup"]
    assert "; 1 that cannot be used left out" in card["description"]
    assert any(note.startswith("left out: ") and message in note for note in notes)
    assert (np.load(folder / "train-labels.npy") >= 0).sum() == 1


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pixels_stay_as_they_are_stored_whatever_the_orientation_in_the_file_says(tmp_path, orientation):
    data = write(tmp_path, lambda content: content["images"][0].update(file_name="phone.png"))
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[3:15, 2:12] = 255  # the box
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "phone.png", exif=exif)
    folder = prepare_scenes(data, SETTINGS, tmp_path / "cache", print)
    left, top, width, height = np.load(folder / "train-boxes.npy")[0, 0].round().astype(int)
    (found,) = np.load(folder / "train-inputs.npy")
    inside = found[:, top : top + height, left : left + width]
    assert inside.mean() > 200 and found.sum() < 1.3 * inside.sum()


def test_a_box_that_was_rounded_over_the_edge_is_cut_off_there_and_a_crowd_is_left_out(tmp_path):
    def change(content):
        content["annotations"][0]["bbox"] = [30.5, -0.4, 10, 10]
        content["annotations"].append({"id": 9, "image_id": 1, "category_id": 3, "iscrowd": 1, "segmentation": {}})

    folder = prepare_scenes(write(tmp_path, change), SETTINGS, tmp_path / "cache", print)
    scale = 32 / 40
    assert np.load(folder / "train-boxes.npy")[0, 0] == pytest.approx([30.5 * scale, 0, 9.5 * scale, 9.6 * scale])
    assert "(1 crowd regions left out)" in json.loads((folder / "card.json").read_text())["description"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as json"),
        ("[" * 100_000, "cannot be read as json"),
        ("[]", "no list 'images'"),
        ('{"images": [], "categories": []}', "no list 'annotations'"),
        ('{"images": [], "categories": [], "annotations": []}', "it has no category"),
        (
            '{"images": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], "annotations": []}',
            "two categories are named alike",
        ),
        ('{"images": [], "categories": [{"id": 1, "name": "a"}], "annotations": []}', "no class has an example"),
    ],
)
def test_a_file_of_another_form_is_refused_whatever_is_skipped(tmp_path, content, message):
    (tmp_path / "boxes.json").write_text(content)
    data = {"source": str(tmp_path / "boxes.json"), "corrupt": "skip"}
    with pytest.raises(DataError, match=message):
        prepare_scenes(data, SETTINGS, tmp_path / "cache", print)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "nowhere.json"}, "neither 'synthetic' nor a file or folder"),
        ({"source": "."}, "lacks train.json"),
        ({"source": "synthetic", "scenes": 3}, "data option 'scenes'"),
        ({"source": "synthetic", "images": "here"}, "not for source = 'synthetic'"),
    ],
)
def test_a_source_that_cannot_be_is_refused(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        prepare_scenes(data, SETTINGS, tmp_path, print)


def test_a_folder_of_images_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        prepare_scenes({**write(tmp_path), "images": str(tmp_path / "none")}, SETTINGS, tmp_path / "cache", print)
