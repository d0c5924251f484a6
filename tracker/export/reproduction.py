"""How to run a study again: what it recorded of its code, data and machine, and the commands."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, version

from tracker.report.training_command import home_option, study_command, training_command
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

UNRECORDED = "not recorded"
_NAMES = {
    "workload": "workload",
    "strategy": "search strategy",
    "seed": "seed",
    "hardware": "machine",
    "commit": "commit of the code",
    "data": "fingerprint of the data",
    "versions": "versions",
}


def facts(table: StudyTable) -> list[tuple[str, str]]:
    """What a person needs to get the same results, by name; UNRECORDED where the study kept nothing."""
    entries = [(words, table.provenance.get(name, UNRECORDED)) for name, words in _NAMES.items()]
    return [
        *entries,
        ("price book", table.price_book or UNRECORDED),
        ("report written by", f"cost-quality-tracker {tracker_version() or 'from source'}"),
    ]


def commands(table: StudyTable, run: int | None) -> list[tuple[str, str, str]]:
    """Shell commands: what each does, its text ("" where it is not known), and a remark.

    ``run`` is the row in table.runs of the run to train again; None for none.
    """
    report = ["tracker", "report", table.study]
    if table.home is None:
        return [("Write this report", shlex.join(report), "")]
    home = Home(table.home)
    study = study_command(home, table)
    entries = [("Run the whole study again", study.text, study.remark)]
    if run is not None:
        again = training_command(home, table, run)
        label = str(table.runs["label"].to_numpy()[run])
        entries.append((f"Train the first answer, {label}, again", again.text, again.remark))
    return [*entries, ("Write this report", shlex.join([*report, *home_option(home)]), "")]


def tracker_version() -> str:
    """The version of this package; "" where it is not installed."""
    try:
        return version("cost-quality-tracker")
    except PackageNotFoundError:
        return ""
