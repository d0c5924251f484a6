from __future__ import annotations

import json
import random
from pathlib import Path
from unittest import mock

import pytest

from experiments.data import csv_file
from experiments.data.hub_tables import hub_tables
from experiments.data.labelled_text import load_labelled_text
from experiments.data.table_file import read_table
from experiments.data.table_reading import Reading
from experiments.data.text_pairs import load_corpus
from experiments.workloads.tabular_classifier import TabularClassifier
from tracker.errors import DataError

NAMED = ("text", "label")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, **options):
    table = read_table(path, Reading.of(options, NAMED), "docstrings")
    return {name: list(texts) for name, texts in table.columns.items()}


def refusal(path, **options) -> str:
    with pytest.raises(DataError) as problem:
        read(path, **options)
    assert len(str(problem.value).splitlines()) == 1
    return str(problem.value)


def classes_of(labels, ending, folder, raw_json=None):
    """The classes that the text classifier's corpus has of these labels, each with some texts."""
    path = folder / f"table{ending}"
    rows = [(f"text {number} {label}", label) for label in labels for number in range(40)]
    if ending == ".csv":
        write(path, "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    elif ending == ".tsv":
        write(path, "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    else:
        objects = [
            f'{{"text": {json.dumps(text)}, "label": {(raw_json or json.dumps)(label)}}}' for text, label in rows
        ]
        write(path, "\n".join(objects) if ending == ".jsonl" else f"[{', '.join(objects)}]")
    corpus = load_labelled_text({"source": str(path)}, folder / "cache", print)
    card = TabularClassifier().prepare({"source": str(path), "drop_columns": []}, {}, folder / "cache", print)
    assert card.classes == len(corpus.classes), "text and tabular workloads have the same classes"
    assert all(repr(label) in card.description for label in corpus.classes), "class names are shown"
    return set(corpus.classes)


@pytest.mark.parametrize(
    "labels", [("1.1", "1.10", "1.2"), ("01", "1", "02"), ("1e3", "1000"), ("true", "TRUE", "false")]
)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".jsonl"])
def test_labels_are_what_the_file_says_letter_by_letter(tmp_path, labels, ending):
    assert classes_of(labels, ending, tmp_path) == set(labels)


def test_numbers_and_truth_values_of_json_are_as_they_are_written(tmp_path):
    assert classes_of(("1.1", "1.10", "1e3", "1000", "true", "false"), ".jsonl", tmp_path, raw_json=str) == {
        *("1.1", "1.10", "1e3", "1000", "true", "false")
    }


def test_null_and_a_missing_name_are_empty_and_unused_names_may_hold_anything(tmp_path):
    path = write(
        tmp_path / "t.jsonl", '{"text": null, "label": 1, "more": [1, {"a": 2}]}\n\n{"label": "NA"}\n{"text": "x"}'
    )
    assert read(path) == {"text": ["", "", "x"], "label": ["1", "NA", ""]}


def test_a_column_that_nobody_names_may_change_its_type_and_hold_bytes_of_another_encoding(tmp_path):
    rows = [b"%d,text %d,a" % (number, number) for number in range(12_000)]
    rows[11_000], rows[11_500] = b"n/a,caught,b", b"caf\xe9,coded,n/a"
    found = read(write(tmp_path / "t.csv", b"\n".join([b"id,text,label", *rows])))
    assert len(found["text"]) == 12_000
    assert found["text"][11_000] == "caught" and found["label"][11_500] == "n/a"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", [".csv", ".CSV", ".tsv"])
def test_what_a_file_tells_by_itself_needs_no_option(tmp_path, delimiter, encoding, ending):
    lines = [["id", " text ", "label"], ["1", "größer", "a"], ["2", '"x, y; z"', "b"]]
    text = "\n".join(delimiter.join(line) for line in lines)
    path = write(tmp_path / f"t{ending}", text.encode(encoding))
    table = read_table(path, Reading(NAMED), "docstrings")
    assert table.columns == {"text": ["größer", "x, y; z"], "label": ["a", "b"]}
    assert any("delimiter" in each for each in table.remarks) == (delimiter != ",")
    assert any("utf-16" in each for each in table.remarks) == (encoding == "utf-16")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "utf-16-be"])
def test_other_encodings_are_refused_with_the_remedy_and_read_where_they_are_named(tmp_path, encoding):
    path = write(tmp_path / "t.csv", "text,label\nplain,a\ncafé,b\n".encode(encoding))
    message = refusal(path)
    assert str(path) in message and "encoding = " in message
    if "utf" not in encoding:
        assert r"row 2, column 'text', is not utf-8: 'caf\xe9'" in message
    assert read(path, encoding=encoding) == {"text": ["plain", "café"], "label": ["a", "b"]}


def test_a_jsonl_file_of_another_encoding_too(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"text": "a", "label": 1}\n{"text": "café", "label": 2}\n'.encode("cp1252"))
    assert r"row 2, column 'text', is not utf-8: 'caf\xe9'" in refusal(path)
    assert read(path, encoding="cp1252")["text"] == ["a", "café"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"encoding": "cp125"},
            "encoding is 'cp125'; did you mean 'cp125.'.*allowed: an encoding of Python's, such as",
        ),
        ({"encoding": "base64"}, "encoding is 'base64'"),
        ({"encoding": 3}, "encoding is 3"),
        ({"delimiter": ";;"}, "delimiter is ';;'; allowed: one character"),
        ({"delimiter": '"'}, "delimiter is '\"'; allowed"),
        ({"delimiter": "\n"}, r"delimiter is '\\n'; allowed"),
        ({"encoding": "cp1252"}, "the file begins with the mark of utf-8; leave encoding out"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, message):
    path = write(tmp_path / "t.csv", "text,label\na,b\n".encode("utf-8-sig"))
    with pytest.raises(DataError, match=message):
        read(path, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('text,label\na,x\n"b,y\nc,z\n', "row 2 (line 3) opens a quote that nothing closes: '\"b,y'"),
        ('text,label\na,x\n"b,y\nc,z\nd,"e, f"\n', "row 2 (line 3) continues after a closing quote"),
        ('text,label\na,x\n"said" he,y\n', "row 2 (line 3) continues after a closing quote: '\"said\" he,y'"),
        ('text,label\na,x\nb,y\nc,"x\nd,y\ne,x"\n' + "f,y\ng,x\n" * 3, "row 3 holds a quoted value of 3 lines"),
        ('text,label\na,x\n\nb,"y', "row 2 (line 4) opens a quote that nothing closes"),
        ("label,text\na,hello\nb,Dear Sir, how are you\n", "row 2 (line 3) has 3 fields where the header has 2"),
        ("text,label\na,x\nb\n", "row 2 (line 3) has 1 field where the header has 2: 'b'; every row needs a value"),
        ("text,label,text\na,x,b\n", "two columns are called 'text'"),
        ("a^b\n1^2\n", "its first line is 'a^b'; name the sign between its columns"),
        ("", "it is empty"),
        ('"text,label\na,b\n', "its header opens a quote that nothing closes"),
    ],
)  # fmt: skip
def test_rows_are_never_swallowed_or_cut_but_refused_with_row_and_remedy(tmp_path, content, message):
    path = write(tmp_path / "t.csv", content)
    assert message in refusal(path)
    assert str(path) in refusal(path)


def test_values_of_several_lines_are_read_whole_and_said(tmp_path):
    text = 'text,label\n"Dear Sir,\r\n\r\nhow are you?\nYours, x",a\n"one, ""two""\nthree",b\nlast,a\n'
    table = read_table(write(tmp_path / "t.csv", text), Reading(NAMED), "docstrings")
    assert table.columns["text"] == ["Dear Sir,\r\n\r\nhow are you?\nYours, x", 'one, "two"\nthree', "last"]
    assert table.remarks == ("2 rows span several lines",)


def test_values_of_several_lines_are_read_whole_in_a_long_file_too(tmp_path):
    texts = [f"text {number}\nits second,line {number}" if number % 3 else f"text {number}" for number in range(9000)]
    rows = "".join(f'{number},"{text}",{number % 2}\n' for number, text in enumerate(texts))
    table = read_table(write(tmp_path / "t.csv", "id,text,label\n" + rows), Reading(NAMED), "docstrings")
    assert table.columns["text"] == texts
    assert table.remarks == ("6,000 rows span several lines",)


def test_blank_lines_and_columns_of_the_same_name_that_nobody_uses_do_not_matter(tmp_path):
    path = write(tmp_path / "t.csv", "\n\nid,text,label,id\r\n1,a,x,1\r\n\r\n   \n2,b,y,2\n\n\n")
    assert read(path) == {"text": ["a", "b"], "label": ["x", "y"]}


def test_a_text_may_be_longer_than_any_block(tmp_path):
    long = "word, " * 2_000_000
    assert read(write(tmp_path / "t.csv", f'text,label\n"{long}",a\nb,c\n'))["text"] == [long, "b"]


@pytest.mark.parametrize("seed", range(3))
def test_the_fast_way_and_the_csv_module_read_the_same(tmp_path, seed):
    chance, path = random.Random(seed), tmp_path / "t.csv"
    cells = ["a", '"b"', '"c ""d"" e"', "", "é", '5" x', '"x,y"', '"l\nm"', '"', '""""', ' "s"', "z", "z", "z"]
    fast = 0
    for _ in range(400):
        rows = [",".join(chance.choices(cells, k=2)) for _ in range(chance.randint(1, 4))]
        write(path, "text,label\n" + "".join(row + chance.choice(["\n", "\r\n", "\n\n"]) for row in rows))
        found = []
        for off in (False, True):
            with mock.patch.object(csv_file, "read_plain", return_value=None) if off else mock.MagicMock():
                try:
                    found.append(read(path))
                except DataError as error:
                    found.append(str(error))
        assert found[0] == found[1], path.read_text()
        fast += isinstance(found[0], dict)
    assert fast > 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": 1}\n{"text": \n', "row 2 (line 2)"),
        ('[{"text": "a"}, 3]', "row 2 is '3'; allowed: an object"),
        ('{"text": ["a"], "label": 1}\n', "column 'text' is ['a'] in row 1; allowed: a text"),
        ('{"txt": "a", "label": 1}\n', "no column 'text'; did you mean 'txt'"),
        ('{"text": "a", "label": 1, "label": 2}\n', "two of its names are 'label'"),
        ("", "no column 'text'; it has no rows"),
    ],
)
def test_json_that_cannot_be_used_is_refused_with_its_row(tmp_path, content, message):
    assert message in refusal(write(tmp_path / "t.jsonl", content))


def test_a_delimiter_is_not_for_json(tmp_path):
    assert "it is for csv and tsv files" in refusal(write(tmp_path / "t.json", "[]"), delimiter=";")


def test_a_folder_of_files_is_read_by_the_same_rules(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    labels = ("None", "NA", "1.1", "1.10", "01", "1", "true", "TRUE")
    lines = [f"{part} {number};{label}" for part in "ab" for number, label in enumerate(labels * 5)]
    write(folder / "train.csv", "\n".join(["text;label", *lines]))
    write(folder / "test.CSV", "\n".join(["text;label", *lines]))
    write(folder / "README.md", "# about")
    corpus = load_labelled_text({"source": f"datasets:{folder}"}, tmp_path / "cache", print)
    assert set(corpus.classes) == set(labels)
    assert len(corpus.splits["test"]) == len(lines)
    assert "delimiter ';'" in corpus.description
    with pytest.raises(DataError, match="its first line is 'text;label'; name the sign"):
        load_labelled_text({"source": f"datasets:{folder}", "delimiter": ","}, tmp_path / "cache", print)
    write(folder / "test.CSV", "text;label\na;b;c\n")
    with pytest.raises(DataError, match=r"test\.CSV: row 1 \(line 2\) has 3 fields"):
        load_labelled_text({"source": f"datasets:{folder}"}, tmp_path / "cache", print)


def test_a_folder_of_csv_and_jsonl_files_is_one_data_set_and_its_fingerprint_follows_content(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.csv", "text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(60)))
    write(folder / "test.jsonl", '{"text": "x", "label": 1.10}\n')
    tables, fingerprint = hub_tables(f"datasets:{folder}", tmp_path / "cache", Reading(NAMED))
    assert tables["test"].columns == {"text": ["x"], "label": ["1.10"]}
    assert len(tables["train"]) + len(tables["validation"]) == 60
    write(folder / "test.jsonl", '{"text": "x", "label": 1.1}\n')
    assert hub_tables(f"datasets:{folder}", tmp_path / "cache", Reading(NAMED))[1] != fingerprint


def test_files_of_a_folder_that_differ_in_columns_or_are_compressed_are_refused(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.csv", "text,label\na,b\n")
    write(folder / "test.csv", "text,label,more\na,b,c\n")
    with pytest.raises(DataError, match="only one of them has 'more'"):
        hub_tables(f"datasets:{folder}", tmp_path / "cache", Reading(NAMED, others=True))
    write(folder / "test.csv.gz", b"")
    with pytest.raises(DataError, match=r"'test\.csv\.gz' is compressed; unpack it"):
        hub_tables(f"datasets:{folder}", tmp_path / "cache", Reading(NAMED))


def test_pairs_are_read_by_the_same_rules(tmp_path):
    path = write(tmp_path / "p.tsv", "source\ttarget\n" + "".join(f"{n}.10\t0{n}\n" for n in range(60)))
    pairs = [pair for of in load_corpus({"source": str(path)}, tmp_path, print).splits.values() for pair in of]
    assert sorted(pairs) == sorted((f"{n}.10", f"0{n}") for n in range(60))


def test_a_table_of_semicolons_and_cp1252_with_a_broken_column_that_is_dropped(tmp_path):
    rows = [f"{n};{'größer' if n % 2 else 'kleiner'};{n % 3};x" for n in range(60)]
    path = write(tmp_path / "t.csv", "\n".join(["zahl;größe;label;ort", *rows]).encode("cp1252"))
    with pytest.raises(DataError, match=r"the header is not utf-8: 'gr\\xf6\\xdfe'; name the encoding"):
        TabularClassifier().prepare({"source": str(path)}, {}, tmp_path, print)
    data = {"source": str(path), "encoding": "cp1252", "drop_columns": ["ort"]}
    card = TabularClassifier().prepare(data, {}, tmp_path, print)
    assert "1 of numbers ('zahl'), 1 of categories ('größe'); encoding cp1252; delimiter ';'" in card.description
    assert "3 classes: '0', '1', '2'" in card.description
