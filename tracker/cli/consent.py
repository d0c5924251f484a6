"""Asks before a study runs what its file did not bring along."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tracker.cli.output import say
from tracker.errors import RequestError
from tracker.runner.consent import allow, code_to_allow, is_allowed, update_to_allow
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.edits import to_resume

yes_option = click.option(
    "--yes", is_flag=True, help="Run a command, or code outside the study file's folder, without asking."
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
