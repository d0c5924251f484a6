from __future__ import annotations

import json

import pytest

from experiments.data.labelled_text import load_labelled_text
from tracker.errors import DataError


def write_csv(folder, *lines):
    path = folder / "texts.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def load(source, cache, **options):
    return load_labelled_text({"source": str(source), **options}, cache, print)


def many(count=60):
    return [f"text number {number},{'ab'[number % 2]}" for number in range(count)]


def test_a_csv_file_is_split_by_its_texts_so_that_equal_ones_stay_together(tmp_path):
    corpus = load(write_csv(tmp_path, "text,label", *many(), *many()), tmp_path)
    assert corpus.classes == ("a", "b")
    assert sum(len(split) for split in corpus.splits.values()) == 120
    texts = [set(split.texts) for split in corpus.splits.values()]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]


def test_a_jsonl_file_with_columns_of_other_names_and_its_own_split(tmp_path):
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"review": f"r{n}", "stars": n % 2, "part": part} for part in ("train", "validation", "test") for n in range(4)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    corpus = load(path, tmp_path, text_column="review", label_column="stars", split_column="part")
    assert {split: len(of) for split, of in corpus.splits.items()} == {"train": 4, "validation": 4, "test": 4}
    assert corpus.classes == ("0", "1")


def test_the_fingerprint_follows_the_file(tmp_path):
    before = load(write_csv(tmp_path, "text,label", *many()), tmp_path).fingerprint
    same = load(write_csv(tmp_path, "text,label", *many()), tmp_path).fingerprint
    after = load(write_csv(tmp_path, "text,label", *many(61)), tmp_path).fingerprint
    assert before == same != after


def test_the_words_none_and_na_are_texts_like_others(tmp_path):
    corpus = load(write_csv(tmp_path, "text,label", "None,a", "NA,b", *many()), tmp_path)
    assert {"None", "NA"} <= {text for split in corpus.splits.values() for text in split.texts}


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["txt,label", *many()], {}, "no column 'text'; did you mean 'txt'"),
        (["text,class", *many()], {}, "no column 'label'; .*allowed: class, text"),
        (["text,label", *many()], {"split_column": "split"}, "no column 'split'"),
        (["text,label", "one,a", "two,a"], {}, "every label is 'a'; two classes are needed"),
        (["text,label"], {}, "no rows|cannot be read"),
        (["text,label", "one,a", "two,b"], {}, "split is empty"),
        (["text,label", "one,a", ",b", " ,b"], {}, "column 'text' is empty in row 2 and 1 more"),
        (["text,label", "one,a", "two,"], {}, "column 'label' is empty in row 2"),
        (["text,label,split", "x,a,train", "y,b,dev"], {"split_column": "split"}, "'dev' in row 2; .*allowed: test"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_reported_in_a_line(tmp_path, lines, options, message):
    with pytest.raises(DataError, match=message) as problem:
        load(write_csv(tmp_path, *lines), tmp_path, **options)
    assert len(str(problem.value).splitlines()) <= 2


def test_a_missing_file_is_reported_with_where_it_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"'.*nowhere\.csv' was not found"):
        load(tmp_path / "nowhere.csv", tmp_path)


def test_an_unknown_kind_of_file_is_reported_with_those_that_can_be_read(tmp_path):
    with pytest.raises(DataError, match=r"allowed endings: \.csv, \.tsv, \.json, \.jsonl, \.ndjson"):
        load(tmp_path / "texts.xlsx", tmp_path)


def test_a_broken_file_is_reported_with_the_reason(tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"text": "a"\n{{{')
    with pytest.raises(DataError, match="cannot be read as jsonl"):
        load(path, tmp_path)


def test_an_empty_jsonl_text_is_reported(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "one", "label": "a"}\n{"text": null, "label": "b"}\n')
    with pytest.raises(DataError, match="column 'text' is empty in row 2"):
        load(path, tmp_path)


def test_a_data_set_by_name_keeps_its_splits_and_the_names_of_its_classes(tmp_path):
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split, rows in (("train", 40), ("test", 10)):
        lines = [f"{split} text number {n},{'good' if n % 2 else 'bad'}" for n in range(rows)]
        (folder / f"{split}.csv").write_text("\n".join(["review,verdict", *lines]))
    columns = {"text_column": "review", "label_column": "verdict"}
    corpus = load(f"datasets:{folder}", tmp_path / "cache", **columns)
    assert corpus.classes == ("bad", "good")
    assert {text.split()[0] for text in corpus.splits["test"].texts} == {"test"}
    assert len(corpus.splits["test"]) == 10
    assert len(corpus.splits["train"]) + len(corpus.splits["validation"]) == 40, "15 % of train are cut for validation"
    with pytest.raises(DataError, match="no column 'text'; allowed: review, verdict"):
        load(f"datasets:{folder}", tmp_path / "cache")
