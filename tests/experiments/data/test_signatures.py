from __future__ import annotations

import re
import textwrap
from collections import Counter

import pytest

from experiments.data.function_rows import first_files
from experiments.data.installed_packages import dependency_closure, source_files
from experiments.data.signatures import load_signatures, pairs_of


@pytest.fixture(scope="module")
def shown():
    return []


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def loaded(cache, shown):
    """A real extraction, of what rich installs: Pygments and two small packages."""
    return load_signatures(cache, shown.append, distribution="rich", files_per_package=40)


def pairs(source):
    return sorted(pairs_of(textwrap.dedent(source).encode()))


def test_a_pair_is_a_signature_and_the_first_line_of_its_docstring():
    assert pairs(
        '''
        """This module has no signature."""
        def add(first: int, second: "int" = 2, *rest, exact: bool=False, **others) -> int:
            """
            Add two   numbers up.

            And say more.
            """
        '''
    ) == [("add(first, second=2, *rest, exact=False, **others) -> int", "Add two numbers up.")]


def test_methods_and_functions_count_wherever_they_are_and_classes_do_not():
    found = pairs(
        '''
        class Thing:
            """A thing of its own."""
            def method(self, /, value=None):
                """Do this and that."""
                async def inner(*, key=(1, 2)):
                    """Wait for the key."""
            if True:
                @property
                def size(self) -> dict[str, list[int]]:
                    """How large it is."""
        '''
    )
    assert found == [
        ("inner(*, key=(1, 2))", "Wait for the key."),
        ("method(self, /, value=None)", "Do this and that."),
        ("size(self) -> dict[str, list[int]]", "How large it is."),
    ]


@pytest.mark.parametrize(
    "body", ['"""Two words."""', "pass", '"""See 1 2 3 4."""', '""""""', '"""\n    \n"""', '"""=====\nA title of it"""']
)
def test_a_function_without_a_first_line_of_three_words_is_left_out(body):
    assert pairs(f'def f(x):\n    {body}\n\nmark = """quotes"""\n') == []


def test_a_file_that_is_no_python_of_this_version_gives_nothing():
    assert pairs('def f(x): """A line of words.""" print "two"') == []


def test_what_is_no_character_is_made_one_that_can_be_stored():
    assert pairs('def f():\n    """Half a pair \\ud83d is none."""\n') == [("f()", "Half a pair ? is none.")]


def test_a_real_extraction_gives_signatures_with_sentences_in_every_split(loaded, shown):
    rows, _ = loaded
    counts = Counter(split for _, _, split in rows)
    assert counts["train"] > counts["test"] > 0
    assert counts["validation"] > 0
    assert all(re.match(r"\w+\(.*\)", source) for source, _, _ in rows)
    assert min(len(re.findall("[A-Za-z]+", target)) for _, target, _ in rows) >= 3
    assert any("processes" in message for message in shown)


def test_the_second_time_it_comes_from_the_cache_and_is_the_same(loaded, cache):
    shown = []
    assert load_signatures(cache, shown.append, distribution="rich", files_per_package=40) == loaded
    assert shown == []
    assert [path.name for path in cache.iterdir()] == [f"signatures-{loaded[1]}.parquet"]


def test_fewer_files_are_another_corpus_and_none_of_them_is_in_two_splits(loaded, tmp_path):
    rows, fingerprint = load_signatures(tmp_path, print, distribution="rich", files_per_package=10)
    assert fingerprint != loaded[1]
    assert 0 < len(rows) < len(loaded[0])


def test_the_first_files_of_a_package_stay_the_first_when_more_are_read():
    files = source_files(dependency_closure("rich"))
    few, more, every = (first_files(files, count) for count in (5, 50, 0))
    assert {file.relative for file in few} < {file.relative for file in more} < {file.relative for file in every}
    assert Counter(file.package for file in few)["pygments"] == 5
    assert every == files
