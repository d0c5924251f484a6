from __future__ import annotations

import csv
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.data.source_text import TOP_LEVEL, load_source_text, split_by_file
from experiments.data.token_streams import (
    load_stream,
    load_stream_card,
    load_tokens,
    prepare_streams,
    spread_texts,
    text_coder,
)
from tracker.errors import DataError, WorkloadError

CPU = torch.device("cpu")
SPLITS = ("train", "validation", "test")
SETTINGS = {"deduplicate": True, "vocabulary_size": 0}


def quiet(message):
    pass


def load(source, cache, **options):
    return load_source_text({"source": str(source), **options}, cache, quiet)


def names(text, split):
    return {document.name for document in text.splits[split]}


@pytest.fixture
def folder(tmp_path):
    """Forty short files in two folders and at the top."""
    root = tmp_path / "notes"
    for number in range(40):
        place = root / ("red", "blue", "")[number % 3] / f"{number}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"Note {number}: naïve café № {number * 7}.\n" * (number + 3))
    return root


def test_the_standard_library_is_split_by_file_without_its_tests(tmp_path):
    text = load_source_text({}, tmp_path, quiet)
    files = [names(text, split) for split in SPLITS]
    assert not files[0] & files[1] and not files[0] & files[2] and not files[1] & files[2]
    everything = set.union(*files)
    assert {"asyncio/base_events.py", "textwrap.py"} <= everything
    assert not [name for name in everything if {"test", "tests", "site-packages", "idle_test"} & set(Path(name).parts)]
    shares = [len(each) / len(everything) for each in files]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.01)
    one = next(document for document in text.splits["test"])
    assert one.text == (Path(sysconfig.get_paths()["stdlib"]) / one.name).read_text(encoding="utf-8-sig")


def test_the_same_files_give_the_same_order_and_fingerprint_and_another_text_another_one(folder, tmp_path):
    before = load(folder, tmp_path)
    assert load(folder, tmp_path) == before
    (folder / "red" / "0.txt").write_text("Note 0 has changed.\n")
    assert load(folder, tmp_path).fingerprint != before.fingerprint


def test_slices_are_the_top_folders(folder, tmp_path):
    text = load(folder, tmp_path)
    assert {document.slice for of in text.splits.values() for document in of} == {"red", "blue", TOP_LEVEL}


def test_a_files_split_hardly_depends_on_the_other_files():
    before = split_by_file(f"{number}.txt" for number in range(100))
    after = split_by_file(f"{number}.txt" for number in range(101))
    assert sum(before[file] != after[file] for file in before) <= 3


def test_a_pattern_chooses_the_files_of_a_folder(folder, tmp_path):
    for number in range(6):
        (folder / f"{number}.rst").write_text(f"Title {number}\n")
    text = load(folder, tmp_path, pattern="*.rst")
    assert sum(map(len, text.splits.values())) == 6


def test_a_single_file_is_cut_at_ends_of_lines_into_three_stretches_that_are_all_of_it(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(f"Line {number} of the book.\n" for number in range(1000)))
    text = load(path, tmp_path)
    parts = [text.splits[split][0].text for split in SPLITS]
    assert "".join(parts) == path.read_text()
    assert all(part.endswith("\n") for part in parts)
    assert [len(part) / len(path.read_text()) for part in parts] == pytest.approx([0.70, 0.15, 0.15], abs=0.01)


def test_a_data_set_of_the_hub_gives_its_text_column_by_its_own_splits(tmp_path):
    root = tmp_path / "reviews"
    root.mkdir()
    for split in SPLITS:
        with (root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["review", "stars"], *([f"{split} review {n}", n] for n in range(5))])
    text = load(f"datasets:{root}", tmp_path / "cache", text_column="review")
    assert {document.text for document in text.splits["test"]} == {f"test review {n}" for n in range(5)}
    with pytest.raises(DataError, match=r"no column 'text'; .*allowed: review, stars"):
        load(f"datasets:{root}", tmp_path / "cache")
    (root / "test.csv").unlink()
    (root / "test.jsonl").write_text('{"review": ["a list"]}')
    with pytest.raises(DataError, match=r"test\.jsonl: column 'review' is \['a list'\] in row 1; allowed: a text"):
        load(f"datasets:{root}", tmp_path / "cache", text_column="review")


def test_of_equal_texts_one_is_kept_and_training_comes_first(folder, tmp_path):
    text = load(folder, tmp_path)
    for split, to in (("train", "train"), ("train", "test")):
        first = text.splits[split][0]
        (folder / text.splits[to][-1].name).write_text(first.text)
    copied = load(folder, tmp_path)
    kept = copied.without_duplicates()
    texts = [document.text for of in kept.splits.values() for document in of]
    assert len(texts) == len(set(texts)) == 38
    assert len(kept.splits["train"]) == len(copied.splits["train"]) - 1
    assert len(kept.splits["test"]) == len(copied.splits["test"]) - 1


@pytest.mark.parametrize("vocabulary_size", [0, 400])
def test_a_stream_is_the_text_with_separators_and_nothing_else(folder, tmp_path, vocabulary_size):
    settings = {"deduplicate": True, "vocabulary_size": vocabulary_size}
    prepared = prepare_streams({"source": str(folder)}, settings, tmp_path / "cache", quiet)
    card, text = load_stream_card(prepared), load(folder, tmp_path)
    _, decode = text_coder(prepared, card.vocabulary_size)
    for split in SPLITS:
        stream = load_stream(prepared, split, CPU)
        whole = "".join(f"{document.text}\0" for document in text.splits[split])
        assert decode(stream.tokens.tolist()) == f"\0{whole}"
        assert stream.size_bytes == len(whole.encode()) == card.split_bytes[split]
        sizes = dict.fromkeys(card.slices, 0)
        for index, size in zip(stream.slices, stream.sizes, strict=True):
            sizes[card.slices[index]] += size
        for name in card.slices:
            documents = [document for document in text.splits[split] if document.slice == name]
            assert sizes[name] == sum(len(document.text.encode()) + 1 for document in documents)
    if vocabulary_size:
        assert 256 < card.vocabulary_size <= 400
        assert len(load_tokens(prepared, "train", CPU)) < len(load_tokens(prepared, "train", CPU, as_bytes=True)) / 2


@pytest.mark.parametrize("vocabulary_size", [0, 400])
def test_a_smaller_share_is_the_beginning_of_a_larger_one_and_no_longer_than_asked_for(
    folder, tmp_path, vocabulary_size
):
    settings = {"deduplicate": True, "vocabulary_size": vocabulary_size}
    prepared = prepare_streams({"source": str(folder)}, settings, tmp_path / "cache", quiet)
    whole = load_tokens(prepared, "train", CPU)
    half = load_tokens(prepared, "train", CPU, share=0.5)
    assert torch.equal(half, whole[: len(half)])
    assert 0.4 < len(half) / len(whole) < 0.6
    few = load_stream(prepared, "train", CPU, first_bytes=100)
    assert 90 <= few.size_bytes <= 100
    assert len(few.slices) == len(few.sizes) == len(few.tokens) - 1


def test_a_text_longer_than_a_piece_loses_nothing_in_tokens(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(f"Line {number}, and\tso on…\n\n  " for number in range(8_000)))
    prepared = prepare_streams({"source": str(path)}, {**SETTINGS, "vocabulary_size": 300}, tmp_path, quiet)
    _, decode = text_coder(prepared, 300)
    written = "".join(decode(load_tokens(prepared, split, CPU)[1:-1].tolist()) for split in SPLITS)
    assert written == path.read_text()


def test_pieces_of_a_split_are_spread_over_it_and_begin_where_lines_do(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(f"Line {number:05} of the book.\n" for number in range(4000)))
    prepared = prepare_streams({"source": str(path)}, SETTINGS, tmp_path, quiet)
    pieces = spread_texts(prepared, "test", 10, 40)
    assert len(pieces) == 10
    assert all(piece.startswith("Line 0") for piece in pieces)
    numbers = [int(piece[5:10]) for piece in pieces]
    assert np.diff(numbers) == pytest.approx(60, abs=5), "600 lines in 10 parts"


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda path: path / "nowhere", {}, r"'.*nowhere' was not found \(looked for .*'standard_library'"),
        (lambda path: written(path, b"text"), {"pattern": "*.txt"}, "'pattern' is '\\*.txt', but .* not a folder"),
        (lambda path: written(path, b"text"), {"text_column": "a"}, "'text_column' is 'a', but .* not 'datasets:NAME'"),
        (lambda path: written(path, b"na\xefve"), {}, "text.txt: byte 0xef at position 2 is not UTF-8 text"),
        (lambda path: written(path, b"no\0ne"), {}, "text.txt: a NUL at position 2"),
        (lambda path: written(path, b" \n"), {}, "the train split has no text"),
        (lambda path: written(path, b"one line\n"), {}, "the validation split has no text"),
        (lambda path: path, {}, "holds 0 files of pattern '\\*.txt \\*.md \\*.py'; at least 5"),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_used_are_reported_in_a_line(tmp_path, make, options, message):
    with pytest.raises(DataError, match=message) as problem:
        load(make(tmp_path), tmp_path, **options)
    assert len(str(problem.value).splitlines()) == 1


def written(path, content):
    (path / "text.txt").write_bytes(content)
    return path / "text.txt"


def test_a_split_of_nothing_but_copies_is_refused(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("The same.\n")
    with pytest.raises(DataError, match="the validation split has no text"):
        load(tmp_path, tmp_path).without_duplicates()


def test_a_vocabulary_smaller_than_the_bytes_is_refused(folder, tmp_path):
    with pytest.raises(WorkloadError, match="vocabulary_size 100: allowed are 0, for bytes, and more than 256"):
        prepare_streams({"source": str(folder)}, {**SETTINGS, "vocabulary_size": 100}, tmp_path, quiet)
