"""tracker sync: deliver what MLflow lacks of a study."""

from __future__ import annotations

import click

from tracker.cli.options import STUDY_NAME, home_option
from tracker.cli.output import say
from tracker.runner.progress import Silent
from tracker.store.home import Home


@click.command(short_help="Deliver to MLflow what it lacks of a study.")
@click.argument("name", type=STUDY_NAME)
@home_option
def sync(name: str, home: Home) -> None:
    """Log what MLflow lacks of study NAME, which nobody runs, with the times that it happened at.

    A running study delivers by itself. Needed only where MLflow was away when the study ended, or lost runs; `tracker
    resume` does the same before it trains. `tracker audit` says whether anything is missing.
    """
    from tracker.runner.session import Places
    from tracker.runner.sync import sync_study  # MLflow, which takes seconds

    written = sync_study(name, Places(home), _Shown())
    say(
        f"{name}: {written} run{'' if written == 1 else 's'} delivered" if written else f"{name}: MLflow has everything"
    )


class _Shown(Silent):
    """Shows messages: no attempt runs."""

    def notify(self, message: str) -> None:
        """Show a message."""
        say(message, err=True)
