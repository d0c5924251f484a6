"""Options and helpers that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tracker.store.home import Home

Command = TypeVar("Command", bound=Callable[..., Any])


def _home(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Home:
    del ctx, parameter
    return Home.find(value)


home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    callback=_home,
    help="The folder that studies live in.  [default: TRACKER_HOME or ./results]",
)
storage_option = click.option(
    "--storage", metavar="URL", help="The Optuna database, any SQLAlchemy URL.  [default: optuna.db in the home]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
workers_option = click.option("--workers", type=click.IntRange(min=1), help="At most this many trials at once.")
budget_option = click.option("--budget-usd", type=float, help="Stop when this many dollars are spent.")
trials_option = click.option("--trials", type=int, help="Stop after this many trials.")


def print_json(document: Mapping[str, Any]) -> None:
    """One document on standard output; what is not a number is null."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
