"""Texts of which single rows cannot be used: named by file and row, or left out and counted."""

from __future__ import annotations

import json

import datasets
import pytest

from experiments.data.labelled_text import load_labelled_text
from experiments.data.text_pairs import load_corpus
from tracker.errors import DataError

GOOD = 60


def pairs(source, cache, notes, **options):
    """The pairs of a source, whatever their split, and what is said of them."""
    corpus = load_corpus({"source": str(source), **options}, cache, notes.append).cut({"deduplicate": True})
    return {pair for split in corpus.splits.values() for pair in split}, corpus.description


def texts(source, cache, notes, **options):
    """The texts of a source with the names of their classes, and what is said of them."""
    corpus = load_labelled_text({"source": str(source), **options}, cache, notes.append)
    found = {
        (text, corpus.classes[label])
        for split in corpus.splits.values()
        for text, label in zip(split.texts, split.labels, strict=True)
    }
    return found, corpus.description


LOADERS = {"pairs": (pairs, ("source", "target")), "texts": (texts, ("text", "label"))}
"""By what is loaded: by which function, and of which columns."""


@pytest.fixture(params=LOADERS)
def loader(request):
    return LOADERS[request.param]


def row(number, columns):
    return dict(zip(columns, (f"good {number}", "ab"[number % 2]), strict=True))


def good(columns):
    return {tuple(row(number, columns).values()) for number in range(GOOD)}


def check(load, source, cache, place, reason, columns, count=1):
    """It is refused with the place and the reason, or left out and counted; the good rows are all there."""
    with pytest.raises(DataError) as refused:
        load(source, cache, [])
    assert place in str(refused.value) and reason in str(refused.value)
    assert str(refused.value).endswith("corrupt = 'skip' leaves such rows out")
    notes = []
    found, description = load(source, cache, notes, corrupt="skip")
    assert found == good(columns)
    assert f"{GOOD} " in description
    assert description.endswith(f"{count} row{'s' * (count > 1)} that cannot be used left out")
    left_out = [note for note in notes if note.startswith("left out: ")]
    assert len(left_out) == count and place in left_out[0] and reason in left_out[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b",a", "' is empty in row 2"),
        (b"some text,", "' is empty in row 2"),
        (b"one", "row 2 (line 3) has 1 field where the header has 2: 'one'"),
        (b"one,two,three", "row 2 (line 3) has 3 fields where the header has 2"),
        (b'"said" he,a', "row 2 (line 3) continues after a closing quote"),
        (b"caf\xe9,a", r"is not utf-8: 'caf\xe9'"),
    ],
)
def test_a_row_of_a_csv_file_that_cannot_be_used_is_named_or_skipped_and_counted(tmp_path, loader, line, reason):
    load, columns = loader
    rows = [",".join(row(number, columns).values()).encode() for number in range(GOOD)]
    path = tmp_path / "texts.csv"
    path.write_bytes(b"\n".join([",".join(columns).encode(), rows[0], line, *rows[1:]]))
    check(load, path, tmp_path / "cache", str(path), reason, columns)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"FIRST": "", "SECOND": "a"}', "' is empty in row 2"),
        (b'{"FIRST": "text"}', "' is empty in row 2"),
        (b'{"FIRST": ["text"], "SECOND": "a"}', "is ['text'] in row 2; allowed: a text, a number"),
        (b'{"FIRST": "text", "SECOND"', "row 2 (line 2) "),
        (b"[" * 100_000, "row 2 (line 2) "),
        (b'"a text"', "row 2 (line 2) is 'a text'; allowed: an object"),
        (b'{"FIRST": "caf\xe9", "SECOND": "a"}', r"row 2, column '"),
        (b'{"FIRST": "x", "FIRST": "y", "SECOND": "a"}', "two of its names are '"),
    ],
)
def test_a_line_of_a_jsonl_file_that_cannot_be_used_is_named_or_skipped_and_counted(tmp_path, loader, line, reason):
    load, columns = loader
    line = line.replace(b"FIRST", columns[0].encode()).replace(b"SECOND", columns[1].encode())
    rows = [json.dumps(row(number, columns)).encode() for number in range(GOOD)]
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b"\n".join([rows[0], line, *rows[1:]]))
    check(load, path, tmp_path / "cache", str(path), reason, columns)


@pytest.mark.parametrize("bad", [[None, "a"], ["text", None], ["", "a"]])
def test_a_row_of_a_data_set_that_cannot_be_used_is_named_or_skipped_and_counted(tmp_path, loader, bad):
    load, columns = loader
    rows = [row(number, columns) for number in range(GOOD)]
    whole = [rows[0], dict(zip(columns, bad, strict=True)), *rows[1:]]
    folder = tmp_path / "texts"
    folder.mkdir()
    datasets.Dataset.from_list(whole).to_parquet(folder / "train.parquet")
    # A bad row keeps its number, but not its split: those that training leaves are cut by a hash of the number.
    with pytest.raises(DataError, match=r"split \w+: column '\w+' is empty in row \d+; .*corrupt = 'skip'"):
        load(f"datasets:{folder}", tmp_path / "cache", [])
    notes = []
    found, description = load(f"datasets:{folder}", tmp_path / "cache", notes, corrupt="skip")
    assert found == good(columns) and description.endswith("1 row that cannot be used left out")


def test_rows_of_a_folder_of_files_are_named_by_their_file(tmp_path, loader):
    load, columns = loader
    folder = tmp_path / "texts"
    folder.mkdir()
    rows = [json.dumps(row(number, columns)) for number in range(GOOD)]
    for split, lines in (("train", rows[:40]), ("validation", rows[40:50]), ("test", ["{", *rows[50:]])):
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    check(load, f"datasets:{folder}", tmp_path / "cache", str(folder / "test.jsonl"), "row 1 (line 1)", columns)


def test_a_split_that_is_none_makes_a_bad_row(tmp_path, loader):
    load, columns = loader
    splits = ["train", "validation", "test"]
    rows = [{**row(number, columns), "part": splits[number % 3]} for number in range(GOOD)]
    rows.insert(4, {**row(99, columns), "part": "dev"})
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    def of_split(*given, **options):
        return load(*given, split_column="part", **options)

    check(of_split, path, tmp_path / "cache", str(path), "column 'part' holds 'dev' in row 5; allowed", columns)


def test_rows_of_a_class_that_training_has_no_text_of_are_bad(tmp_path):
    columns = ("text", "label")
    splits = ["train", "validation", "test"]
    rows = [{**row(number, columns), "part": splits[number % 3]} for number in range(GOOD)]
    rows.insert(2, {"text": "good 99", "label": "<b>rare</b> 🎈", "part": "test"})
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    def of_split(*given, **options):
        return texts(*given, split_column="part", **options)

    reason = "row 3: its class '<b>rare</b> 🎈' has no text in the training split"
    check(of_split, path, tmp_path / "cache", str(path), reason, columns)


def test_several_bad_rows_are_counted_each_once_and_those_of_a_long_list_are_not_all_said(tmp_path, loader):
    load, columns = loader
    rows = [",".join(row(number, columns).values()) for number in range(GOOD)]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join([",".join(columns), *[","] * 150, *rows, "x"]))
    notes = []
    found, description = load(path, tmp_path / "cache", notes, corrupt="skip")
    assert found == good(columns) and description.endswith("151 rows that cannot be used left out")
    assert len(notes) == 101 and notes[-1] == "left out: 51 more"


@pytest.mark.parametrize(
    "content",
    [
        'a,x\n"b,y\nc,z\n',
        'a,x\n"b,y\nc,z\nd,"e, f"\ng,h\n',
        'a,x\n"b,y\nc,z\na screen of 5", thin,w\ng,h\n',  # one row, with a field too many
        'a,x\n"b"c,"d\ne",y\ng,h\n',
    ],
)
def test_a_quote_that_swallows_the_rows_after_it_is_refused_whatever_is_skipped(tmp_path, loader, content):
    load, columns = loader
    path = tmp_path / "texts.csv"
    path.write_text(",".join(columns) + "\n" + content)
    with pytest.raises(DataError, match=r"row 2 \(line 3\) .*quote"):
        load(path, tmp_path / "cache", [], corrupt="skip")


def test_a_file_without_a_row_that_can_be_used_and_a_choice_that_is_none_are_refused(tmp_path, loader):
    load, columns = loader
    path = tmp_path / "texts.csv"
    path.write_text("\n".join([",".join(columns), "a", "b"]))
    with pytest.raises(DataError, match=r"split is empty|no rows"):
        load(path, tmp_path / "cache", [], corrupt="skip")
    path = tmp_path / "texts.jsonl"
    path.write_text('"a text"\n' * 3)
    with pytest.raises(DataError, match=r"none of its 3 rows can be used, the first: .*row 1 \(line 1\) is 'a text'"):
        load(path, tmp_path / "cache", [], corrupt="skip")
    with pytest.raises(DataError, match=r"data option 'corrupt': .*'ignore'.*fail, skip"):
        load(path, tmp_path / "cache", [], corrupt="ignore")
