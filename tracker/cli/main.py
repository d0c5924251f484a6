"""The command ``tracker``: imports a command's module when it is needed, and turns errors into a line.

Commands of other packages come through the entry-point group ``tracker.commands``.
"""

from __future__ import annotations

import importlib
import keyword
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from typing import Any

import click

from tracker.cli.output import say
from tracker.errors import BehindWarning, TrackerError, did_you_mean

COMMANDS = {
    "doctor": "What this machine is, can do, and would be billed as.",
    "estimate": "What a study will cost, before it is run.",
    "run": "Run a study from its TOML file.",
    "resume": "Resume a study, with its budget or a new one.",
    "stop": "Ask a running study to stop, as Ctrl-C does.",
    "status": "A study's state, trials and spend.",
    "sync": "Deliver to MLflow what it lacks of a study.",
    "audit": "Whether a study's event logs, MLflow and Optuna say the same.",
    "why": "Why a trial was started, paused, resumed or stopped.",
    "confirm": "Train the frontier's points again with other seeds.",
    "runs": "Every run of a study, with its spend.",
    "frontier": "The best quality for the money, point by point.",
    "advise": "Which run to take for a quality, a sum or a deadline.",
    "compare": "Studies at equal dollars and at equal quality, with intervals.",
    "predict": "Time and price of a study's runs on hardware that you have not rented.",
    "build-or-buy": "Your own model's price beside that of a hosted language model.",
    "serve-cost": "What the frontier's models cost to serve on this machine.",
    "nodes": "The machines of a Ray cluster: what each costs, runs and has idle.",
    "prices": "The price book: rates with their sources, dates and history.",
    "check-workload": "Check training code against what the tracker relies on.",
    "new": "A study and its training code from a template that runs as it is.",
    "report": "Write a study's report: an HTML page, tables, and more formats.",
    "import": "Bring in a study that was exported, to read it like any other.",
}
"""Each command with its line of help; its code is tracker/cli/NAME.py, with _ for - (import_.py: a word of Python's).

Importing all takes seconds."""


class LazyGroup(click.Group):
    """Imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Our commands, then those that other packages add."""
        return [*COMMANDS, *sorted(entry_points(group="tracker.commands").names)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name; None where there is none."""
        if cmd_name in COMMANDS:
            name = cmd_name.replace("-", "_") + "_" * keyword.iskeyword(cmd_name)
            command: click.Command = getattr(importlib.import_module(f"tracker.cli.{name}"), name)
            return command
        for entry_point in entry_points(group="tracker.commands", name=cmd_name):
            added: click.Command = entry_point.load()
            return added
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with the nearest names for an unknown command."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no command '{args[0]}'; {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing ours."""
        rows = list(COMMANDS.items())
        for name in self.list_commands(ctx)[len(COMMANDS) :]:
            command = self.get_command(ctx, name)
            rows.append((name, command.get_short_help_str() if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
@click.version_option(package_name="cost-quality-tracker")
def tracker(debug: bool) -> None:
    """What is the best quality for this money, and what would one more point cost?"""
    del debug  # read in main, which outlives the group


def main() -> None:
    """Run the command; exit 0 when done, 1 when the work failed, 2 when the request was wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", BehindWarning)
            warnings.showwarning = partial(_show, warnings.showwarning, set())
            tracker()
    except TrackerError as error:
        if "--debug" in sys.argv:
            raise
        say(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        say(f"error: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}", err=True)
        sys.exit(1)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        reason = f"{type(error).__name__}: {error}"
        say(f"error: internal error of the tracker: {reason}\n`tracker --debug …` shows where", err=True)
        sys.exit(1)


def _show(
    others: Callable[..., None],
    said: set[str],
    message: Warning | str,
    kind: type[Warning],
    *place: Any,
    **more: Any,
) -> None:
    """Say once, in a line, where figures are from; other warnings are shown as ever."""
    if not issubclass(kind, BehindWarning):
        others(message, kind, *place, **more)
    elif str(message) not in said:
        said.add(str(message))
        say(message, err=True)


if __name__ == "__main__":
    main()
