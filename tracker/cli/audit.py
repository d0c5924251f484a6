"""tracker audit: whether a study's event logs, MLflow and Optuna say the same."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict

import click

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json, storage_option
from tracker.cli.output import say
from tracker.runner.audit.audit import audit_study
from tracker.runner.audit.finding import Audit
from tracker.store.home import Home


@click.command(short_help="Whether a study's event logs, MLflow and Optuna say the same.")
@click.argument("name", type=STUDY_NAME)
@click.option("--repair", is_flag=True, help="Mend what can be mended by the event logs, and audit again.")
@json_option
@home_option
@storage_option
def audit(name: str, repair: bool, as_json: bool, home: Home, storage: str | None) -> None:
    """Compare what the event logs of study NAME, MLflow and Optuna say: runs, checkpoints, states, spend, processes.

    Prints each difference in a line, and exits with 1 where there is any, with 0 where all agree. Writes nothing
    without --repair; with it, event logs only get the ends that they lack. A study that runs is compared as far as
    possible, and not repaired.
    """
    found = audit_study(name, home, storage)
    if repair:
        if not as_json:
            _show(found)
        found = _repaired(name, home, storage)
    if as_json:
        print_json({**asdict(found), "agrees": found.agrees})
    else:
        _show(found)
        if not found.agrees and not repair and found.coordinator is None:
            say(f"mend it: tracker audit {shlex.quote(name)} --repair", err=True)
    if not found.agrees:
        sys.exit(1)


def _repaired(name: str, home: Home, storage: str | None) -> Audit:
    from tracker.runner.audit.repair import repair_study  # MLflow, which takes seconds
    from tracker.runner.session import Places

    return repair_study(name, Places(home, storage))


def _show(found: Audit) -> None:
    for note in found.notes:
        say(note)
    for finding in found.findings:
        say(finding.words)
    counts = f"{found.runs} runs, {found.attempts} attempts, ${found.price_usd!r}, {found.wall_seconds!r} s"
    differences = f"{len(found.findings)} difference{'' if len(found.findings) == 1 else 's'}"
    say(f"{found.study}: {'all books agree' if found.agrees else differences}: {counts}")
