"""The reference is whole: nothing that a person can type, set or read is without a description."""

from __future__ import annotations

import contextlib
import inspect
import re
import sqlite3

import click
import pytest

import tracker
from docs.generator import GENERATED
from docs.generator.columns import TABLES
from docs.generator.commands import every_command
from docs.generator.library import public_methods
from docs.generator.markdown import plain
from tests.support.studies import digits
from tests.support.tables import build, trial
from tracker.export.arrow_tables import TABLES as EXPORTED
from tracker.export.columns import column
from tracker.pricing.price_point import COLUMNS
from tracker.pricing.price_table import COLUMN_HELP
from tracker.pricing.scenario_file import CHANGE_KEYS, SCENARIO_KEYS
from tracker.pricing.user_rates import RATE_KEYS
from tracker.records import BOOKED_METRICS
from tracker.report.attempts import attempts_table
from tracker.store.run_table import IMPORTED
from tracker.store.tags import RUN_TAGS, STUDY_TAGS
from tracker.study.costs import ASSUMPTIONS
from tracker.study.keys import TABLE_KEYS, TOP_KEYS
from tracker.study.knobs import COMMON_KNOBS
from tracker.training.command_workload import COMMAND_ENVIRONMENT

COMMANDS = dict(every_command())


@pytest.fixture(scope="module")
def parts():
    """Every part of the reference by its name."""
    return {name: make() for name, make in GENERATED.items()}


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_command_and_option_is_described(typed, parts):
    command = COMMANDS[typed]
    assert f"# `{typed}`\n" in parts["commands"]
    assert command.help, typed
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{typed} {option.opts[0]}"
            assert option.opts[0] in parts["commands"]


def test_every_key_of_a_study_file_is_described(parts):
    for name, key in [*TOP_KEYS.items(), *(pair for keys in TABLE_KEYS.values() for pair in keys.items())]:
        assert key.help and key.takes, name
        assert f"| `{name}` | {plain(key.takes)} |" in parts["study-file"]
    for name, assumption in ASSUMPTIONS.items():
        assert assumption.source and assumption.knob.help, name
    for name, knob in COMMON_KNOBS.items():
        assert knob.help and f"| `{name}` |" in parts["hardware-knobs"], name


def test_every_key_of_rates_and_scenarios_and_every_column_of_the_price_book_is_described(parts):
    for knobs in (*RATE_KEYS.values(), CHANGE_KEYS):
        for name, knob in knobs.items():
            assert knob.help and f"| `{name}` |" in parts["price-files"], name
    assert set(COLUMN_HELP) == set(COLUMNS)
    for name in (*SCENARIO_KEYS, *COLUMNS):
        assert f"| `{name}` |" in parts["price-files"], name


def test_every_column_of_every_table_is_described(parts):
    study = build([trial(0, [0.5, 0.6], [1.0, 2.0]), trial(1, [0.7, 0.8], [3.0, 4.0])])
    shown = {name: set(columns) for name, (_, columns) in TABLES.items()}
    for name, (_, make) in EXPORTED.items():
        made = {re.sub(r"^(settings|summary|metrics)\..*", "", column) for column in make(study).column_names}
        assert made - {""} <= shown[name], name
    assert set(attempts_table(study).columns) <= shown["attempts"]
    for name, (_, columns) in TABLES.items():
        for each in columns:
            assert column(each).meaning, f"{name}: {each}"
            assert f"| `{each}` |" in parts["columns"]


def test_every_metric_of_the_tracker_is_described(parts):
    for name in BOOKED_METRICS:
        assert column(name).meaning and f"| `{name}` |" in parts["metrics"], name


def test_every_name_of_the_library_says_what_it_does(parts):
    for name in tracker.__all__:
        assert inspect.getdoc(getattr(tracker, name)) and f"## `{name}`" in parts["library"], name
    for name in ("Study", "Run"):
        assert all(inspect.getdoc(value) for _, value in public_methods(name))


def test_every_tag_that_a_study_puts_on_its_runs_is_described(new_home):
    home = new_home()
    tracker.run_study(digits(budget={"trials": 1}, settings={"epochs": 1}, space={"width": [4]}), home=home)
    with contextlib.closing(sqlite3.connect(home / "mlflow.db")) as database:
        rows = database.execute(
            "SELECT DISTINCT key, run_uuid IN (SELECT run_uuid FROM tags WHERE value = 'study' AND key LIKE '%role')"
            " FROM tags WHERE key LIKE 'tracker.%' AND key NOT LIKE 'tracker.name.%'"
        ).fetchall()
    of_study, of_runs = ({key for key, is_parent in rows if bool(is_parent) == wanted} for wanted in (True, False))
    assert of_study - {"tracker.role"} == set(STUDY_TAGS) - {IMPORTED}
    assert of_runs <= set(RUN_TAGS)


def test_a_command_finds_the_variables_that_are_described(new_home, tmp_path):
    (tmp_path / "train.sh").write_text('env > seen.txt\necho \'{"epoch": 1, "accuracy": 0.5}\' >> "$TRACKER_REPORT"\n')
    study = {
        "name": "seen",
        "command": "sh train.sh {rate}",
        "folder": str(tmp_path),
        "quality": {"metric": "accuracy", "direction": "maximize"},
        "budget": {"trials": 1},
        "data": {"place": "here"},
        "settings": {"threads": 1},
        "space": {"rate": [1]},
    }
    tracker.run_study(study, home=new_home())
    seen = {line.partition("=")[0] for line in (tmp_path / "seen.txt").read_text().splitlines()}
    named = {re.sub(r"<KEY>", "PLACE", name) for name in COMMAND_ENVIRONMENT}
    assert named <= seen
    assert {name for name in seen if name.startswith("TRACKER_")} <= named | {"TRACKER_HOME"}
