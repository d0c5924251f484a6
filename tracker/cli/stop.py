"""tracker stop: ask a running study to stop."""

from __future__ import annotations

import shlex

import click

from tracker.cli.options import STUDY_NAME, home_option
from tracker.cli.output import say
from tracker.runner.detached import stop_study
from tracker.store.home import Home


@click.command(short_help="Ask a running study to stop, as Ctrl-C does.")
@click.argument("name", type=STUDY_NAME)
@home_option
def stop(name: str, home: Home) -> None:
    """Ask study NAME to stop. Its workers end at once, and what they spent is counted."""
    if stop_study(name, home=home.path):
        say(f"{name} was asked to stop; `tracker status {shlex.quote(name)}` shows when it has", err=True)
    else:
        say(f"{name} is not running", err=True)
