"""An export brought into an empty home: the study is there as it was, or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tests.support.tables import build, by_hand, checkpoint_rows, empty, hostile, realistic, run_row, small
from tracker import import_export, open_study
from tracker.errors import RequestError, StudyExistsError
from tracker.export.formats import write_report
from tracker.frontier.pareto import Direction
from tracker.imports import log_table
from tracker.imports.exported import read_export
from tracker.pricing.rate_change import RateChange
from tracker.pricing.scenario import Scenario
from tracker.report.attempts import attempts_table
from tracker.report.tables import frontier_document, runs_document
from tracker.store.attempts import SeveralAttempts
from tracker.store.home import Home
from tracker.store.run_logs import Outbox
from tracker.store.run_table import list_studies
from tracker.study.costs import CostTerms
from tracker.study.spec import Limit

__all__ = ["by_hand", "empty", "hostile", "realistic", "small"]


@pytest.fixture
def home(tmp_path):
    put_mlflow_database(tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def unlike():
    """What is not as usual: a resumed run, repeats, sparse metrics, energy, names, times to the millisecond."""
    first = run_row(
        "a",
        trial=0,
        label="#0",
        user="ada",
        attempts=2,
        settings={"width": 8, "rate": 1e-7, "fast": True, "name": "=1"},
    )
    repeat = run_row("b", trial=0, role="repeat", label="repeat of #0", settings={"width": 8})
    sparse = run_row("c", trial=1, label="#1", message="-danger\r\n", state="failed", busy=True, cores=4)
    data = run_row("d", role="preparation", label="preparation", data_usd=0.5, price_usd=0.5, acquired_samples=9.0)
    rows = []
    for run, qualities in ((first, [0.1, 0.3]), (repeat, [0.2]), (sparse, [0.4, 0.5, 0.45]), (data, [])):
        run["started_at"] = 1.79e9 + len(rows) + 0.286
        steps = checkpoint_rows(run, qualities, [1.686 + at for at in range(len(qualities))])
        rows.append((run, steps))
    sparse_steps = rows[2][1]
    sparse_steps[0]["metrics"]["stored_bytes"] = 12.0
    sparse_steps[0]["metrics"]["recall@5"] = 0.25
    sparse_steps[2]["timestamp"] += 0.686
    sparse["stored_bytes"] = 12.0
    sparse["summary"] = {"recall@5": math.nan, "accuracy": 0.45, "validation_loss": 0.55, "test_accuracy": 1 / 3}
    first["summary"] = {"accuracy": 0.3, "validation_loss": 0.7, "parameters": 1e15}
    repeat["summary"] = {"accuracy": 0.2, "validation_loss": 0.8}
    for run, joules in ((first, 3.6e6), (sparse, 1.0)):
        run["energy_joules"], run["energy_source"] = joules, "measured"
        run["energy_kwh"], run["co2_grams"] = joules / 3.6e6, joules / 3.6e6 * 300.0
    for _, steps in rows:
        for step in steps:
            step["timestamp"] = round(step["timestamp"], 3)  # as MLflow keeps times
    # The first attempt ended where the second one has a checkpoint.
    rows[0][1][1]["metrics"] |= {"compute_usd": 0.25, "data_usd": 0.0, "billed_seconds": 2.0}
    first["compute_usd"] = first["price_usd"] = 1.0
    first["billed_seconds"] = first["wall_seconds"] = 4.0
    began = first["started_at"]
    attempts = pd.DataFrame(
        {
            "run": [0, 0],
            "started_at": [began, began + 5.0],
            "ended_at": [began + 1.75, began + 7.25],
            "wall_seconds": [1.75, 2.25],
            "billed_seconds": [2.0, 2.0],
            "compute_usd": [0.25, 0.75],
            **{name: [0.0, 0.0] for name in ("data_usd", "storage_usd", "maintenance_usd")},
        }
    )
    return build(
        rows,
        attempts=SeveralAttempts(lambda: attempts),
        provenance={"workload": "a.b:C", "commit": "0" * 40},
        tags={"team": "search"},
        user="ada",
        direction=Direction.MINIMIZE,
        limits=(Limit("validation_loss", None, 0.75),),
        terms=CostTerms(keep_months=1.0),
        data="made up; rows: 5 train",
        country="FRA",
    )


def alike(found, expected):
    """Whether two tables are of the same study, but for the ids that MLflow gives runs."""
    order = expected.runs.sort_values("started_at", kind="stable").index
    for name in set(expected.runs) - {"run_id", "co2_grams"}:  # of CO2 the grid is asked again
        ours, theirs = found.runs[name].tolist(), expected.runs.loc[order, name].tolist()
        assert pd.Series(ours).equals(pd.Series(theirs, dtype=pd.Series(ours).dtype)), name
    for name in expected.settings:
        assert found.settings[name].tolist() == expected.settings.loc[order, name].tolist()
    for name in expected.summary:
        if expected.summary[name].notna().any():
            assert np.array_equal(found.summary[name], expected.summary.loc[order, name], equal_nan=True), name
    assert (
        found.checkpoints.drop(columns=["run_id", "run"])
        .astype(object)
        .equals(expected.checkpoints.drop(columns=["run_id", "run"]).astype(object))
    )
    for name in expected.metrics:
        assert np.array_equal(found.metrics[name], expected.metrics[name], equal_nan=True), name
    ours, theirs = attempts_table(found), attempts_table(expected)
    for name in ("label", "attempt", "state"):
        assert ours[name].tolist() == theirs[name].tolist(), name
    for name in ("started_at", "ended_at", "wall_seconds", "billed_seconds", "price_usd", "compute_usd", "data_usd"):
        assert ours[name].tolist() == pytest.approx(theirs[name].tolist(), rel=1e-12, nan_ok=True), name
    for name in (
        "provenance",
        "tags",
        "user",
        "quality",
        "budget_usd",
        "price_book",
        "state",
        "limits",
        "terms",
        "country",
        "data",
    ):
        assert getattr(found, name) == getattr(expected, name)


def imported(table, home, tmp_path, *formats, **options):
    write_report(table, tmp_path / "export", formats or ["csv"])
    return import_export(tmp_path / "export", home=home.path, **options).table()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_export_is_read_as_the_table_that_it_was_of(unlike, tmp_path, kind):
    write_report(unlike, tmp_path, [kind])
    alike(read_export(tmp_path), unlike)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_imported_study_is_the_one_that_was_exported(unlike, home, tmp_path, kind):
    found = imported(unlike, home, tmp_path, kind)
    alike(found, unlike)
    # And an export of it is the same again.
    write_report(found, tmp_path / "again", [kind])
    alike(read_export(tmp_path / "again"), unlike)


def test_frontier_and_spend_are_the_same_to_the_last_digit(realistic, home, tmp_path):
    found = imported(realistic, home, tmp_path, name="copy")
    before, after = frontier_document(realistic), frontier_document(found)
    assert after.pop("study") == "copy"
    before.pop("study")
    assert after == before
    ours, theirs = runs_document(found), runs_document(realistic)
    assert (ours["spend_usd"], ours["spend_by_part_usd"]) == (theirs["spend_usd"], theirs["spend_by_part_usd"])
    half = Scenario(changes=(RateChange(factor=0.5),))
    assert open_study("copy", home=home.path).table(half).scenario is not None


def test_empty_and_hostile_studies_come_in_too(empty, hostile, home, tmp_path):
    for at, table in enumerate((empty, hostile)):
        found = imported(table, home, tmp_path / str(at))
        assert (found.study, len(found.runs), len(found.checkpoints)) == (
            *(table.study, len(table.runs)),
            len(table.checkpoints),
        )
    assert set(found.settings["precision"]) == set(hostile.settings["precision"])
    assert set(found.runs["message"]) == set(hostile.runs["message"])
    assert open_study("just started", home=home.path).table().state == "stopped"  # nothing runs here


def test_the_commands_read_it_and_resume_says_why_not(small, home, tmp_path):
    write_report(small, tmp_path / "out", ["csv"])
    done = tracker("import", "export", tmp_path / "out", home=home.path)
    assert (done.returncode, done.stdout) == (0, "docstrings\n"), done.stderr
    for command in ("frontier", "runs", "status"):
        shown = tracker(command, "docstrings", home=home.path)
        assert shown.returncode == 0, shown.stderr
        assert "tracker resume" not in shown.stderr
    resumed = tracker("resume", "docstrings", home=home.path)
    assert resumed.returncode == 2
    assert "was imported from an export of study 'docstrings'" in resumed.stderr
    assert len(resumed.stderr.splitlines()) == 2
    again = tracker("import", "export", tmp_path / "out", home=home.path)
    assert again.returncode == 2
    assert "choose another --name" in again.stderr.lower()


def edited(change):
    """A way to spoil an export: ``change`` gets its folder."""
    return change


def without(name):
    return lambda folder: (folder / name).unlink()


def rewritten(name, old, new):
    def change(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


SPOILT = {
    "no folder": (lambda folder: [each.unlink() for each in folder.iterdir()], "there is no export in"),
    "no runs": (without("runs.csv"), "half an export"),
    "no checkpoints": (without("checkpoints.csv"), "half an export"),
    "another json": (lambda folder: (folder / "study.json").write_text("[]"), "is not of an export"),
    "broken json": (lambda folder: (folder / "study.json").write_text('{"format"'), "cannot be read"),
    "newer": (rewritten("study.json", '"format_version": 1', '"format_version": 2'), "upgrade it"),
    "a column less": (rewritten("runs.csv", '"price_usd"', '"price"'), "lacks column 'price_usd'"),
    "rows less": (
        lambda folder: (folder / "runs.csv").write_text(
            "\n".join((folder / "runs.csv").read_text().splitlines()[:-1]) + "\n"
        ),
        "study.json says 6",
    ),
    "cut off": (
        lambda folder: (folder / "runs.csv").write_bytes((folder / "runs.csv").read_bytes()[:-200]),
        "runs.csv' ",
    ),
    "a text for a number": (rewritten("checkpoints.csv", ",0.5,", ",half,"), "cannot be read"),
    "a role that is none": (rewritten("runs.csv", '"trial",0', '"trail",0'), "did you mean 'trial'"),
    "a direction": (rewritten("study.json", '"maximize"', '"up"'), "is not as an export has it"),
    "no quality": (rewritten("study.json", '"quality"', '"kwality"'), "is not as an export has it"),
    "a country": (rewritten("study.json", '"country": ""', '"country": "Atlantis"'), "no carbon intensity of country"),
    "a rate": (rewritten("study.json", '"usd_per_hour": "0.096"', '"usd_per_hour": "cheap"'), "usd_per_hour"),
    "strange costs": (rewritten("study.json", '"keep_months"', '"keep"'), "is not as an export has it"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_no_whole_export_is_refused_in_a_line_or_two(small, home, tmp_path, case):
    spoil, reported = SPOILT[case]
    folder = tmp_path / "out"
    write_report(small, folder, ["csv"])
    spoil(folder)
    done = tracker("import", "export", folder, home=home.path)
    assert done.returncode == 2
    assert reported in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert list_studies(home.tracking_uri) == []


def test_a_parquet_file_that_another_program_wrote_is_taken(small, home, tmp_path):
    write_report(small, tmp_path / "out", ["parquet"])
    path = tmp_path / "out/runs.parquet"
    pd.read_parquet(path).to_parquet(path)
    assert import_export(tmp_path / "out", home=home.path).spend_usd == small.spend_usd
    (tmp_path / "out/checkpoints.parquet").write_bytes(b"PAR1")
    with pytest.raises(RequestError, match=r"checkpoints.parquet' cannot be read"):
        import_export(tmp_path / "out", home=home.path, name="other")


def test_prices_of_a_scenario_are_not_taken_for_billed_ones(small, home, tmp_path):
    write_report(replace(small, scenario=Scenario(name="half", changes=(RateChange(factor=0.5),))), tmp_path, ["csv"])
    with pytest.raises(RequestError, match="under a scenario, not what was billed"):
        import_export(tmp_path, home=home.path)


def test_a_run_that_cannot_be_written_leaves_nothing(small, home, tmp_path, monkeypatch):
    write_report(small, tmp_path / "out", ["csv"])
    flush, flushed = Outbox.flush, []

    def full_disk(self):
        flushed.append(self)
        if len(flushed) == 2:
            raise OSError(28, "No space left on device")
        flush(self)

    monkeypatch.setattr(Outbox, "flush", full_disk)
    with pytest.raises(OSError, match="No space"):
        import_export(tmp_path / "out", home=home.path)
    monkeypatch.undo()
    assert list_studies(home.tracking_uri) == []
    assert import_export(tmp_path / "out", home=home.path).spend_usd == small.spend_usd


def test_a_study_is_not_seen_before_it_is_whole(small, home, tmp_path, monkeypatch):
    write_report(small, tmp_path / "out", ["csv"])
    seen = []
    flush = Outbox.flush

    def looking(self):
        flush(self)
        seen.append([each.name for each in list_studies(home.tracking_uri)])

    monkeypatch.setattr(Outbox, "flush", looking)
    with pytest.raises(StudyExistsError):
        monkeypatch.setattr(log_table, "_REPORT_EVERY", 1)
        said = []
        log_table.log_table(small, home, "elsewhere", said.append)
        assert said[0] == "1 of 6 runs are written"
        log_table.log_table(small, home, "elsewhere")
    assert all(names in ([], [f".{small.study}"]) or "docstrings" not in names for names in seen[:-1])


def test_columns_of_ones_own_do_not_matter(small, home, tmp_path):
    write_report(small, tmp_path / "out", ["parquet"])
    path = tmp_path / "out/runs.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.append_column("note", [["x"] * len(table)]), path)
    document = json.loads((tmp_path / "out/study.json").read_text())
    assert "note" not in document["tables"]["runs"]["columns"]
    assert import_export(tmp_path / "out", home=home.path).spend_usd == small.spend_usd
