from __future__ import annotations

import json

import datasets
import pytest
import torch

from experiments.data.pair_arrays import (
    BEGIN,
    END,
    SPECIAL_TOKENS,
    load_pair_card,
    load_pairs,
    load_vocabulary,
    prepare_pairs,
    written,
)
from experiments.data.text_pairs import PairCorpus, learn_vocabulary, load_corpus, tokenizer_of, write_pairs
from experiments.data.token_arrays import PADDING, UNKNOWN
from tracker.errors import DataError

CPU = torch.device("cpu")
SETTINGS = {"vocabulary_size": 200, "deduplicate": True, "source_length": 16, "target_length": 16}
SENTENCES = [
    "fit_transform(X, getHTTPServer=None) -> DataFrame2",
    "Grüße aus Köln, wie geht's?",
    "你好吗 我很好",
    "हिन्दी में लिखा",
    "  white \n space ",
]


def write_csv(folder, *lines):
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def many(count=60, first=0):
    return [f"source {number},target {number}" for number in range(first, first + count)]


def load(path, cache, **options):
    return load_corpus({"source": str(path), **options}, cache, print)


def a_corpus(train, validation=(("v", "v"),), test=(("t", "t"),)):
    return PairCorpus("made", "0", {"train": train, "validation": validation, "test": test}, "made for a test")


def test_a_csv_file_is_split_by_its_sources_so_that_equal_ones_stay_together(tmp_path):
    lines = [*many(), *(line.replace("target", "other") for line in many())]
    corpus = load(write_csv(tmp_path, "source,target", *lines), tmp_path)
    assert sum(len(pairs) for pairs in corpus.splits.values()) == 120
    sources = [{source for source, _ in pairs} for pairs in corpus.splits.values()]
    assert all(sources)
    assert not sources[0] & sources[1] and not sources[0] & sources[2] and not sources[1] & sources[2]


def test_a_jsonl_file_with_nested_columns_and_its_own_split(tmp_path):
    rows = [
        {"translation": {"de": f"eins {n}", "en": f"one {n}"}, "part": part}
        for part in ("train", "validation", "test")
        for n in range(3)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    options = {"source_column": "translation.de", "target_column": "translation.en", "split_column": "part"}
    corpus = load(path, tmp_path, **options)
    for split in ("train", "validation", "test"):
        assert sorted(corpus.splits[split]) == [(f"eins {n}", f"one {n}") for n in range(3)]


def test_a_data_set_of_translations_is_read_by_datasets_from_a_folder(tmp_path):
    made = datasets.Dataset.from_list([{"translation": {"fr": f"un {n}", "en": f"one  {n}"}} for n in range(50)])
    (tmp_path / "books").mkdir()
    made.to_parquet(tmp_path / "books" / "train.parquet")
    data = {"source_column": "translation.fr", "target_column": "translation.en"}
    corpus = load(f"datasets:{tmp_path / 'books'}", tmp_path / "cache", **data)
    assert sorted(pair for pairs in corpus.splits.values() for pair in pairs) == sorted(
        (f"un {n}", f"one {n}") for n in range(50)
    )
    turned = {"source_column": "translation.en", "target_column": "translation.fr"}
    assert load(f"datasets:{tmp_path / 'books'}", tmp_path / "cache", **turned).fingerprint != corpus.fingerprint


def test_the_fingerprint_follows_the_file_and_the_columns(tmp_path):
    before = load(write_csv(tmp_path, "source,target", *many()), tmp_path).fingerprint
    assert load(write_csv(tmp_path, "source,target", *many()), tmp_path).fingerprint == before
    turned = load(tmp_path / "pairs.csv", tmp_path, source_column="target", target_column="source")
    after = load(write_csv(tmp_path, "source,target", *many(61)), tmp_path)
    assert len({before, turned.fingerprint, after.fingerprint}) == 3


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["sauce,target", *many()], {}, "no column 'source'; did you mean 'sauce'"),
        (["source,text", *many()], {}, "no column 'target'; .*allowed: source, text"),
        (["source,target", *many()], {"split_column": "split"}, "no column 'split'"),
        (["source,target", "one,a", ",b", " ,c"], {}, "column 'source' is empty in row 2 and 1 more"),
        (["source,target", "one,a", "two,"], {}, "column 'target' is empty in row 2"),
        (["source,target,split", "x,a,train", "y,b,dev"], {"split_column": "split"}, "'dev' in row 2; .*allowed: test"),
        (["source,target", "one,a"], {}, "split is empty .*; each split needs a pair"),
        (["source,target"], {}, "split is empty|cannot be read"),
        (["source,target", *many()], {"distribution": "x"}, "option distribution is not for source .*pairs.csv"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_reported_in_a_line(tmp_path, lines, options, message):
    with pytest.raises(DataError, match=message) as problem:
        load(write_csv(tmp_path, *lines), tmp_path, **options).cut(SETTINGS)
    assert len(str(problem.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "nowhere.csv"}, "'nowhere.csv' was not found"),
        (
            {"source": "pairs.xlsx"},
            "neither 'signatures' nor a file; allowed endings: .csv, .tsv, .json, .jsonl, .ndjson",
        ),
        ({"source": "signatures", "source_column": "x"}, "allowed with it: distribution, files_per_package"),
        ({"source": "datasets:./nowhere"}, "'./nowhere' was not found"),
        (
            {"source": "datasets:x", "split_column": "x"},
            "allowed with it: corrupt, delimiter, encoding, source_column, target_column",
        ),
        ({"distribution": "no-such-thing"}, "distribution 'no-such-thing' is not installed"),
        ({"files_per_package": "many"}, "files_per_package is 'many'; allowed: a whole number of at least 0"),
        ({"files_per_package": -1}, "files_per_package is -1; allowed: a whole number of at least 0"),
    ],
)
def test_a_source_that_cannot_be_read_is_reported_with_what_is_allowed(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        load_corpus(data, tmp_path, print)


def test_duplicates_go_and_no_source_of_the_training_split_stays_in_another():
    corpus = a_corpus(
        train=[("a", "1"), ("b", "2"), ("a", "1"), ("a", "3")],
        validation=[("a", "9"), ("c", "4"), ("c", "4"), ("c", "5")],
        test=[("c", "4"), ("b", "2"), ("c", "6"), ("d", "1")],
    )
    assert corpus.cut({"deduplicate": True}).splits == {
        "train": [("a", "1"), ("b", "2"), ("a", "3")],
        "validation": [("c", "4"), ("c", "5")],
        "test": [("c", "6"), ("d", "1")],
    }
    assert corpus.cut({"deduplicate": False}) == corpus


def test_a_split_that_duplicates_alone_fill_is_reported():
    with pytest.raises(DataError, match="the test split is empty"):
        a_corpus(train=[("a", "1"), ("t", "2")]).cut({"deduplicate": True})


@pytest.mark.parametrize("text", SENTENCES)
def test_tokens_joined_together_are_the_text_again(tmp_path, text):
    write_pairs(a_corpus([(each, each) for each in SENTENCES]), SETTINGS, tmp_path / "pairs", print)
    tokens = tokenizer_of(tmp_path / "pairs" / "tokenizer.json")([text])[0]
    assert UNKNOWN not in tokens
    assert written([*tokens, END, *tokens], load_vocabulary(tmp_path / "pairs")) == " ".join(text.split())


def test_words_are_cut_at_underscores_and_capitals():
    tokenizer = learn_vocabulary([" fit_transform getHTTPServer x2" for _ in range(20)], 200)
    assert tokenizer.encode("getHTTPServer fit_transform x2").tokens == [
        "▁get", "HTTP", "Server", "▁fit", "_", "transform", "▁x", "2",
    ]  # fmt: skip


def test_the_vocabulary_is_learnt_on_the_training_split_alone_and_is_as_large_as_allowed(tmp_path):
    corpus = a_corpus([(f"red {n}", f"rot {n}") for n in range(300)], validation=[("zzz", "Ω")])
    write_pairs(corpus, {**SETTINGS, "vocabulary_size": 64}, tmp_path / "pairs", print)
    vocabulary = load_vocabulary(tmp_path / "pairs")
    assert vocabulary[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    assert "z" not in vocabulary
    assert len(vocabulary) == load_pair_card(tmp_path / "pairs").vocabulary_size == 64


def test_prepared_pairs_come_back_between_begin_and_end_cut_and_padded(tmp_path):
    train = [("red green", "rot grün"), ("blue", "blau blau blau blau blau blau blau"), ("red", "rot")]
    write_pairs(a_corpus(train), SETTINGS, tmp_path / "pairs", print)
    pairs = load_pairs(tmp_path / "pairs", "train", CPU, {"source_length": 16, "target_length": 4})
    source, target = pairs.batch(torch.arange(3))
    vocabulary = load_vocabulary(tmp_path / "pairs")
    assert [written(row, vocabulary) for row in source.tolist()] == ["red green", "blue", "red"]
    assert pairs.texts == [text for _, text in train]
    assert target[:, 0].tolist() == [BEGIN] * 3
    assert target.shape[1] == 5, "BEGIN and four tokens"
    assert END not in target[1].tolist(), "a target that is cut has no end"
    assert target[2].tolist()[-1] == PADDING
    assert END in target[2].tolist()
    assert pairs.target_tokens == (target[:, 1:] != PADDING).sum().item()
    assert load_pair_card(tmp_path / "pairs").rows == {"train": 3, "validation": 1, "test": 1}


def test_an_epoch_has_every_pair_once_and_those_of_like_length_together(tmp_path):
    chance = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 12, (600, 2), generator=chance).tolist()
    train = [("a " * source, "b " * target) for source, target in counts]
    write_pairs(a_corpus(train), {**SETTINGS, "deduplicate": False}, tmp_path / "pairs", print)
    pairs = load_pairs(tmp_path / "pairs", "train", CPU, SETTINGS)
    grouped, random = (pairs.shuffled(16, 3, by_length=each) for each in (True, False))
    for plan in (grouped, random, pairs.sorted(16)):
        assert sorted(torch.cat(plan).tolist()) == list(range(600))
    assert pairs.padding_share(grouped) < 0.15 < 0.3 < pairs.padding_share(random)
    assert not torch.equal(torch.cat(grouped), torch.cat(pairs.shuffled(16, 4, by_length=True)))


def test_what_is_prepared_is_made_once_for_the_settings_that_matter(tmp_path):
    data = {"source": str(write_csv(tmp_path, "source,target", *many()))}
    shown = []
    folder = prepare_pairs(data, SETTINGS, tmp_path, shown.append)
    assert shown
    shown.clear()
    assert prepare_pairs(data, {**SETTINGS, "target_length": 4}, tmp_path, shown.append) == folder
    assert shown == []
    assert prepare_pairs(data, {**SETTINGS, "vocabulary_size": 80}, tmp_path, shown.append) != folder
    assert prepare_pairs(data, {**SETTINGS, "deduplicate": False}, tmp_path, shown.append) != folder
