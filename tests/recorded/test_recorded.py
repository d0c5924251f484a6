"""Studies that earlier versions recorded are read, reported, restored and resumed by this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recorded.make import FIGURES, figures, put
from tests.support.command import tracker
from tracker import open_study

RECORDS = sorted(path.parent for path in Path(__file__).parent.glob(f"*/{FIGURES}"))
SPENT = "0.0000001"
"""A budget in dollars that every recorded study has spent: resuming it restores what is missing, and trains nothing."""


@pytest.fixture(params=RECORDS, ids=lambda record: record.name)
def record(request):
    return request.param


@pytest.fixture
def home(record, tmp_path):
    return put(record, tmp_path)


@pytest.fixture
def logs_alone(record, tmp_path):
    """The home without its databases."""
    home = put(record, tmp_path)
    for name in ("mlflow.db", "optuna.db"):
        (home / name).unlink()
    return home


def recorded_figures(record):
    return json.loads((record / FIGURES).read_text())


def differences(found, recorded, *, states=True):
    """What of the recorded figures is another figure now."""
    left_out = () if states else ("state",)
    runs = {
        (label, name)
        for label, run in recorded["runs"].items()
        for name in run.keys() - set(left_out)
        if found["runs"][label][name] != (run[name] if not isinstance(run[name], float) else pytest.approx(run[name]))
    }
    spend = {"spend"} if found["spend_usd"] != pytest.approx(recorded["spend_usd"]) else set()
    points = [tuple(point) for point in recorded["frontier"]]
    same = len(points) == len(found["frontier"]) and all(
        tuple(now) == pytest.approx(point) for now, point in zip(found["frontier"], points, strict=True)
    )
    return runs | spend | (set() if same else {"frontier"})


def damage(path, number, text):
    """Replace a line (from 1) of a file."""
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def test_its_runs_and_its_frontier_are_those_that_were_recorded(record, home):
    assert differences(figures(home), recorded_figures(record)) == set()


def test_its_report_is_written(home):
    said = tracker("report", "recorded", "--format", "json,csv,html", home=home)
    assert said.returncode == 0, said.stderr
    [path] = home.glob("reports/recorded/**/report.json")
    assert json.loads(path.read_text())["study"]


def test_all_is_restored_from_its_event_logs_alone(record, logs_alone):
    said = tracker("resume", "recorded", "--budget-usd", SPENT, home=logs_alone)
    assert said.returncode == 0, said.stderr
    assert differences(figures(logs_alone), recorded_figures(record), states=False) == set()


def test_it_is_resumed_from_its_saved_states_within_a_larger_budget(record, home):
    before = recorded_figures(record)
    paused = {label for label, run in before["runs"].items() if run["state"] == "paused"}
    assert paused, "something is left to resume"
    usd = before["spend_usd"] + 0.0002
    said = tracker("resume", "recorded", "--budget-usd", usd, "--trials", len(before["runs"]), home=home)
    assert said.returncode == 0, said.stderr
    after = figures(home)
    assert after["spend_usd"] > before["spend_usd"]
    logs = [log.read_text() for log in home.glob("studies/recorded/trials/*/*.jsonl")]
    assert sum('"restored"' in log for log in logs) + len(after["runs"]) > len(before["runs"])
    for label, run in before["runs"].items():
        assert after["runs"][label]["price_usd"] >= run["price_usd"] * (1 - 1e-9)


def test_a_study_with_damaged_logs_is_read_and_resumed_and_the_lines_are_named(record, logs_alone):
    folder = logs_alone / "studies/recorded/trials"
    damage(folder / "2/1.jsonl", 3, '{"event": "ready", "time": -1.0')
    damage(folder / "3/1.jsonl", 1, '{"event": "asked", "time": null}')
    said = tracker("resume", "recorded", "--budget-usd", SPENT, home=logs_alone)
    assert said.returncode == 0, said.stderr
    shown = " ".join((said.stdout + said.stderr).split())
    assert "2/1.jsonl': line 3 cannot be read: it is not JSON" in shown
    assert "3/1.jsonl': line 1 cannot be read: time of event 'asked' is None" in shown
    assert "the attempt and its price are not counted" in shown
    runs = open_study("recorded", home=logs_alone).runs().set_index("label")
    before = recorded_figures(record)["runs"]
    assert runs.loc["#2", "price_usd"] == pytest.approx(before["#2"]["price_usd"])
    assert 0 < runs.loc["#3", "price_usd"] < before["#3"]["price_usd"]


@pytest.mark.parametrize("name", ["study.json", "search.json", "evidence.json", "trials/2/1.jsonl"])
def test_a_file_of_a_newer_format_is_refused_with_the_version_that_reads_it(name, tmp_path):
    home = put(RECORDS[-1], tmp_path)
    path = home / "studies/recorded" / name
    first, *rest = path.read_text().splitlines() if name.endswith("l") else [path.read_text()]
    content = json.loads(first)
    content = {"rows": content} if isinstance(content, list) else content
    path.write_text("\n".join([json.dumps({**content, "format": 99, "tracker": "9.8.7"}), *rest, ""]))
    said = tracker("resume", "recorded", home=home)
    assert said.returncode == 1
    for words in (str(path), "has format 99", "up to format", "written by tracker 9.8.7"):
        assert words in " ".join(said.stderr.split())
