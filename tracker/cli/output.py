"""What commands print: names and messages that others wrote are shown as text, and never steer the terminal."""

from __future__ import annotations

import click

from tracker.report.words import visible


def say(text: object = "", *, err: bool = False) -> None:
    """Print a line, or lines, on standard output, or on standard error."""
    click.echo(visible(str(text)), err=err)
