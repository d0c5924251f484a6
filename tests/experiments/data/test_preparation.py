from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from experiments.data.batches import shuffled_batches, sorted_batches
from experiments.data.corpus import Corpus, LabelledTexts
from experiments.data.files import whole_file, whole_folder
from experiments.data.text_preparation import clean, learn_vocabulary, write_tokens
from experiments.data.token_arrays import UNKNOWN, load_card, load_texts
from tracker.errors import DataError

SETTINGS = {"keep_punctuation": False, "deduplicate": False, "remove_stop_words": False, "vocabulary_size": 100}
CPU = torch.device("cpu")


@pytest.fixture
def corpus():
    return Corpus(
        name="three",
        fingerprint="0",
        classes=("a", "b"),
        splits={
            "train": LabelledTexts(("red green", "green blue blue", "red", "?!"), (0, 1, 0, 1)),
            "validation": LabelledTexts(("zzyzx",), (0,)),
            "test": LabelledTexts(("red zzyzx",), (1,)),
        },
    )


def test_cleaning_lowers_case_and_blanks_punctuation():
    assert clean("Fit_Transform(X): the `Y`", SETTINGS) == "fit transform x the y"
    assert clean("Größe, ok", SETTINGS) == "größe ok"


def test_stop_words_go_and_punctuation_stays_where_that_is_asked_for():
    assert clean("The sum of it", {**SETTINGS, "remove_stop_words": True}) == "sum"
    assert clean("A.b", {**SETTINGS, "keep_punctuation": True}) == "a.b"


def test_the_vocabulary_is_learnt_on_the_training_split_alone(corpus, tmp_path):
    write_tokens(corpus, SETTINGS, tmp_path / "tokens", lambda message: None)
    validation = load_texts(tmp_path / "tokens", "validation", CPU, max_length=8)
    assert set(validation.tokens.tolist()) == {UNKNOWN}, "no letter of 'zzyzx' stands in a training text"
    assert learn_vocabulary(["red"], 100).get_vocab().keys() >= {"[PAD]", "[UNK]", "red"}


def test_texts_come_back_cut_padded_and_never_empty(corpus, tmp_path):
    write_tokens(corpus, SETTINGS, tmp_path / "tokens", lambda message: None)
    train = load_texts(tmp_path / "tokens", "train", CPU, max_length=2)
    assert train.lengths.tolist() == [2, 2, 1, 1]
    tokens, labels = train.padded(torch.tensor([1, 2, 3]), 2)
    assert labels.tolist() == [1, 0, 1]
    assert tokens[1].tolist()[1] == 0
    assert tokens[2].tolist() == [UNKNOWN, 0], "a text of punctuation alone"
    assert load_card(tmp_path / "tokens").rows == {"train": 4, "validation": 1, "test": 1}


def test_a_training_subset_of_one_class_is_refused(corpus):
    with pytest.raises(DataError, match="its 1 training texts are all of one class"):
        corpus.with_train_documents(1)


def test_an_epoch_has_every_row_once_with_little_padding():
    lengths = torch.randint(1, 100, (1000,), generator=torch.Generator().manual_seed(0))
    plans = shuffled_batches(lengths, 32, torch.Generator().manual_seed(0))
    assert sorted(torch.cat([plan.rows for plan in plans]).tolist()) == list(range(1000))
    assert all(plan.width >= int(lengths[plan.rows].max()) for plan in plans)
    padded = sum(len(plan.rows) * plan.width for plan in plans)
    assert padded < 1.2 * int(lengths.sum())
    assert len(sorted_batches(lengths, 300)) == 4


def test_a_cache_that_fails_half_way_leaves_nothing_behind(tmp_path):
    for whole in (whole_folder, whole_file):
        with pytest.raises(RuntimeError), whole(tmp_path / "cache"):
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_two_that_fill_the_same_cache_at_once_agree(corpus, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_tokens(corpus, SETTINGS, tmp_path / "tokens", lambda message: None), range(4)))
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]
    assert len(load_texts(tmp_path / "tokens", "train", CPU, max_length=8)) == 4
