"""A study's progress: live on a terminal, else as plain lines."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tracker.cli.output import say
from tracker.pricing.money_unit import DOLLARS, MoneyUnit
from tracker.records import Behind, TrialState
from tracker.report.words import duration, money, quality, visible
from tracker.runner.detached import Started
from tracker.runner.progress import EndedAttempt, Observer, Progress, RunningAttempt

FIRST_LINE_SECONDS, LAST_LINE_SECONDS = 15.0, 300.0
"""The least seconds between plain progress lines: growing with the study, up to the second figure."""
BAR_COLUMNS = 60
SEPARATOR = " · "
BAD_ENDS = (TrialState.FAILED, TrialState.KILLED)


@contextlib.contextmanager
def observer() -> Iterator[Observer]:
    """An observer that shows a running study on standard error while the context is open; then a summary."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        live = Live(console=console, refresh_per_second=2, transient=True)
        with _summed_up(LiveTable(live), console, console.width) as shown, live:
            yield shown
    else:
        with _summed_up(PlainLines(console), console) as shown:
            yield shown


@contextlib.contextmanager
def _summed_up(shown: _Lines, console: Console, width: int | None = None) -> Iterator[_Lines]:
    """Print a summary after this context, whatever ends it."""
    try:
        yield shown
    finally:
        if shown.latest is not None:
            ended = replace(shown.latest, seconds_left=None)
            console.print(Text(visible(summary(ended, width))), soft_wrap=width is None)


def end_study(name: str, state: TrialState, command: str = "resume") -> None:
    """Print what to do next with the study; exit 1 where it was interrupted or failed.

    ``command`` is the command that resumes it.
    """
    quoted = shlex.quote(name)
    say(f"see it: tracker frontier {quoted} · tracker report {quoted} · tracker dashboard", err=True)
    if state is TrialState.STOPPED:
        say(f"resume it: tracker {command} {quoted}", err=True)
    if state is TrialState.FAILED:
        say(f"once that is fixed: tracker {command} {quoted}", err=True)
    if state in (TrialState.STOPPED, TrialState.FAILED):
        sys.exit(1)


def print_started(started: Started) -> None:
    """Print how to follow a detached study, or how it has ended already, with its exit code."""
    launch = started.launch
    quoted = shlex.quote(launch.study)
    if started.exit_code is None:
        say(f"{launch.study} runs in process {launch.process}; its log: {launch.log}", err=True)
        say(f"follow it: tracker status {quoted} · tracker dashboard; stop it: tracker stop {quoted}", err=True)
        return
    for line in launch.last_lines:
        say(line, err=True)
    say(f"{launch.study} has ended already; its log: {launch.log}", err=True)
    sys.exit(started.exit_code)


class _Lines(ABC):
    """Lines that stay on the screen or in a log: messages, failures, references and new bests; the rest is counted."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self._best: tuple[float | None, float | None] = (None, None)
        self._ended = False

    @abstractmethod
    def notify(self, message: str) -> None:
        """A line."""

    def ended(self, attempt: EndedAttempt) -> None:
        """Print a line where the attempt failed or is a reference; ``show`` prints new bests."""
        self._ended = True
        reference = not attempt.label.startswith("#")
        if reference or attempt.state in BAD_ENDS:
            self.notify(_ending(attempt, self.latest.unit if self.latest else DOLLARS))

    def show(self, progress: Progress) -> None:
        """Print a line for a new best, once an attempt has ended."""
        self.latest = progress
        best = progress.best_quality, progress.best_price_usd
        if self._ended and best != self._best and best[0] is not None:
            self._best = best
            self.notify(f"new {_best(progress)}")
        self._ended = False


class PlainLines(_Lines):
    """Lines in a log: those that stay, and a progress line now and then where something has changed."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._console = console
        self._clock = clock
        self._started = self._last_line = clock()
        self._shown_line = ""

    def notify(self, message: str) -> None:
        """A line."""
        self._console.print(Text(visible(message)), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Print a progress line where one is due."""
        super().show(progress)
        now = self._clock()
        apart = min(LAST_LINE_SECONDS, max(FIRST_LINE_SECONDS, (now - self._started) / 50))
        if now - self._last_line >= apart and (line := summary(progress)) != self._shown_line:
            self._last_line, self._shown_line = now, line
            self.notify(line)


class LiveTable(_Lines):
    """The progress at the bottom of the terminal; lines that stay scroll above it."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live

    def notify(self, message: str) -> None:
        """Print a line above the table."""
        self._live.console.print(Text(visible(message)), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Update the table."""
        super().show(progress)
        self._live.update(Picture(progress))


class Picture:
    """A study's progress, the most important first, wrapped and never cut, at any size of terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The figures, a bar for the budget, and as many running attempts as there are lines."""
        progress = self._progress
        figures = folded(_figures(progress), options.max_width)
        yield Text(visible(figures))
        if progress.budget_usd is not None:
            completed = min(progress.spend_usd, progress.budget_usd)
            width = min(BAR_COLUMNS, options.max_width)
            yield Padding(ProgressBar(total=progress.budget_usd, completed=completed, width=width), 0)
        if progress.running:
            room = max(1, console.height - figures.count("\n") - 5)
            yield _running(progress.running[:room], progress.quality.name, progress.unit)
            if len(progress.running) > room:
                yield Text(f"  and {len(progress.running) - room} more")


def _running(attempts: Sequence[RunningAttempt], metric: str, unit: MoneyUnit) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("running", "epoch", metric, "price"):
        table.add_column(Text(visible(column)), justify="left" if column == "running" else "right", overflow="fold")
    for attempt in attempts:
        reached = "" if attempt.quality is None else quality(attempt.quality)
        table.add_row(Text(visible(attempt.label)), str(attempt.epoch), reached, money(attempt.price_usd, unit))
    return table


def summary(progress: Progress, width: int | None = None) -> str:
    """A study's progress or end, with its name: in one line, or in lines of at most ``width`` columns.

    >>> from tracker.records import Direction, QualityMetric
    >>> print(summary(Progress("digits", QualityMetric("accuracy", Direction.MAXIMIZE), 0.5, trials_budget=4)))
    digits: $0.50 spent · 0 of 4 trials
    """
    parts = _figures(progress)
    parts[0] = f"{progress.study}: {parts[0]}"
    return SEPARATOR.join(parts) if width is None else folded(parts, width)


def folded(parts: Sequence[str], width: int) -> str:
    """Parts in lines of at most ``width`` columns, broken between parts; a wider part gets its own line.

    >>> print(folded(["best 0.9", "3 s left", "$1 spent"], 20))
    best 0.9 · 3 s left
    $1 spent
    """
    lines = [parts[0]]
    for part in parts[1:]:
        longer = lines[-1] + SEPARATOR + part
        if Text(longer).cell_len <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)


def _ending(attempt: EndedAttempt, unit: MoneyUnit) -> str:
    reached = "no checkpoint" if attempt.quality is None else f"reached {quality(attempt.quality)}"
    reason = f": {attempt.message}" if attempt.state in BAD_ENDS else ""
    return f"{attempt.label} {attempt.state}, {reached}, {money(attempt.price_usd, unit)}{reason}"


def _figures(progress: Progress) -> list[str]:
    """The parts of a progress line, the most important first."""
    best = [_best(progress)] if progress.best_quality is not None else []
    left = [f"about {duration(progress.seconds_left)} left"] if progress.seconds_left else []
    budget = f" of {money(progress.budget_usd, progress.unit)}" if progress.budget_usd is not None else ""
    spent = f"{money(progress.spend_usd, progress.unit)}{budget} spent"
    return [*best, *left, spent, _trials(progress), *_behind(progress.behind)]


def _behind(behind: Behind | None) -> list[str]:
    """How far MLflow is behind, where it is further than it always is for a moment."""
    if behind is None or not behind.is_notable:
        return []
    return [f"MLflow is {duration(behind.seconds)} behind, {behind.entries:,} values"]


def _best(progress: Progress) -> str:
    label = f" ({progress.best_label})" if progress.best_label else ""
    reached = quality(progress.best_quality or 0.0)
    price = money(progress.best_price_usd or 0.0, progress.unit)
    return f"best {progress.quality.name} {reached} for {price}{label}"


def _trials(progress: Progress) -> str:
    states = [(progress.trials.get(state, 0), state) for state in TrialState]
    of = f" of {progress.trials_budget}" if progress.trials_budget is not None else ""
    states_text = ", ".join(f"{count} {state}" for count, state in states if count)
    return f"{sum(progress.trials.values())}{of} {progress.counted}" + (f": {states_text}" if states_text else "")
