"""tracker prices, and the options that price a study anew, as a person or a script uses them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.command import tracker, tracker_process
from tests.support.studies import DIGITS
from tracker import run_study
from tracker.pricing.price_book import PRICES_CSV, load_price_book

SCENARIOS = Path(__file__).parents[2] / "experiments/scenarios"
MINE = """
[[own]]
sku = "lab/<b>box</b> 🦊"
like = "aws/m7i.large"
purchase_usd = 1500
power_kw = 0.2
effective_from = 2026-01-01
source = "it's \\"ours\\""

[[currency]]
code = "EUR"
usd = 1.25
on = 2026-11-01
source = "a bank"
"""


@pytest.fixture(scope="module")
def home(new_home):
    """A home with a study that was billed as own hardware."""
    home = new_home()
    (home / "prices.toml").write_text(MINE)
    pricing = {"market": "on_prem", "sku_cpu": "lab/<b>box</b> 🦊", "country": "DEU"}
    run_study({**DIGITS, "pricing": pricing}, home=home, trials=2)
    return home


# --- the book ------------------------------------------------------------------------------------


def test_the_list_is_filtered_by_seller_accelerator_region_market_and_day(tmp_path):
    def skus(*options):
        done = tracker("prices", "list", "--json", *options, home=tmp_path)
        return {rate["sku"] for rate in json.loads(done.stdout)["rates"]}

    everything = skus()
    assert len(everything) == len(load_price_book().skus)
    h100 = skus("--accelerator", "H100")
    assert {"aws/p5.48xlarge", "lambda/1xH100", "gcp/a3-highgpu-1g"} <= h100
    assert skus("--accelerator", "H100", "--provider", "aws") == {"aws/p5.48xlarge", "aws/p5.4xlarge"}
    assert skus("--accelerator", "H100", "--market", "spot") == {"gcp/a3-highgpu-1g", "gcp/a3-highgpu-8g"}
    assert skus("--region", "eastus2") == {"azure/Standard_ND96isr_H200_v5", "azure/Standard_ND96isr_MI300X_v5"}
    assert "aws/p5.4xlarge" not in skus("--accelerator", "H100", "--on", "2024-03-01")


def test_a_rate_is_shown_with_its_source_date_and_machine(tmp_path):
    shown = tracker("prices", "show", "gcp/e2-standard-2", home=tmp_path).stdout
    assert "2 vCPU, 8 GiB, x86_64; from Cyclenerd" in shown
    assert "on_demand in us-central1: $0.067011 an hour from 2026-08-03" in shown
    assert "karpenter-provider-gcp" in shown
    assert "Apache-2.0" in shown


def test_the_history_is_printed_drawn_and_plotted(tmp_path):
    plot = tmp_path / "p5 <i> 🦊.html"
    done = tracker("prices", "history", "aws/p5.48xlarge", "--plot", plot, home=tmp_path)
    lines = [line for line in done.stdout.splitlines() if "us-east-1" in line]
    assert [line.split()[2:4] for line in lines] == [
        ["2023-07-31", "98.32"],
        ["2025-06-23", "55.04"],
        ["2026-07-20", "55.04"],
    ]
    assert lines[0].count("█") > lines[1].count("█") > 0
    page = plot.read_text()
    assert "55.04" in page
    assert 'src="http' not in page


def test_the_book_is_held_to_its_rules_and_so_is_a_file(tmp_path):
    assert "nothing wrong" in tracker("prices", "check", home=tmp_path).stderr
    good, bad = tmp_path / "good.toml", tmp_path / "bad.csv"
    good.write_text(MINE)
    assert "1 rate of its own, 1 exchange rate, nothing wrong" in tracker("prices", "check", good, home=tmp_path).stderr
    bad.write_text(PRICES_CSV.read_text().splitlines()[0] + "\n" + "x," * 17 + "x\n")
    done = tracker("prices", "check", bad, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.csv, line 2:" in done.stderr


def test_without_a_network_an_update_says_so_in_a_line_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUHUNT_CATALOG_URL", "http://127.0.0.1:9/nothing.zip")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    before = PRICES_CSV.read_bytes()
    done = tracker_process("prices", "update", home=tmp_path / "new")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: nothing was changed, because no catalogue could be read (azure: ")
    assert not (tmp_path / "new").exists()
    assert PRICES_CSV.read_bytes() == before


# --- a study at other prices ---------------------------------------------------------------------


def test_own_hardware_is_billed_and_shown_with_its_parts_and_its_co2(home):
    runs = json.loads(tracker("runs", "digits", "--json", home=home).stdout)["runs"]
    assert {run["market"] for run in runs} == {"on_prem"}
    rate = 1500 / (5 * 8760 * 0.6) * 1.1 + 0.2 * 1.54 * 0.09
    assert all(run["usd_per_hour"] == pytest.approx(rate) for run in runs)
    assert all(run["maintenance_usd"] > 0 for run in runs)
    assert 'it\'s "ours" (defaults: lifetime_years 5.0,' in runs[0]["price_source"]
    for run in runs:
        known = run["energy_joules"] is not None
        assert (run["co2_grams"] is not None) == known
        assert (run["energy_source"] != "unavailable") == known
    table = tracker("runs", "digits", "--parts", home=home)
    parts = ["data", "compute", "storage", "maintenance", "Wh", "energy", "g", "CO2"]
    assert table.stdout.splitlines()[0].split()[-8:] == parts
    assert "<b>box</b> 🦊" in table.stdout


def test_a_scenario_is_printed_with_its_result_and_is_in_the_json(home, tmp_path):
    scenario = tmp_path / "half.toml"
    scenario.write_text('[[change]]\nprovider = "lab"\nfactor = 0.5\n')
    before = json.loads(tracker("frontier", "digits", "--json", home=home).stdout)
    options = ("--scenario", scenario, "--json")
    after = json.loads(tracker("frontier", "digits", *options, home=home).stdout)
    assert before["scenario"] is None
    assert after["scenario"]["sentences"] == ["compute of lab × 0.5"]
    assert after["spend_usd"] < before["spend_usd"]
    reported = tracker("runs", "digits", "--scenario", scenario, "--scenario", scenario, home=home).stderr
    assert "scenario half + half: compute of lab × 0.5; compute of lab × 0.5; price book" in reported
    assert "would cost:" in reported


def test_amounts_are_shown_in_another_currency_at_the_users_rate(home, tmp_path):
    done = tracker("frontier", "digits", "--currency", "eur", home=home)
    assert "€" in done.stdout
    assert "$" not in done.stdout
    assert "shown in EUR: 1 EUR = $1.25 on 2026-11-01, a bank" in done.stderr
    tracker(
        "report",
        "digits",
        "--currency",
        "EUR",
        "--sku",
        "aws/m7i.large",
        "--market",
        "on_demand",
        "--out",
        tmp_path,
        home=home,
    )
    page = (tmp_path / "report.html").read_text()
    assert "shown in EUR" in page
    assert "These are not the billed prices" in page
    assert re.search(r"in .€ \(\w+ of a EUR\)", page)


@pytest.mark.parametrize("name", ["hardware", "cloud", "solution"])
def test_each_front_of_the_price_war_is_a_scenario_that_can_be_compared(home, name):
    pair = f"billed,{SCENARIOS / name}.toml"
    options = ("--market", "on_demand", "--sku", "gcp/e2-standard-2")
    done = tracker("frontier", "digits", *options, "--compare-scenarios", pair, "--json", home=home)
    document = json.loads(done.stdout)
    ratios = {level["price_ratio"] for level in document["levels"]}
    whole = {"hardware": 1.0, "cloud": 0.7, "solution": 0.7 * 0.9**2}[name]
    assert all(ratio == pytest.approx(whole, rel=0.05) for ratio in ratios)
    assert document["entered"] == document["left"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("prices", "show", "aws/p5.48xlage"), "unknown SKU 'aws/p5.48xlage'; did you mean 'aws/p5.48xlarge'?"),
        (("prices", "history", "nobody"), "unknown SKU 'nobody'"),
        (("prices", "list", "--provider", "gpc"), "no rate has the provider 'gpc'; did you mean 'gcp'?"),
        (("prices", "list", "--accelerator", "H10"), "did you mean 'H100'?"),
        (("prices", "list", "--market", "spto"), "'spto' is not one of 'on_demand', 'spot'"),
        (("prices", "list", "--on", "March"), "does not match the format"),
        (("prices", "check", "none.toml"), "price file 'none.toml' cannot be read"),
        (("prices", "check", "README.md"), "neither a price table (.csv) nor a file of your rates"),
        (("frontier", "digits", "--market", "spot"), "has no spot rate; it has: on_prem"),
        (("frontier", "digits", "--region", "mars"), "no rate has the region 'mars'"),
        (("frontier", "digits", "--as-of", "2020-01-01"), "its rates begin on: 2026-01-01"),
        (("frontier", "digits", "--sku", "aws/p5.4xlarge"), "a prediction, not a re-pricing"),
        (("frontier", "digits", "--currency", "ERU"), "unknown currency 'ERU'; did you mean 'EUR'?"),
        (("frontier", "digits", "--scenario", "none.toml"), "scenario file 'none.toml' cannot be read"),
        (("frontier", "digits", "--compare-scenarios", "one"), "is not two scenario files"),
        (("runs", "digits", "--market", "ON_DEMAND"), "is not one of"),
    ],
)
def test_a_wrong_request_is_reported_in_a_line_with_exit_code_2(home, arguments, said):
    done = tracker(*arguments, home=home)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
