from __future__ import annotations

import re
import textwrap
from collections import Counter

import pytest

from experiments.data import docstrings
from experiments.data.docstrings import (
    docstrings_of,
    drop_duplicates,
    is_english,
    keep_large_classes,
    load_docstrings,
    own_name_pattern,
    split_by_file,
)
from experiments.data.installed_packages import dependency_closure, source_files
from tracker.errors import DataError


@pytest.fixture(scope="module")
def shown():
    return []


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def corpus(cache, shown):
    """A real extraction, of what Optuna installs: NumPy, SQLAlchemy and a few small packages."""
    return load_docstrings(cache, shown.append, distribution="optuna")


def test_a_real_extraction_gives_the_large_packages_as_classes_in_every_split(corpus, shown):
    assert {"numpy", "sqlalchemy"} <= set(corpus.classes)
    for split in corpus.splits.values():
        assert set(split.labels) == set(range(len(corpus.classes)))
    assert any("processes" in message for message in shown)
    assert any("100%" in message for message in shown)


def test_the_second_time_it_comes_from_the_cache_and_is_the_same(corpus, cache):
    shown = []
    assert load_docstrings(cache, shown.append, distribution="optuna") == corpus
    assert shown == []
    assert [path.name for path in cache.iterdir()] == [f"docstrings-{corpus.fingerprint}.parquet"]


def test_no_text_is_there_twice_not_even_in_another_class(corpus):
    texts = [" ".join(re.findall("[a-z]+", text.lower())) for split in corpus.splits.values() for text in split.texts]
    assert max(Counter(texts).values()) == 1


def test_no_text_names_its_own_package(corpus):
    for split in corpus.splits.values():
        for text, label in zip(split.texts, split.labels, strict=True):
            assert not re.search(rf"\b{corpus.classes[label]}\b", text, re.IGNORECASE), text


def test_every_text_has_eight_words(corpus):
    shortest = min(len(re.findall("[A-Za-z]+", text)) for split in corpus.splits.values() for text in split.texts)
    assert shortest >= docstrings.MIN_WORDS


def test_a_file_is_in_one_split_only_and_the_shares_are_about_70_15_15():
    files = [("numpy", f"numpy/core/{number}.py") for number in range(1000)]
    split_of_file = split_by_file(files * 3)
    counts = Counter(split_of_file.values())
    assert len(split_of_file) == 1000
    assert counts == {"train": 700, "validation": 150, "test": 150}
    assert split_by_file(reversed(files)) == split_of_file, "the order of the files does not matter"


def test_siblings_of_a_file_never_straddle_a_split(monkeypatch):
    monkeypatch.setattr(docstrings, "MIN_TEXTS", 1)
    monkeypatch.setattr(docstrings, "MIN_FILES", 1)
    found = [(f"text {letter} {file}", "numpy", f"{file}.py") for file in range(20) for letter in "abc"]
    monkeypatch.setattr(docstrings, "_texts_of_files", lambda files, names, progress: iter(found))
    rows = docstrings.extract([], {}, lambda message: None)
    splits_of_file = {}
    for text, _, split in rows:
        splits_of_file.setdefault(text.split()[-1], set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of_file.values())


def test_texts_that_differ_in_case_and_punctuation_alone_are_one():
    rows = [("Return the sum, always.", "a", "a.py"), ("return the sum always", "b", "b.py"), ("other", "b", "b.py")]
    assert drop_duplicates(rows) == [rows[0], rows[2]]


def test_a_class_needs_enough_texts_in_enough_files(monkeypatch):
    monkeypatch.setattr(docstrings, "MIN_TEXTS", 4)
    monkeypatch.setattr(docstrings, "MIN_FILES", 2)
    kept = [(f"{number}", "kept", f"{number % 2}.py") for number in range(4)]
    few_files = [(f"{number}", "one_file", "0.py") for number in range(9)]
    few_texts = [(f"{number}", "few_texts", f"{number}.py") for number in range(3)]
    assert keep_large_classes(kept + few_files + few_texts) == kept


@pytest.mark.parametrize(
    ("names", "text", "masked"),
    [
        ({"torch"}, "PyTorch and torch.nn, not torchvision", "X and X.nn, not torchvision"),
        ({"sklearn", "scikit-learn"}, "Scikit-learn, scikit_learn, sklearn", "X, X, X"),
        ({"mpl_toolkits", "matplotlib"}, "mpl_toolkits of matplotlib", "X of X"),
    ],
)
def test_a_package_is_masked_under_all_of_its_names(names, text, masked):
    assert own_name_pattern(names).sub("X", text) == masked


def test_docstrings_are_those_of_the_module_its_classes_and_functions_wherever_they_are():
    source = '''
        """Module."""
        if True:
            class A:
                """Class."""
                async def method(self):
                    """Method."""
        try:
            pass
        except ValueError:
            def handler():
                """Handler."""
        x = """no docstring"""
        '''
    assert set(docstrings_of(textwrap.dedent(source).encode())) == {"Module.", "Class.", "Method.", "Handler."}


def test_a_file_that_is_no_python_of_this_version_gives_nothing():
    assert list(docstrings_of(b'"""fine""" print "two"')) == []
    assert list(docstrings_of(b'"""\x00"""')) == []


def test_english_is_reported_by_its_common_words():
    assert is_english("Return the sum of all the values that are given")
    assert not is_english("Liefert die Summe aller Werte zurück")
    assert not is_english("foo bar baz qux quux corge grault garply")


def test_the_test_tools_of_an_environment_are_not_among_the_packages():
    names = dependency_closure("cost-quality-tracker")
    assert "torch" in names and "numpy" in names
    assert not {"pytest", "hypothesis", "ruff", "mypy", "cost-quality-tracker"} & set(names)
    assert not any("/tests/" in file.relative for file in source_files({"numpy": names["numpy"]}))


def test_too_little_to_classify_is_reported(tmp_path):
    with pytest.raises(DataError, match="fewer than two packages"):
        load_docstrings(tmp_path, lambda message: None, distribution="colorlog")
    assert list(tmp_path.iterdir()) == []
