"""The FOCUS export is held against the specification's columns, types and null rules, row by row."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.support.tables import run_row
from tracker.export.formats import FORMATS, write_report
from tracker.pricing.currency import ExchangeRate
from tracker.pricing.price_book import load_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.report.repricing import reprice

SPECIFICATION = Path(__file__).with_name("focus_columns.csv")
FORMS = {
    "Decimal": r"-?\d+(\.\d+)?(E-?\d+)?",
    "String": r"(?s).*\S.*",
    "Currency": r"[A-Z]{3}",
    "Date/Time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "JSON": r"\{.*\}",
}
COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")


def columns_of(version):
    lines = [line for line in SPECIFICATION.read_text().splitlines() if not line.startswith("#")]
    return {row["column"]: row for row in csv.DictReader(lines) if version in row["versions"].split()}


def rows_of(table, folder, name="focus"):
    """The rows of a written file: what is not there is None, as nothing stands between its commas."""
    (path,) = write_report(table, folder, [name], force=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not any(re.search(r'(^|,)""(,|$)', line) for line in lines), "no empty text stands for nothing"
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: value or None for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture
def hard(by_hand):
    """Names for formulas, a run that spans months, one that cost nothing, one without a rate that is known."""
    october = datetime(2026, 10, 31, 12, tzinfo=UTC).timestamp()
    label, parts = "=cmd|'/C calc'!A0", {"price_usd": 2.0, "compute_usd": 1.5, "storage_usd": 0.5}
    rows = [
        (run_row("a", trial=0, label=label, wall_seconds=2 * 86_400.0, started_at=october, market="spot", **parts), []),
        (run_row("b", role="baseline", label='a,\n"b" 🎉', sku="", market="", region="", user=""), []),
        (run_row("c", role="preparation", label="preparation", market="on_prem", price_usd=0.25), []),
    ]
    return by_hand.build(rows, study="@study", tags={"team": "-1+1", "x": '"quoted"'})


@pytest.fixture(params=["hard", "realistic", "hostile", "repriced", "euros"])
def table(request, by_hand):
    if request.param in ("hard", "realistic", "hostile"):
        return request.getfixturevalue(request.param)
    realistic = request.getfixturevalue("realistic")
    if request.param == "euros":
        return by_hand.replaced(realistic, currency=ExchangeRate("EUR", 1.25, date(2026, 1, 1), "a bank"))
    return reprice(realistic, Scenario(name="=half", changes=(RateChange(factor=0.5),)), load_price_book())


@pytest.mark.parametrize(("name", "version"), [("focus", "1.4"), ("focus-1.4", "1.4"), ("focus-1.2", "1.2")])
def test_every_row_keeps_to_the_specification(table, tmp_path, name, version):
    specified = columns_of(version)
    rows = rows_of(table, tmp_path, name)
    header = list(rows[0])
    assert [column for column in specified if column not in header] == [], "all mandatory columns and those listed"
    own = [column for column in header if column not in specified]
    assert all(column.startswith("x_") for column in own)
    assert header == sorted(specified) + own, "own columns come after those of the specification"
    for row in rows:
        for column, rule in specified.items():
            value = row[column]
            if value is None:
                assert rule["nulls"] == "True", f"{column} is null"
                continue
            assert re.fullmatch(FORMS[rule["type"]], value), f"{column}: {value!r} is no {rule['type']}"
            assert not rule["values"] or value in rule["values"].split("|"), f"{column}: {value!r}"
        assert row["ChargeClass"] is None, "nothing is corrected"
        assert (row["RegionName"] is None) is (row["RegionId"] is None)
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert row["BillingPeriodStart"].endswith("-01T00:00:00Z") and row["BillingPeriodEnd"].endswith("-01T00:00:00Z")
        assert len({row[cost] for cost in COSTS}) == 1
        assert all(isinstance(value, str) for value in json.loads(row["Tags"]).values())


def test_costs_add_up_to_the_spend_and_to_each_run(table, tmp_path):
    rows = rows_of(table, tmp_path)
    assert sum(float(row["x_cost_usd"]) for row in rows) == pytest.approx(table.spend_usd, rel=1e-12)
    billed = sum(float(row["BilledCost"]) for row in rows)
    assert billed == pytest.approx(table.currency.of(table.spend_usd), rel=1e-12)
    assert {row["BillingCurrency"] for row in rows} == {table.currency.code}
    for run in table.runs.to_dict("records"):
        of_run = sum(float(row["x_cost_usd"]) for row in rows if row["ResourceId"] == run["run_id"])
        assert of_run == pytest.approx(run["price_usd"], rel=1e-12)


def test_rows_say_what_they_are_for_and_that_they_are_estimates(hard, tmp_path):
    rows = rows_of(hard, tmp_path)
    assert {row["x_estimate"] for row in rows} == {"true"}
    assert all(row["ChargeDescription"].startswith("Estimate, not an invoice: ") for row in rows)
    october, november, nothing, preparation = [row for row in rows if row["x_cost_part"] == "compute"]
    assert [row["BillingPeriodEnd"] for row in (october, november)] == ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"]
    assert json.loads(october["Tags"]) == {
        "study": "@study",
        "user": "ada",
        "trial": "0",
        "team": "-1+1",
        "x": '"quoted"',
    }
    assert (october["PricingCategory"], october["SkuPriceId"]) == ("Dynamic", "aws/m5.large/us-east-1/spot")
    assert nothing["BilledCost"] == "0" and nothing["SkuId"] == "not known" and nothing["x_trial"] is None
    assert json.loads(nothing["Tags"]) == {"study": "@study", "team": "-1+1", "x": '"quoted"'}
    assert preparation["ChargeDescription"] == (
        "Estimate, not an invoice: compute of preparation, attempt 1, study @study, as aws/m5.large;"
        " at the rate of its time"
    )


def test_nothing_is_a_formula_for_a_spreadsheet(hard, tmp_path):
    for row in rows_of(hard, tmp_path):
        assert not any(re.match(r"[=+\-@\t\r]", value) for value in row.values() if value)
    assert {row["SubAccountId"] for row in rows_of(hard, tmp_path)} == {"'@study"}


def test_a_study_without_runs_has_a_header(empty, tmp_path):
    (path,) = write_report(empty, tmp_path, ["focus"])
    header = path.read_text().splitlines()
    assert len(header) == 1 and header[0].startswith('"BilledCost","BillingAccountId"')


@pytest.mark.skipif(shutil.which("focus-validator") is None, reason="focus-validator is not installed")
def test_the_public_validator_finds_no_wrong_value(realistic, tmp_path):
    """Its newest public version knows FOCUS 1.0, which calls some columns otherwise: what is there must be right."""
    (path,) = write_report(realistic, tmp_path, ["focus-1.2"])
    command = ["focus-validator", "--data-file", path, "--validate-version", "1.0"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout  # it exits with 0 on failure
    failed = set(re.findall(r"^(\w+) failed:", said, re.MULTILINE))
    own_trouble = {"BillingCurrency_IsCurrencyCode", "SkuPriceId_Nullable"}  # a missing file of its own; ChargeType
    assert "Validation" in said
    assert {rule for rule in failed - own_trouble if not rule.endswith("_Required")} == set()
    mandatory = {column for column, rule in columns_of("1.2").items() if rule["level"] == "Mandatory"}
    assert {rule.removesuffix("_Required") for rule in failed} & mandatory == set()


def test_the_formats_are_offered():
    assert {name: [file.name for file in FORMATS[name].files] for name in FORMATS if name.startswith("focus")} == {
        "focus": ["focus.csv"],
        "focus-1.4": ["focus-1.4.csv"],
        "focus-1.2": ["focus-1.2.csv"],
    }
