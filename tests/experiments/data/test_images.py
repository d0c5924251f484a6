from __future__ import annotations

import os
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data.array_data import load_array_card, load_examples
from experiments.data.corpus import stable_hash
from experiments.data.image_pixels import arrays_of, converted, square
from experiments.data.images import moved, prepare_images
from tracker.errors import DataError

KNOBS = {"deduplicate": False}


def draw(folder: Path, name: str, shade: int, *, side: int = 8, mode: str = "L", spread: int = 0) -> Path:
    """An image of one shade, with noise where ``spread`` says so."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(stable_hash(f"{folder.name}/{name}")).integers(0, spread + 1, (side, side))
    image = Image.fromarray((shade + noise).astype(np.uint8)).convert(mode)
    image.save(folder / name)
    return folder / name


def shades(root: Path, *, images: int = 40, **options) -> Path:
    """Two class folders, of dark and of light images."""
    for name, shade in (("dark", 20), ("light", 200)):
        for number in range(images):
            draw(root / name, f"{number}.png", shade, spread=50, **options)
    return root


def prepare(root: Path, cache: Path, *, shown=None, knobs=None, **options):
    progress = shown if shown is not None else []
    folder = prepare_images({"source": str(root), **options}, {**KNOBS, **(knobs or {})}, cache, progress.append)
    return folder, load_array_card(folder)


def split(folder: Path, name: str):
    return load_examples(folder, name, torch.device("cpu"))


def test_the_digits_come_without_a_download_and_each_split_looks_alike(tmp_path):
    folder = prepare_images({}, KNOBS, tmp_path, lambda _: None)
    card = load_array_card(folder)
    assert card.classes == tuple("0123456789")
    assert sum(card.rows.values()) == 1797
    assert 0.65 < card.rows["train"] / 1797 < 0.75
    train = split(folder, "train")
    assert train.inputs.shape == (card.rows["train"], 1, 8, 8)
    assert int(train.inputs.max()) == 255
    assert torch.bincount(train.labels).min() > 100
    pixels = train.inputs.double() / 255
    assert card.extra["mean"][0] == pytest.approx(pixels.mean().item())
    assert card.extra["deviation"][0] == pytest.approx(pixels.std(correction=0).item())


def test_class_folders_are_read_and_split_by_their_pixels_whatever_the_files_are_called(tmp_path):
    root = shades(tmp_path / "shades")
    folder, card = prepare(root, tmp_path / "cache")
    assert card.classes == ("dark", "light")
    assert sum(card.rows.values()) == 80
    for name in ("train", "validation", "test"):
        examples = split(folder, name)
        assert torch.equal(examples.inputs.float().mean((1, 2, 3)) > 128, examples.labels == 1)
    renamed = tmp_path / "renamed"
    for number, path in enumerate(sorted(root.glob("*/*.png"))):
        (renamed / path.parent.name).mkdir(parents=True, exist_ok=True)
        (renamed / path.parent.name / f"other-{100 - number}.png").write_bytes(path.read_bytes())
    again, card_again = prepare(renamed, tmp_path / "cache")
    assert card_again.rows == card.rows
    assert torch.equal(split(again, "train").inputs, split(folder, "train").inputs)


def test_given_splits_are_kept(tmp_path):
    for name, images in (("train", 5), ("validation", 3), ("test", 2)):
        shades(tmp_path / "shades" / name, images=images)
    _, card = prepare(tmp_path / "shades", tmp_path / "cache")
    assert card.rows == {"train": 10, "validation": 6, "test": 4}


def test_a_changed_image_or_option_changes_the_fingerprint_and_nothing_else_does(tmp_path):
    root = shades(tmp_path / "shades")
    _, card = prepare(root, tmp_path / "cache")
    assert prepare(root, tmp_path / "other")[1].fingerprint == card.fingerprint
    assert prepare(root, tmp_path / "cache", channels="rgb")[1].fingerprint != card.fingerprint
    assert prepare(root, tmp_path / "cache", knobs={"image_side": 4})[1].fingerprint == card.fingerprint
    draw(root / "dark", "0.png", 3)
    assert prepare(root, tmp_path / "cache")[1].fingerprint != card.fingerprint


def test_equal_images_are_in_one_split_and_are_one_where_asked_for(tmp_path):
    root = shades(tmp_path / "shades")
    for path in sorted((root / "dark").iterdir()):
        (root / "dark" / f"copy of {path.name}").write_bytes(path.read_bytes())
    folder, card = prepare(root, tmp_path / "cache")
    assert sum(card.rows.values()) == 120
    seen = [{image.numpy().tobytes() for image in split(folder, name).inputs} for name in card.rows]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    once, card_once = prepare(root, tmp_path / "cache", knobs={"deduplicate": True})
    assert sum(card_once.rows.values()) == 80
    assert "40 duplicate images left out" in card_once.description
    assert {image.numpy().tobytes() for image in split(once, "train").inputs} == seen[0]


def test_of_equal_images_in_several_given_splits_that_of_the_test_is_kept(tmp_path):
    for name, images in (("train", 5), ("validation", 3), ("test", 2)):
        shades(tmp_path / "shades" / name, images=images)  # noise follows from class and name: all are repeated
    _, card = prepare(tmp_path / "shades", tmp_path / "cache", knobs={"deduplicate": True})
    assert card.rows == {"train": 4, "validation": 2, "test": 4}


def test_a_smaller_share_is_a_part_of_a_larger_one(tmp_path):
    folder = prepare_images({}, KNOBS, tmp_path, lambda _: None)
    tenth, half = (load_examples(folder, "train", torch.device("cpu"), share) for share in (0.1, 0.5))
    assert torch.equal(half.inputs[: len(tenth)], tenth.inputs)
    assert len(torch.unique(tenth.labels)) == 10, "a fair sample"


def test_images_get_the_side_that_most_have_or_the_one_asked_for(tmp_path):
    root = shades(tmp_path / "shades", side=12)
    draw(root / "dark", "large.png", 20, side=300)
    assert prepare(root, tmp_path / "cache")[1].extra["side"] == 12
    folder, card = prepare(root, tmp_path / "cache", knobs={"image_side": 6})
    assert card.extra["side"] == 6
    assert split(folder, "train").inputs.shape[2:] == (6, 6)
    large = shades(tmp_path / "large", side=100, images=20)
    assert prepare(large, tmp_path / "cache")[1].extra["side"] == 64


def test_colours_are_read_where_there_are_any_and_made_grey_or_coloured_where_asked_for(tmp_path):
    root = shades(tmp_path / "shades")
    assert prepare(root, tmp_path / "cache")[1].extra["channels"] == 1
    folder, card = prepare(root, tmp_path / "cache", channels="rgb")
    assert card.extra["channels"] == len(card.extra["mean"]) == 3
    assert split(folder, "train").inputs.shape[1] == 3
    Image.new("RGB", (8, 8), (255, 0, 0)).save(root / "dark" / "red.png")
    assert prepare(root, tmp_path / "cache")[1].extra["channels"] == 3
    assert prepare(root, tmp_path / "cache", channels="grey")[1].extra["channels"] == 1
    with pytest.raises(DataError, match="channels is 'gray'; allowed: auto, grey, rgb"):
        prepare(root, tmp_path / "cache", channels="gray")


def test_transparent_16_bit_and_turned_images_look_as_they_are_seen():
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert np.asarray(converted(clear, 1)).tolist() == [[255, 255], [255, 255]]
    deep = Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16))
    assert np.asarray(converted(deep, 1)).tolist() == [[0, 1, 128, 255]]
    turned = Image.fromarray(np.array([[10, 20, 30]], np.uint8))
    turned.getexif()[0x0112] = 6  # taken with the camera on its side
    assert np.asarray(converted(turned, 1)).tolist() == [[10], [20], [30]]
    with pytest.raises(ValueError, match="32 bits"):
        converted(Image.fromarray(np.array([[1.0]], np.float32)), 1)


def test_resizing_averages_what_it_covers_and_leaves_what_fits():
    board = np.indices((8, 8)).sum(axis=0) % 2 * 200
    image = Image.fromarray(board.astype(np.uint8))
    assert np.abs(square(image, 2).astype(int) - 100).max() <= 2
    assert np.array_equal(square(image, 8)[0], board)


def test_a_broken_image_is_named(tmp_path):
    root = shades(tmp_path / "shades")
    whole = (root / "light" / "3.png").read_bytes()
    (root / "light" / "3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"light/3\.png: cannot be read as an image: .*truncated.*corrupt = \"skip\""):
        prepare(root, tmp_path / "cache")


def test_broken_images_are_left_out_reported_and_counted_where_asked_for(tmp_path):
    root, shown = shades(tmp_path / "shades"), []
    (root / "light" / "a.png").write_bytes(b"no image")
    (root / "dark" / "b.jpg").write_bytes(b"")
    _, card = prepare(root, tmp_path / "cache", shown=shown, corrupt="skip")
    assert sum(card.rows.values()) == 80
    assert "2 unreadable images left out" in card.description
    left_out = next(message for message in shown if "left out" in message)
    assert left_out.startswith("left out 2 unreadable images: ") and "a.png" in left_out and "b.jpg" in left_out
    with pytest.raises(DataError, match="corrupt is 'ignore'; allowed: fail, skip"):
        prepare(root, tmp_path / "cache", corrupt="ignore")


def test_a_class_whose_images_are_all_broken_is_named(tmp_path):
    root = shades(tmp_path / "shades")
    draw(root / "grey", "1.png", 100).write_bytes(b"no image")
    with pytest.raises(DataError, match="no image of class 'grey' can be read"):
        prepare(root, tmp_path / "cache", corrupt="skip")


def test_names_with_emoji_quotes_and_bytes_that_are_no_text_are_read_and_can_be_printed(tmp_path):
    root = tmp_path / 'it\'s "mine" 🦊'
    names = ["🐈 cats", 'it\'s "a dog"', os.fsdecode(b"bird-\xff")]
    for number, name in enumerate(names):
        for image in range(10):
            draw(root / name, f"{'😀' * image}'\".png", 20 + 80 * number, spread=50)
    _, card = prepare(root, tmp_path / "cache")
    assert set(card.classes) == {"🐈 cats", 'it\'s "a dog"', "bird-\\xff"}
    assert card.description.encode()
    (root / names[2] / os.fsdecode(b"\xfe.png")).write_bytes(b"no image")
    with pytest.raises(DataError) as failure:
        prepare(root, tmp_path / "cache")
    assert "bird-\\xff/\\xfe.png: cannot be read" in str(failure.value)
    assert str(failure.value).encode()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, r"neither 'digits' nor 'datasets:NAME' nor a folder \(looked for "),
        (lambda root: root.mkdir(), "holds no class folder; images are expected as CLASS/IMAGE in it"),
        (lambda root: [draw(root / "dark", f"{n}.png", n) for n in range(9)], "only class is 'dark'; two classes"),
        (lambda root: (shades(root), (root / "no").mkdir()), r"class folder '.*no' holds no image; allowed endings:"),
        (lambda root: shades(root / "train"), r"class folder '.*train' holds no image.*where splits are given"),
        (lambda root: [shades(root / name) for name in ("train", "test")], "its folders are test, train; where splits"),
        (lambda root: shades(root, images=1), "split is empty"),
    ],
    ids=["no folder", "empty", "one class", "a class without images", "one split", "two splits", "too few"],
)  # fmt: skip
def test_folders_that_cannot_be_used_are_refused(tmp_path, make, message):
    make(tmp_path / "images")
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "images", tmp_path / "cache")


def test_a_class_that_only_the_test_has_is_refused(tmp_path):
    for name in ("train", "validation", "test"):
        shades(tmp_path / "shades" / name, images=3)
    draw(tmp_path / "shades" / "test" / "grey", "1.png", 100)
    with pytest.raises(DataError, match=r"class 'grey' is in test but not in train \(.*1\.png\)"):
        prepare(tmp_path / "shades", tmp_path / "cache")


def test_a_class_whose_only_image_falls_into_another_split_is_refused(tmp_path):
    shades(tmp_path / "shades")
    found = set()
    for shade in range(100, 108):
        draw(tmp_path / "shades" / "grey", "1.png", shade)
        try:
            found.add(len(prepare(tmp_path / "shades", tmp_path / "cache")[1].classes))
        except DataError as error:
            found.add(str(error))
    assert found == {3, "shades: class 'grey' has no image in the training split; each class needs one"}


@pytest.fixture
def stored(tmp_path) -> str:
    """A local data set of datasets, with columns "picture", "kind" (class labels) and "place"."""
    features = datasets.Features(
        picture=datasets.Image(), kind=datasets.ClassLabel(names=["light", "dark"]), place=datasets.Value("string")
    )
    for name, rows in (("train", 20), ("test", 8)):
        noise = np.random.default_rng(rows).integers(0, 50, (rows, 8, 8))
        pictures = [Image.fromarray((200 * (row % 2 == 0) + noise[row]).astype(np.uint8)) for row in range(rows)]
        kinds, places = [row % 2 for row in range(rows)], [("in", "in", "out", "out")[row % 4] for row in range(rows)]
        columns = {"picture": pictures, "kind": kinds, "place": places}
        (tmp_path / "stored").mkdir(exist_ok=True)
        datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "stored" / f"{name}.parquet")
    return f"datasets:{tmp_path / 'stored'}"


def test_a_data_set_of_datasets_is_read_with_its_columns_classes_and_slices(stored, tmp_path):
    columns = {"image_column": "picture", "label_column": "kind"}
    folder, card = prepare(stored, tmp_path / "cache", slice_column="place", **columns)
    assert card.classes == ("dark", "light")
    assert card.rows["test"] == 8 and card.rows["train"] + card.rows["validation"] == 20
    test = split(folder, "test")
    assert torch.equal(test.inputs.float().mean((1, 2, 3)) > 128, test.labels == 1)
    assert torch.bincount(test.slices).tolist() == [4, 4]
    assert split(prepare(stored, tmp_path / "cache", **columns)[0], "test").slices is None
    for wrong, message in (
        ({**columns, "image_column": "img"}, "no column 'img'; .*kind, picture, place"),
        ({**columns, "label_column": "kinds"}, "no column 'kinds'; did you mean 'kind'"),
        ({**columns, "image_column": "place"}, "column 'place' holds no images; columns that do: picture"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(stored, tmp_path / "cache", **wrong)


def test_a_row_without_a_label_or_a_readable_image_is_named(tmp_path):
    good = {"bytes": draw(tmp_path, "good.png", 9).read_bytes(), "path": None}
    rows = {"image": [good, {"bytes": b"none", "path": None}, None] * 9, "label": ["a", "b", "a"] * 9}
    (tmp_path / "stored").mkdir()
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("string"))
    for name in ("train", "validation", "test"):
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "stored" / f"{name}.parquet")
    with pytest.raises(DataError, match="row 2 of train: cannot be read as an image: it is in none of the formats"):
        prepare(f"datasets:{tmp_path / 'stored'}", tmp_path / "cache")
    rows["label"][4] = None
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "stored" / "validation.parquet")
    with pytest.raises(DataError, match=r"row 5 of validation has no 'label' \(None\); every row needs one"):
        prepare(f"datasets:{tmp_path / 'stored'}", tmp_path / "cache")


def test_columns_are_refused_for_a_source_that_has_none(tmp_path):
    with pytest.raises(DataError, match="data option label_column is for a source 'datasets:NAME'"):
        prepare_images({"label_column": "kind"}, KNOBS, tmp_path, print)


def test_images_are_moved_within_reach_and_mirrored_as_the_seed_says():
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(50, 2, 1, 1)

    def of(seed, shift=0.25, flip=True):
        return moved(images, shift, flip, torch.Generator().manual_seed(seed))

    assert torch.equal(of(1), of(1)) and not torch.equal(of(1), of(2))
    assert torch.equal(of(1, 0.0, False), images)
    mirrored = (of(1, 0.0) == images.flip(3)).all(dim=(1, 2, 3))
    assert 10 < mirrored.sum() < 40
    assert torch.equal(of(1, 0.0)[~mirrored], images[~mirrored])
    corners = of(1, 0.25, False)[:, 0, 0, 0]
    assert set(corners.tolist()) == {8 * row + column for row in (0, 1, 2) for column in (0, 1, 2)}
    inside = of(1, 0.25, False)[:, 0, 4, 4].long()
    assert (inside // 8 - 4).abs().max() == 2 and (inside % 8 - 4).abs().max() == 2


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[1, 2], [3]], "image 2 is not rows of equally many numbers"),
        ([["a", "b"]], "image 2 is not rows of equally many numbers"),
        ([1, 2, 3], r"image 2 is of shape 3; allowed: height × width"),
        ([[[1, 2]]], r"image 2 is of shape 1 × 1 × 2"),
        ([[]], r"image 2 is of shape 1 × 0"),
        ([[-1, 256]], "image 2 holds -1 to 256; allowed: numbers from 0 to 255"),
        ([[float("nan")]], "image 2 holds nan to nan"),
    ],
)
def test_images_from_outside_that_are_none_are_refused(image, message):
    with pytest.raises(DataError, match=message):
        arrays_of([[[0]], image], 1, 4)


def test_images_from_outside_may_be_of_any_size_grey_or_coloured():
    images = [[[7] * 5] * 3, [[[7]] * 4] * 4, [[[7, 7, 7]] * 9] * 2, [[[7, 7, 7, 255]] * 2] * 2]
    for channels in (1, 3):
        squares = arrays_of(images, channels, 4)
        assert squares.shape == (4, channels, 4, 4) and (squares == 7).all()
