"""tracker import: studies that come from elsewhere, brought into the home."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.options import home_option
from tracker.store.home import Home


@click.group("import", short_help="Bring in a study that was exported, to read it like any other.")
def import_() -> None:
    """Bring in a study from elsewhere: frontier, runs, report and dashboard read it like any other."""


@import_.command("export", short_help="A study that `tracker report --format csv` or `parquet` wrote.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", default="", metavar="NAME", help="What to call it here.  [default: its own name]")
@home_option
def export(folder: Path, name: str, home: Home) -> None:
    """Bring in the study that was exported into FOLDER: its runs, checkpoints, prices and settings.

    It cannot be resumed: neither its code nor a saved state comes with it.
    """
    from tracker.imports.export import import_export  # MLflow, which takes seconds

    study = import_export(folder, home, name, lambda message: click.echo(message, err=True))
    click.echo(study)
