"""Files in COCO's form that are garbled or say what makes no sense: boxes, or what is wrong with them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from experiments.data.coco_file import read_coco
from tests.fuzz.inputs import FUZZ, tried
from tests.fuzz.mutations import ODD_VALUES, as_json, changed_text, changed_value
from tracker.errors import TrackerError

CONTENT = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
    "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "Löffel"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [10, 12, 8, 9]},
    ],
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("coco") / "boxes.json"


def read_whole(path):
    try:
        found = read_coco(path)
    except TrackerError as error:
        assert str(path) in str(error)
        return
    assert all("row" in reason and reason.isprintable() for reason in found.unusable)
    for image in found.images:
        for (left, top, width, height), name in image.objects:
            assert name in found.classes and width > 0 and height > 0
            assert left >= 0 and top >= 0 and left + width <= image.width + 1e-6
            assert top + height <= image.height + 1e-6


@FUZZ
@given(changed_value(CONTENT) | ODD_VALUES)
def test_box_files_with_wrong_values(path, content):
    tried["box files with wrong values"] += 1
    path.write_text(as_json(content), encoding="utf-8", errors="surrogatepass")
    read_whole(path)


@FUZZ
@given(changed_text([json.dumps(CONTENT, ensure_ascii=False)]))
def test_box_files_with_garbled_text(path, text):
    tried["box files with garbled text"] += 1
    path.write_bytes(text.encode(errors="surrogatepass"))
    read_whole(path)
