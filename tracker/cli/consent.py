"""Asks before a study runs: what its file did not bring along, and what would cost more than a person said."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from tracker.cli.output import say
from tracker.errors import RequestError
from tracker.report.words import usd
from tracker.runner.consent import allow, code_to_allow, is_allowed, update_to_allow
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.edits import to_resume

yes_option = click.option(
    "--yes", is_flag=True, help="Run a command, or code outside the study file's folder, without asking."
)
confirm_above_option = click.option(
    "--confirm-above", type=float, metavar="USD", help="Ask first where it may cost more than this, unless --yes."
)


def ask(document: StudyDocument, study_file: Path, home: Home, *, yes: bool) -> None:
    """Show what the study would run, and ask once for each. Raises RequestError where the answer is no, or none."""
    _ask(code_to_allow(document, study_file.parent), home, yes=yes)


def ask_update(stored: StudyDocument, home: Home, *, yes: bool) -> None:
    """The same of what edits of a started study's file add.

    Raises what ``to_resume`` raises, too.
    """
    now = to_resume(stored, lambda _: None, update=True)
    _ask(update_to_allow(stored, now), home, yes=yes)


def _ask(code: str, home: Home, *, yes: bool) -> None:
    if yes or is_allowed(home, code):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RequestError(f"{code}\nread it; to run it where there is no terminal to ask on, give --yes")
    say(code, err=True)
    if not click.confirm("Run it? You are asked once", err=True):
        raise RequestError("nothing was run")
    allow(home, code)


def ask_above(most_usd: float | None, limit_usd: float | None, *, yes: bool) -> None:
    """Ask where a study may cost more than ``limit_usd``, or nobody knows what: ``most_usd`` is None.

    Raises RequestError where the answer is no, or there is no terminal to ask on; and for a limit that is none.
    """
    if limit_usd is None:
        return
    if not (math.isfinite(limit_usd) and limit_usd >= 0):
        raise RequestError(f"--confirm-above {limit_usd:g} is not a number of dollars of at least 0")
    if yes or (most_usd is not None and most_usd <= limit_usd):
        return
    may = "nobody knows what it may cost" if most_usd is None else f"it may cost {usd(most_usd)}"
    why = f"{may}, and --confirm-above is {usd(limit_usd)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RequestError(f"{why}; to run it where there is no terminal to ask on, give --yes")
    say(why, err=True)
    if not click.confirm("Run it?", err=True):
        raise RequestError("nothing was run")
