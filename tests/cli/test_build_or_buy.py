"""tracker build-or-buy as a person or a script uses it, on real small studies."""

from __future__ import annotations

import csv
import json
import random

import pytest

from tests.support.command import tracker, tracker_process
from tracker import run_study

pytest.importorskip("genai_prices", reason="the extra llm (genai-prices) is not installed")

MODEL = ("--model", "openai:gpt-4o-mini")
GIVEN = (*MODEL, "--input-tokens", "100", "--output-tokens", "2")

DIGITS = """
name = "digits"
workload = "tests.support.digits:Digits"
[quality]
metric = "accuracy"
[budget]
trials = 1
[settings]
epochs = 2
threads = 1
precision = "fp32"
[space]
width = [8, 16]
"""

TEXTS = """
name = "texts"
workload = "experiments.workloads.text_classifier:TextClassifier"
[quality]
metric = "accuracy"
[budget]
trials = 1
[data]
source = "{source}"
[settings]
size = 1
epochs = 2
max_length = 16
vocabulary_size = 200
threads = 1
device = "cpu"
precision = "fp32"
[space]
batch_size = [16, 32]
"""


def run_the_study(text, folder, home):
    path = folder / "study.toml"
    path.write_text(text)
    run_study(path, home=home)


@pytest.fixture(scope="module")
def home(tmp_path_factory, new_home):
    home = new_home()
    run_the_study(DIGITS, tmp_path_factory.mktemp("digits"), home)
    return home


@pytest.fixture(scope="module")
def texts_home(tmp_path_factory, new_home):
    pytest.importorskip("rs_bpe", reason="the extra llm (rs-bpe) is not installed")
    home, folder = new_home(), tmp_path_factory.mktemp("texts")
    chance, words = random.Random(3), {"sea": ["wave", "salt", "sail"], "wood": ["oak", "leaf", "moss"]}
    with (folder / "texts.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(200):
            label = "sea" if number % 2 else "wood"
            table.writerow([f"The {' '.join(chance.choices(words[label], k=5))}, {number}.", label])
    run_the_study(TEXTS.format(source=folder / "texts.csv"), folder, home)
    return home


def test_tokens_are_measured_on_the_studys_texts_and_own_predictions_are_priced(texts_home):
    done = tracker("build-or-buy", "texts", *MODEL, "--predictions", "1e4", "--json", home=texts_home)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    tokens, api = document["tokens"], document["api"]
    assert (tokens["input_source"], tokens["split"]) == ("measured", "test")
    assert 10 < tokens["texts"] < 60  # about 15 % of 200
    assert 5 < tokens["input_tokens"] < 20
    assert api["usd_per_prediction"] == pytest.approx(
        tokens["input_tokens"] * 0.15e-6 + tokens["output_tokens"] * 0.60e-6
    )
    points = [*document["points"], *document["references"]]
    assert len(document["references"]) == 1
    for point in points:
        assert point["own_usd_per_1000"] > 0
        assert point["total_usd_per_1000"] == pytest.approx(
            point["training_usd"] / 1e4 * 1000 + point["own_usd_per_1000"]
        )


def test_at_the_break_even_that_is_reported_both_cost_the_same(texts_home):
    def last_point(input_tokens, predictions):
        given = ("--input-tokens", input_tokens, "--output-tokens", "0", "--predictions", predictions)
        done = tracker("build-or-buy", "texts", *MODEL, *given, "--json", home=texts_home)
        return json.loads(done.stdout)["points"][-1]

    point = last_point(1, 1)
    # So many tokens, at $0.15 a million, that 5,000 predictions are paid for by the training and 5,000 of one's own.
    tokens = (point["training_usd"] / 5000 + point["own_usd_per_1000"] / 1000) / 0.15e-6
    shown = last_point(tokens, 5000)
    assert shown["break_even_predictions"] == pytest.approx(5000)
    assert shown["total_usd_per_1000"] == pytest.approx(shown["api_usd_per_1000"])


def test_given_tokens_need_no_texts_and_the_table_is_on_standard_output_alone(home):
    done = tracker("build-or-buy", "digits", *GIVEN, "--prompt-tokens", "50", home=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(tracker("build-or-buy", "digits", *GIVEN, "--json", home=home).stdout)
    assert len(done.stdout.splitlines()) == 1 + len(document["points"]) + len(document["references"])
    assert "break-even" in done.stdout.splitlines()[0]
    assert "THE QUALITY OF openai:gpt-4o-mini ON THESE DATA IS UNKNOWN" in done.stderr
    assert "50 prompt tokens (given)" in done.stderr
    assert "have no predictions_per_second" in done.stderr
    assert document["points"][0]["own_usd_per_1000"] is None


def test_a_day_in_the_past_has_the_price_of_that_day(home):
    arguments = ("build-or-buy", "digits", "--model", "openai:o3", *GIVEN[2:], "--json", "--as-of")
    before, after = (json.loads(tracker(*arguments, day, home=home).stdout) for day in ("2025-06-01", "2025-06-20"))
    assert before["api"]["usd_per_1000"] == pytest.approx(5 * after["api"]["usd_per_1000"])
    assert before["api"]["as_of"] == "2025-06-01"


def test_a_process_of_its_own_says_the_same_and_nothing_else(home):
    arguments = ("build-or-buy", "digits", *GIVEN, "--json")
    done, expected = tracker_process(*arguments, home=home), tracker(*arguments, home=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, expected.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", *GIVEN), "there is no study 'nobody'"),
        (
            ("digits", *MODEL),
            "has no texts (prediction_texts) to count tokens of; give the number of tokens per text instead",
        ),
        (("digits", *MODEL, "--input-tokens", "100"), "give output tokens too (--output-tokens)"),
        (("digits", "--model", "openai:gpt-4o-minii", *GIVEN[2:]), "did you mean 'gpt-4o-mini'?"),
        (("digits", "--model", "openia:gpt-4o-mini", *GIVEN[2:]), "did you mean 'openai'?"),
        (("digits", *GIVEN, "--predictions", "0"), "predictions: 0.0 is not a finite number of at least 1"),
        (("digits", *GIVEN, "--predictions", "nan"), "predictions: nan is not"),
        (("digits", *GIVEN, "--prompt-tokens", "-1"), "prompt tokens: -1.0 is not a finite number of at least 0"),
        (("digits", *MODEL, "--input-tokens", "nan", "--output-tokens", "1"), "input tokens: nan is not"),
    ],
)
def test_a_wrong_request_is_reported_in_one_line_with_exit_code_2(arguments, said, home):
    done = tracker("build-or-buy", *arguments, home=home)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_scenario_and_currency_are_as_elsewhere(home):
    (home / "prices.toml").write_text(
        '[[currency]]\ncode = "EUR"\nusd = 1.25\non = 2026-01-01\nsource = "a bank"\n', encoding="utf-8"
    )
    try:
        dollars, euros = (
            json.loads(tracker("build-or-buy", "digits", *GIVEN, "--json", *each, home=home).stdout)
            for each in ((), ("--currency", "EUR"))
        )
        shown = tracker("build-or-buy", "digits", *GIVEN, "--currency", "EUR", home=home)
    finally:
        (home / "prices.toml").unlink()
    assert euros["points"][0]["training_usd"] == dollars["points"][0]["training_usd"]
    assert euros["currency"]["code"] == "EUR"
    assert "€" in shown.stdout and "$" not in shown.stdout
    assert "shown in EUR: 1 EUR = $1.25" in shown.stderr


def test_a_batch_and_a_cached_prompt_cost_less_where_their_prices_are_known(home):
    def priced(*options):
        return json.loads(tracker("build-or-buy", "digits", *GIVEN, *options, "--json", home=home).stdout)

    prompt = ("--prompt-tokens", "1000")
    listed, batch, cached = (priced(*prompt, *each) for each in ((), ("--batch",), ("--cached-prompt",)))
    assert batch["api"]["usd_per_1000"] == pytest.approx(listed["api"]["usd_per_1000"] / 2)
    # OpenAI's list: a cached token of gpt-4o-mini costs half.
    assert cached["api"]["usd_per_1000"] == pytest.approx(listed["api"]["usd_per_1000"] - 1000 * 1000 * 0.075e-6)
    known = {(each["batch"], each["cached_prompt"]): each["usd_per_1000"] for each in listed["api_alternatives"]}
    assert known[True, False] == batch["api"]["usd_per_1000"]
    assert known[False, True] == cached["api"]["usd_per_1000"]


def test_the_break_even_is_a_day_too_under_the_fitted_decline_or_one_of_your_own(home):
    def over_time(*options):
        done = tracker("build-or-buy", "digits", *GIVEN, "--predictions", "1000", *options, "--json", home=home)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    fitted = over_time()
    assert "genai-prices" in fitted["over_time"]["basis"]
    low, middle, high = (fitted["over_time"][f"decline_a_year{end}"] for end in ("_low", "", "_high"))
    assert low <= middle <= high
    steady, falling = over_time("--decline", "0"), over_time("--decline", "99", "--months", "24")
    assert steady["points"][-1]["break_even_on"] >= steady["over_time"]["starts_on"]
    assert falling["over_time"]["decline_a_year"] == pytest.approx(0.99)
    assert falling["over_time"]["predictions_a_month"] == pytest.approx(1000 / 24)
    assert falling["points"][-1]["break_even_on"] >= steady["points"][-1]["break_even_on"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cached-prompt",), "--cached-prompt: there is no prompt to cache; give its tokens (--prompt-tokens)"),
        (("--decline", "100"), "decline: 100 % a year is not a finite number below 100 %"),
        (("--months", "0"), "months: 0.0 is not a finite number above 0"),
        (("--currency", "XYZ"), "unknown currency 'XYZ'"),
        (("--sku", "nobody/nothing"), "nobody/nothing"),
    ],
)
def test_terms_that_cannot_be_are_refused(home, options, said):
    done = tracker("build-or-buy", "digits", *GIVEN, *options, home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_model_without_a_batch_price_says_so(home):
    done = tracker("build-or-buy", "digits", "--model", "openai:gpt-3.5-turbo-16k", *GIVEN[2:], "--batch", home=home)
    assert done.returncode == 2
    assert "genai-prices has no batch price of openai:gpt-3.5-turbo-16k" in done.stderr
