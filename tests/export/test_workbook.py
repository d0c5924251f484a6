"""The workbook, read back by openpyxl: sheets, numbers, formats, charts, and nothing that runs."""

from __future__ import annotations

import io
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import openpyxl
import pytest

from tracker.export import arrow_tables, sheets
from tracker.export.formats import report_files, write_report
from tracker.report.tables import frontier_table, spend_by_state

NAMES = ["Summary", "Frontier", "Runs", "Checkpoints", "Attempts", "Spend", "Levers", "Assumptions"]


def opened(table):
    (file,) = report_files(["xlsx"])
    return openpyxl.load_workbook(io.BytesIO(file.content(table)))


def rows(sheet):
    head, *body = sheet.iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in body]


def test_every_table_is_a_sheet_with_a_header_that_stays_and_a_filter(realistic):
    book = opened(realistic)
    assert book.sheetnames == NAMES
    for name, table in (("Frontier", arrow_tables.frontier), ("Runs", arrow_tables.runs)):
        sheet, expected = book[name], table(realistic)
        assert (sheet.max_row, sheet.max_column) == (len(expected) + 1, expected.num_columns)
        assert sheet.auto_filter.ref == sheet.dimensions
        assert sheet.freeze_panes.endswith("2")
        assert set(next(sheet.iter_rows(values_only=True))) == set(expected.column_names)
    assert len(book["Summary"]._charts) == 3


def test_numbers_are_numbers_in_full_precision_and_look_like_what_they_are(realistic):
    book = opened(realistic)
    runs = rows(book["Runs"])
    assert [run["label"] for run in runs] == realistic.runs["label"].tolist()
    assert [run["price_usd"] for run in runs] == realistic.runs["price_usd"].tolist()
    assert [run["settings.learning_rate"] for run in runs[2:]] == realistic.settings["learning_rate"].tolist()[2:]
    assert runs[0]["started_at"].year == 2023
    prices = [point["price_usd"] for point in rows(book["Frontier"])]
    assert prices == pytest.approx(frontier_table(realistic)["price_usd"].tolist(), rel=1e-14)
    formats = {cell.value: book["Runs"].cell(2, cell.column).number_format for cell in book["Runs"][1]}
    assert formats["price_usd"].startswith('"$"#,##0.0000')
    assert (formats["machine_share"], formats["wall_seconds"]) == ("0.0%", "#,##0.00")
    assert formats["started_at"] == "yyyy-mm-dd hh:mm:ss"
    steps = rows(book["Checkpoints"])
    assert np.allclose([step["metrics.validation_loss"] for step in steps], realistic.metrics["validation_loss"])


def test_the_spend_adds_up(small):
    values = list(opened(small)["Spend"].iter_rows(values_only=True, max_col=4))
    at = values.index(("state", "runs", "spend_usd", "share"))
    states = values[at + 1 : at + 1 + len(spend_by_state(small))]
    assert sum(row[2] for row in states) == pytest.approx(small.spend_usd)


def test_nothing_is_a_formula_and_negative_numbers_are_numbers(by_hand):
    evil = {"settings": {"name": "=1+1", "shift": -0.5}, "message": "@SUM(1)", "sku": "+1", "state": "failed"}
    book = opened(by_hand.build([by_hand.trial(0, [-0.25, -0.5], [1.0, 2.0], **evil)], study="=cmd|' /C calc'!A0"))
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)
    (run,) = rows(book["Runs"])
    assert (run["settings.name"], run["message"], run["sku"]) == ("'=1+1", "'@SUM(1)", "'+1")
    assert (run["settings.shift"], run["quality"]) == (-0.5, -0.5)
    assert book["Summary"]["A1"].value.startswith("'=cmd")


def test_texts_that_xml_knows_no_sign_for_are_texts(by_hand):
    message = 'a\x00b\x1f <&> "q" 🦊 ￿ ' + "x" * 40_000
    book = opened(by_hand.build([by_hand.trial(0, [0.5], [1.0], message=message, settings={"large": 2**60})]))
    (run,) = rows(book["Runs"])
    assert run["message"].endswith("x")
    assert len(run["message"]) <= 32_767 + 30
    assert "<&>" in run["message"]
    assert run["settings.large"] == str(2**60)


def test_the_summary_begins_with_what_to_buy(realistic):
    sheet = opened(realistic)["Summary"]
    assert sheet["A4"].value.startswith("Cheapest at the target")
    assert "tracker confirm" in sheet["C4"].value


def test_what_finds_no_room_is_said(realistic, monkeypatch):
    monkeypatch.setattr(sheets, "MOST_ROWS", 11)
    monkeypatch.setattr("tracker.export.workbook.MOST_ROWS", 11)
    book = opened(realistic)
    assert book["Runs"].max_row == book["Checkpoints"].max_row == 11
    shown = [str(cell.value) for cell in book["Summary"]["A"] if cell.value]
    assert f"{len(realistic.runs) - 10} more are in runs.csv" in " ".join(shown)


def test_empty_and_hostile_studies_are_workbooks_too(empty, hostile, tmp_path):
    for table in (empty, hostile):
        assert opened(table).sheetnames == NAMES
    write_report(hostile, tmp_path, ["xlsx"])
    with zipfile.ZipFile(tmp_path / "report.xlsx") as file:
        assert file.testzip() is None
        for name in file.namelist():
            if name.endswith((".xml", ".rels")):
                ET.fromstring(file.read(name))
