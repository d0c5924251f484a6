"""Detached studies: started, resumed and stopped from anywhere, independent of the process that started them.

The process that runs one is the command `tracker run` or `tracker resume`, in its own session. Its output goes to
``<home>/launched/NAME.log``; a study that comes from no file is kept there, too. Imports nothing heavy.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracker.databases.addresses import shown_url
from tracker.errors import RequestError, StudyNotFoundError, TrackerError, WorkFailedError
from tracker.runner.launches import Launch, latest_launch, launch_file
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.toml_text import Place, edited, to_toml, toml_value

POLL_SECONDS = 0.1
STOP_SECONDS = 120.0
"""How long to wait for a coordinator that was asked to stop."""
_COMMAND = [sys.executable, "-P", "-m", "tracker.cli.main"]


@dataclass(frozen=True, slots=True)
class Started:
    """A launch of a study; ``exit_code`` is None while the process runs."""

    launch: Launch
    exit_code: int | None = None


def start_study(
    study: str | Path | Mapping[str, Any] | StudyDocument,
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    smoke: bool = False,
    settings: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    engine: Mapping[str, object] | None = None,
    workers: int | None = None,
    warm_start: Sequence[str] = (),
) -> Started:
    """Start a detached study; the arguments are those of ``library.run_study``.

    Returns once the study has its coordinator, or the process has ended. A study that comes from no file is saved to
    one in the home. Nobody is asked whether its code may run (runner.consent). Raises what
    ``run_study`` raises before it trains, with the message of the process.
    """
    places = Home.find(home)
    document = _document(study)
    shown = (document.smoke() if smoke else document).override(name=name)
    named = str(shown.content.get("name") or "unnamed")
    _refuse_taken(places, named)
    file = Path(document.file.path) if document.file else _keep(document, places, named)
    knobs = [f"{knob}={toml_value(value)}" for knob, value in (settings or {}).items()]
    options = _options(
        {
            "name": name,
            "seed": seed,
            "budget-usd": budget_usd,
            "trials": trials,
            "wall-seconds": wall_seconds,
            "workers": workers,
            "smoke": smoke,
            **_engine_options(engine),
        }
    )
    options += [f"--set={knob}" for knob in knobs] + [f"--from={earlier}" for earlier in warm_start]
    options += [f"--tag={key}={value}" for key, value in (tags or {}).items()]
    return _start(["run", "--yes", *options, f"--home={places.path}", "--", str(file)], named, places, storage)


def start_resume(
    name: str,
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    update: bool = False,
    engine: Mapping[str, object] | None = None,
    workers: int | None = None,
    stop_first: bool = False,
) -> Started:
    """Resume a study detached; the arguments are those of ``library.resume_study``.

    ``stop_first`` stops a running study, so that it continues with another budget. Returns once the study has its
    coordinator, or the process has ended. Raises StudyNotFoundError, RequestError where it is running already, and what
    ``resume_study`` raises before it trains, with the message of the process.
    """
    places = Home.find(home)
    folder = folder_of(places, name)
    if stop_first and folder.stop():
        _wait_until_stopped(folder)
    folder.refuse_running()
    options = _options(
        {
            "budget-usd": budget_usd,
            "trials": trials,
            "wall-seconds": wall_seconds,
            "workers": workers,
            "update": update,
            **_engine_options(engine),
        }
    )
    return _start(["resume", *options, f"--home={places.path}", "--", name], name, places, storage)


def stop_study(name: str, *, home: str | Path | None = None) -> bool:
    """Ask a study to stop, as Ctrl-C does; False where it is not running. Raises StudyNotFoundError."""
    places = Home.find(home)
    try:
        return folder_of(places, name).stop()
    except StudyNotFoundError:
        launch = latest_launch(places, name)
        if launch is None or not launch.runs(places):
            raise
        os.kill(launch.process, signal.SIGINT)  # it is still preparing its data: nothing remains of it
        return True


def _document(study: str | Path | Mapping[str, Any] | StudyDocument) -> StudyDocument:
    if isinstance(study, StudyDocument):
        return study
    return StudyDocument("study", study) if isinstance(study, Mapping) else StudyDocument.read(Path(study))


def _engine_options(engine: Mapping[str, object] | None) -> dict[str, object]:
    """An [engine] table as options of the command."""
    names = {"name": "engine", "address": "address", "allow_open": "allow-open-cluster", "states": "states"}
    return {names[key]: value for key, value in (engine or {}).items()}


def _options(given: Mapping[str, object]) -> list[str]:
    """Command-line options; those that are None or False are left out."""
    chosen = {name: value for name, value in given.items() if value is not None and value is not False}
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in chosen.items()]


def _refuse_taken(home: Home, name: str) -> None:
    """Raises StudyExistsError where the name is taken, RequestError where a study of this name is being started."""
    StudyFolder(home.study(name)).refuse_existing()
    launch = latest_launch(home, name)
    if launch is not None and launch.runs(home):
        raise RequestError(f"a study of this name is already starting, in process {launch.process}")


def _keep(document: StudyDocument, home: Home, name: str) -> Path:
    """Save the study to a file in the home, with absolute paths. Raises RequestError where it cannot be written."""
    content, text = document.anchored(Path.cwd()).content, document.text
    if not text:
        text = to_toml(content)
    for place, value in _differences(tomllib.loads(text), content):
        text = edited(text, place, value)
    path = launch_file(home, name, ".toml")
    path.write_text(text, encoding="utf-8")
    return path


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """The places (a key, or a table and its key) whose value differs, with the new value; None where it is gone."""
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = [*old, *(each for each in new if each not in old)]
            yield from (((key, each), new.get(each)) for each in inner if old.get(each) != new.get(each))
        elif old != new:
            yield (key,), new


def _start(arguments: Sequence[str], name: str, home: Home, storage: str | None) -> Started:
    """Start the command and wait until its study has a coordinator, or it has ended."""
    log = launch_file(home, name, ".log")
    # Everyone on the machine sees a process's arguments; its environment only who started it.
    environment = {**os.environ, "TRACKER_STORAGE": storage} if storage else None
    shown = [f"--storage={shown_url(storage)}"] if storage else []
    command = shlex.join(["tracker", arguments[0], *shown, *arguments[1:]])
    with log.open("a", encoding="utf-8") as output:
        output.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {command}\n")
        output.flush()
        launch_begins = output.tell()
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # closing the terminal or Ctrl-C in it does not reach the study
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reap the child while this process lives
    launch = Launch(name, process.pid, time.time(), command, str(log), launch_begins)
    launch.keep(home)
    while process.poll() is None:
        if launch.runs(home):
            return Started(launch)
        time.sleep(POLL_SECONDS)
    return _ended(launch, process.returncode)


def _ended(launch: Launch, exit_code: int) -> Started:
    """A launch that has ended already. Raises its error where it could not start."""
    if exit_code == 0 or (exit_code == 1 and not launch.error):
        return Started(launch, exit_code)
    if exit_code < 0:
        raise WorkFailedError(f"the study was killed by {signal.Signals(-exit_code).name}; its log: {launch.log}")
    kind: type[TrackerError] = RequestError if exit_code == RequestError.exit_code else WorkFailedError
    raise kind(launch.error or "\n".join(launch.last_lines[-3:]) or f"exit code {exit_code}; the log: {launch.log}")


def _wait_until_stopped(folder: StudyFolder) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while folder.coordinator() is not None:
        if time.monotonic() > deadline:
            raise WorkFailedError(f"the study did not stop within {STOP_SECONDS:.0f} s; resume it once it has")
        time.sleep(POLL_SECONDS)
