"""A study's progress on a terminal, live; or in plain lines where there is none."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tracker.records import TrialState
from tracker.report.words import duration, quality, usd
from tracker.runner.progress import EndedAttempt, Observer, Progress

PLAIN_LINE_SECONDS = 15.0


@contextlib.contextmanager
def observer() -> Iterator[Observer]:
    """Something that shows a study as it runs, on standard error, for as long as the context lasts."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield PlainLines(console)
        return
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        yield LiveTable(live)


def end_study(name: str, state: TrialState, go_on: str = "resume") -> None:
    """Say what can be done with the study now; exit 1 where it was interrupted: ``go_on`` is the command for that."""
    quoted = shlex.quote(name)
    click.echo(f"see it: tracker frontier {quoted} · tracker report {quoted} · tracker dashboard", err=True)
    if state is TrialState.STOPPED:
        click.echo(f"go on with it: tracker {go_on} {quoted}", err=True)
        sys.exit(1)


class PlainLines:
    """One line for everything that happens, and one now and then for how it stands."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_line = time.monotonic()

    def say(self, message: str) -> None:
        """A line."""
        self._console.print(Text(message), soft_wrap=True)

    def ended(self, attempt: EndedAttempt) -> None:
        """A line."""
        self.say(_ending(attempt))

    def show(self, progress: Progress) -> None:
        """A line, every fifteen seconds at most."""
        if time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(_headline(progress))


class LiveTable:
    """A small table at the bottom of the terminal; what stays scrolls by above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, message: str) -> None:
        """A line above the table."""
        self._live.console.print(Text(message), soft_wrap=True)

    def ended(self, attempt: EndedAttempt) -> None:
        """A line above the table."""
        self.say(_ending(attempt))

    def show(self, progress: Progress) -> None:
        """The table, as it is now."""
        self._live.update(Group(*_pictured(progress)))


def _ending(attempt: EndedAttempt) -> str:
    reached = "no checkpoint" if attempt.quality is None else f"reached {quality(attempt.quality)}"
    reason = f": {attempt.message}" if attempt.state in (TrialState.FAILED, TrialState.KILLED) else ""
    return f"{attempt.label} {attempt.state}, {reached}, {usd(attempt.price_usd)}{reason}"


def _pictured(progress: Progress) -> Iterator[Text | Table | ProgressBar]:
    if progress.running:
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for column in ("running", "epoch", progress.quality.name, "price"):
            table.add_column(column, justify="left" if column == "running" else "right")
        for attempt in progress.running:
            reached = "" if attempt.quality is None else quality(attempt.quality)
            table.add_row(Text(attempt.label), str(attempt.epoch), reached, usd(attempt.price_usd))
        yield table
    if progress.budget_usd is not None:
        yield ProgressBar(total=progress.budget_usd, completed=min(progress.spend_usd, progress.budget_usd), width=60)
    yield Text(_headline(progress))


def _headline(progress: Progress) -> str:
    parts = [f"{progress.study}: {_trials(progress)}"]
    budget = f" of {usd(progress.budget_usd)}" if progress.budget_usd is not None else ""
    parts.append(f"{usd(progress.spend_usd)}{budget} spent")
    if progress.best_quality is not None and progress.best_price_usd is not None:
        best = f"{quality(progress.best_quality)} for {usd(progress.best_price_usd)}"
        parts.append(f"best {progress.quality.name} {best}")
    if progress.seconds_left is not None:
        parts.append(f"about {duration(progress.seconds_left)} left")
    return " · ".join(parts)


def _trials(progress: Progress) -> str:
    done = sum(progress.trials.values())
    of = f" of {progress.trials_budget}" if progress.trials_budget is not None else ""
    bad = [
        f"{progress.trials[state]} {state}"
        for state in (TrialState.FAILED, TrialState.KILLED, TrialState.STOPPED)
        if progress.trials.get(state)
    ]
    return f"{done}{of} {progress.counted}" + (f" ({', '.join(bad)})" if bad else "")
