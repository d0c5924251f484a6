"""Tokens are counted as OpenAI's vocabulary cuts them, on the texts of the study and no others."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import sys

import pytest

from tracker.errors import RequestError
from tracker.training.tokens import MAX_TEXTS, measure_tokens, token_counter

needs_tokenizer = pytest.mark.skipif(
    importlib.util.find_spec("rs_bpe") is None, reason="the extra llm (rs-bpe) is not installed"
)

# From tiktoken's source (MIT licence), which refuses a download of any other content.
VOCABULARY_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
VOCABULARY_SIZE = 199_998

TELLING = """
from tests.support.digits import Digits
from tracker.training.workload import PredictionTexts

class Telling(Digits):
    def prediction_texts(self, data, settings, cache, limit):
        print("a workload may print")
        if data.get("nothing"):
            return PredictionTexts((), (), "test", "8x8")
        text = f"{settings['width']} {settings['epochs']} {limit} {cache.name} {data['word']}"
        return PredictionTexts((text, "hello world"), ("yes", "no"), "test", "8x8")
"""


@pytest.fixture
def telling(tmp_path):
    (tmp_path / "telling.py").write_text(TELLING)
    return f"{tmp_path / 'telling.py'}:Telling"


@needs_tokenizer
def test_the_vocabulary_is_openais():
    vocabulary = importlib.import_module("rs_bpe.bpe").openai.o200k_base().bpe()
    lines = (
        base64.b64encode(bytes(vocabulary.decode_tokens([token]))) + b" %d\n" % token
        for token in range(VOCABULARY_SIZE)
    )
    assert hashlib.sha256(b"".join(lines)).hexdigest() == VOCABULARY_SHA256


@needs_tokenizer
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # The first three from OpenAI's cookbook, "How to count tokens with tiktoken".
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 8),
        ("", 0),
        ("half a pair \ud83e", 4),
    ],
)
def test_texts_are_cut_as_openai_cuts_them(text, tokens):
    assert token_counter()(text) == tokens


@needs_tokenizer
def test_the_mean_is_over_the_texts_that_the_workload_tells(telling, tmp_path, capsys):
    measured = measure_tokens(telling, {"word": "ship"}, {"epochs": 7}, tmp_path / "cache", "8x8")
    count = token_counter()
    expected = f"16 7 {MAX_TEXTS} cache ship"  # its default, the study's own value, the limit, the cache, the data
    assert measured.input_tokens == (count(expected) + count("hello world")) / 2
    assert measured.output_tokens == 1
    assert (measured.texts, measured.split) == (2, "test")
    assert measured.tokenizer.startswith("o200k_base (rs-bpe ")
    assert (measured.input_source, measured.output_source, measured.prompt_source) == (
        "measured",
        "measured",
        "assumed",
    )
    assert capsys.readouterr().out == "", "standard output is the document's"


@needs_tokenizer
def test_a_workload_without_texts_is_refused_and_it_is_said_what_to_give(tmp_path):
    with pytest.raises(RequestError, match=r"Digits' has no texts \(prediction_texts\) .* give .*--input-tokens"):
        measure_tokens("tests.support.digits:Digits", {}, {}, tmp_path, "8x8")


@needs_tokenizer
def test_data_that_are_not_the_studys_any_more_are_refused(telling, tmp_path):
    with pytest.raises(RequestError, match=r"no longer those that the study started with \('9x9'\)"):
        measure_tokens(telling, {"word": "ship"}, {}, tmp_path, "9x9")


@needs_tokenizer
def test_a_workload_that_has_no_text_to_tell_is_refused(telling, tmp_path):
    with pytest.raises(RequestError, match="gives 0 texts and 0 answers; give the number of tokens per text instead"):
        measure_tokens(telling, {"nothing": True}, {}, tmp_path, "8x8")


def test_without_the_tokenizer_it_is_said_how_to_install_it_or_do_without(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rs_bpe.bpe", None)
    said = r"rs-bpe, .* is not installed; pip install 'cost-quality-tracker\[llm\]', or give .*--input-tokens"
    with pytest.raises(RequestError, match=said):
        measure_tokens("tests.support.digits:Digits", {}, {}, tmp_path, "8x8")
