"""The JSON document: held against its published schema, and the same figures as the tables."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from tracker.export.formats import report_files, write_report
from tracker.export.report_document import report_document, schema
from tracker.pricing.price_book import load_price_book
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.report.repricing import reprice
from tracker.report.tables import frontier_document, runs_document
from tracker.study.spec import Limit

VALIDATOR = jsonschema.Draft202012Validator(schema())


@pytest.fixture(params=["small", "realistic", "empty", "hostile"])
def study(request):
    return request.getfixturevalue(request.param)


def complaints(document):
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_document_keeps_the_schema_and_names_it(study, tmp_path):
    written = write_report(study, tmp_path, ["json"])
    document = json.loads((tmp_path / "report.json").read_text())
    assert complaints(document) == []
    assert (tmp_path / document["$schema"]).resolve() in [path.resolve() for path in written]
    assert json.loads((tmp_path / document["$schema"]).read_text()) == schema()
    assert set(document) == set(schema()["required"])


def test_what_is_wrong_would_be_seen(small):
    document = report_document(small)
    document["frontier"][0]["price_usd"] = "cheap"
    del document["spend"]["by_state"][0]["share"]
    document["levers"] = [{"lever": "precision"}]
    assert len(complaints(document)) >= 3


def test_other_prices_limits_and_tags_keep_it_too(realistic):
    half = Scenario(name="half", changes=(RateChange(factor=0.5),))
    changed = replace(
        reprice(realistic, half, load_price_book()), limits=(Limit("validation_loss", None, 0.9),), tags={"team": "x"}
    )
    document = report_document(changed)
    assert complaints(document) == []
    assert document["scenario"]["name"] == "half"
    assert document["remarks"][0].startswith("scenario half")


def test_its_figures_are_those_of_the_commands(realistic):
    document = report_document(realistic)
    points = frontier_document(realistic)["points"]
    assert [{name: point[name] for name in points[0]} for point in document["frontier"]] == points
    assert document["spend"]["by_part_usd"] == runs_document(realistic)["spend_by_part_usd"]
    for parts in (document["spend"]["by_state"], document["spend"]["by_purpose"], document["rates"]):
        assert sum(part["spend_usd"] for part in parts) == pytest.approx(document["spend_usd"])
    assert document["hypervolume"]["steps"][-1]["spend_usd"] == pytest.approx(document["spend_usd"])


def test_every_key_of_the_schema_says_what_it_is():
    def undescribed(part, place):
        for name, below in part.get("properties", {}).items():
            if not below.get("description"):
                yield f"{place}.{name}"
            yield from undescribed(below, f"{place}.{name}")
        if "items" in part:
            yield from undescribed(part["items"], place)

    assert list(undescribed(schema(), "")) == []


def test_texts_are_as_they_are(hostile):
    (file,) = [each for each in report_files(["json"]) if each.name == "report.json"]
    document = json.loads(file.content(hostile))
    assert document["study"] == hostile.study
