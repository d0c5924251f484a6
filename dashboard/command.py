"""The command ``tracker dashboard``: opens the app in a browser. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

APP = Path(__file__).with_name("app.py")
OPTIONS = {
    "server.address": "127.0.0.1",  # this machine only
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


def streamlit_command(port: int | None, headless: bool) -> list[str]:
    """The command line that serves the app; Streamlit picks a free port where none is given."""
    options = {**OPTIONS, "server.headless": str(headless).lower()}
    if port is not None:
        options["server.port"] = str(port)
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags]


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that studies live in.  [default: TRACKER_HOME or ./results]",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to serve at.  [default: 8501 or the next free one]"
)
@click.option("--headless", is_flag=True, help="Serve only; open no browser.")
def dashboard(home: Path | None, port: int | None, headless: bool) -> None:
    """Open the dashboard: the frontier of every study, live while it runs."""
    environment = dict(os.environ)
    if home is not None:
        environment["TRACKER_HOME"] = str(home.resolve())
    # This process becomes Streamlit, so that a signal to one is a signal to the other.
    os.execve(sys.executable, streamlit_command(port, headless), environment)
