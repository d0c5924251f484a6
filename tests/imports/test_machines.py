"""Which machine a past run is billed as: a mapping file, with every mistake in it at once."""

from __future__ import annotations

import pytest

from tracker.errors import RequestError
from tracker.imports.machines import machine_rules, parse_share, read_machine_rules
from tracker.records import Market

GOOD = """
[[map]]
tag = "gpu"
value = "A100*"
sku = "aws/p4d.24xlarge"
share = "1/8"

[[map]]
user = "ada*"
sku = "aws/m5.large"
"""


def written(tmp_path, text):
    path = tmp_path / "machines.toml"
    path.write_text(text)
    return path


def test_the_first_entry_that_suits_is_taken_and_the_option_is_for_the_others(tmp_path):
    rules = machine_rules(written(tmp_path, GOOD), "aws/p3.2xlarge", None, Market.ON_DEMAND, "")

    def sku(tags, user):
        return next(rule for rule in rules if rule.suits({}, tags, user)).machine.sku

    assert sku({"gpu": "A100-40GB"}, "ada") == "aws/p4d.24xlarge"
    assert sku({"gpu": "V100"}, "ada lovelace") == "aws/m5.large"
    assert sku({}, "grace") == "aws/p3.2xlarge"


def test_every_mistake_is_named_at_once(tmp_path):
    text = '[[map]]\nskuu = "x"\n[[map]]\nsku = "aws/m5.large"\nshare = "lots"\n[[map]]\nsku = "a"\nmarket = "black"\n'
    with pytest.raises(RequestError) as found:
        read_machine_rules(written(tmp_path, text))
    for word in ("skuu", "lots", "black"):
        assert word in str(found.value)


@pytest.mark.parametrize("text", ["", "[[mapp]]\n", "map = 3\n", "not toml", '[[map]]\nsku = "a"\nvalue = "x"\n'])
def test_files_that_are_none(tmp_path, text):
    with pytest.raises(RequestError):
        read_machine_rules(written(tmp_path, text))


@pytest.mark.parametrize("text", ["0", "-1", "1/0", "", "nan", "inf", "1e9", "a half"])
def test_shares_that_cannot_be(text):
    with pytest.raises(RequestError, match="share"):
        parse_share(text)


def test_shares():
    assert [float(parse_share(text)) for text in ("1/8", "0.125", "2")] == [0.125, 0.125, 2.0]
