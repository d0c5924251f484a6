"""The command ``tracker dashboard``: opens the app in a browser. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from dashboard.theme import THEME

APP = Path(__file__).parent / "served" / "script.py"
SERVER = Path(__file__).with_name("server.py")
THIS_MACHINE = "127.0.0.1"
OPTIONS = {
    "logger.hideWelcomeMessage": "true",  # and with it the box that offers skills for agents
    "client.showErrorDetails": "none",
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "runner.postScriptGC": "false",  # at every refresh, it would look through all that the pages keep
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    **THEME,
}


def streamlit_command(port: int | None, headless: bool, host: str = THIS_MACHINE) -> list[str]:
    """The command line that serves the app; Streamlit picks a free port where none is given."""
    options = {**OPTIONS, "server.address": host, "server.headless": str(headless).lower()}
    if port is not None:
        options["server.port"] = str(port)
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(SERVER), *flags]


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that studies live in.  [default: TRACKER_HOME or ./results]",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to serve at.  [default: 8501 or the next free one]"
)
@click.option(
    "--host", default=THIS_MACHINE, show_default=True, help="The address to serve at; another one needs a login."
)
@click.option("--headless", is_flag=True, help="Serve only; open no browser.")
def dashboard(home: Path | None, port: int | None, host: str, headless: bool) -> None:
    """Open the dashboard: what a dollar buys, studies as they run, other prices; start and stop studies there."""
    from dashboard.login import HOW, is_this_machine, login_problem  # brings Streamlit

    if not is_this_machine(host) and (problem := login_problem()):
        raise click.UsageError(f"--host {host}: {problem}; {HOW}")
    environment = dict(os.environ)
    if home is not None:
        environment["TRACKER_HOME"] = str(home.resolve())
    # This process becomes Streamlit, so that a signal to one is a signal to the other.
    os.execve(sys.executable, streamlit_command(port, headless, host), environment)
