"""Record studies of this version, to be read by every later one: ``python -m tests.recorded.make NAME``.

Two studies are run by the command: ``earlier``, and ``recorded``, which learns from it. What their home then holds goes
into folder NAME beside this file, with the figures that the command reported. Names of this machine and its user are
replaced.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tests.support.command import ROOT, tracker
from tracker.training.state import FILE_NAME, read_state, write_state

HERE = Path(__file__).parent
NEUTRAL_HOME, NEUTRAL_CODE = "/recorded/home", "/recorded/code"
"""What stands for the home and for the code in a record."""
DATABASES = ("mlflow.db", "optuna.db")
FIGURES = "figures.json"


def make(name: str) -> None:
    """Run the studies, one of them interrupted twice, and put their record into folder ``name``."""
    with tempfile.TemporaryDirectory() as temporary:
        home, study = Path(temporary) / "home", str(HERE / "study.toml")
        _command("run", study, "--name", "earlier", "--trials", "2", home=home)
        _command("run", study, "--from", "earlier", home=home, until=lambda logs: _checkpoints(logs) >= 8)
        _command("resume", "recorded", home=home, until=_some_second_attempt_ended)
        save(home, HERE / name)


def figures(home: Path) -> dict[str, dict[str, object]]:
    """What `tracker runs` and `tracker frontier` report of study ``recorded``."""
    runs, points = (json.loads(tracker(what, "recorded", "--json", home=home).stdout) for what in ("runs", "frontier"))
    kept = ("state", "attempts", "quality", "price_usd", "wall_seconds", "settings")
    return {
        "spend_usd": runs["spend_usd"],
        "runs": {run["label"]: {name: run[name] for name in kept} for run in runs["runs"]},
        "frontier": [
            [point[name] for name in ("trial", "epoch", "quality", "price_usd")] for point in points["points"]
        ],
    }


def put(record: Path, home: Path) -> Path:
    """A home as it was recorded, with everything in its place."""
    shutil.copytree(record / "studies", home / "studies")
    for name in DATABASES:
        (home / name).write_bytes(lzma.decompress((record / f"{name}.xz").read_bytes()))
    return home


def save(home: Path, record: Path) -> None:
    """Put what is in a home into a record, without names of this machine."""
    shutil.rmtree(record, ignore_errors=True)
    shutil.copytree(home / "studies", record / "studies", ignore=shutil.ignore_patterns("*.lock", "*.log"))
    (record / FIGURES).write_text(json.dumps(figures(home), indent=1) + "\n")
    for path in (record / "studies").rglob("*.json*"):
        path.write_text(_neutral(path.read_text(), home))
    for path in record.rglob(FILE_NAME):
        saved = read_state(path)
        files = {_neutral(name, home): digest for name, digest in saved.source_files.items()}
        write_state(path, replace(saved, source_files=files))
    for name in DATABASES:
        with contextlib.closing(sqlite3.connect(home / name)) as database:
            _neutralise(database, home)
            database.execute("VACUUM INTO ?", (str(home / f"neutral-{name}"),))
        (record / f"{name}.xz").write_bytes(lzma.compress((home / f"neutral-{name}").read_bytes()))


def _neutral(text: str, home: Path) -> str:
    return text.replace(str(home), NEUTRAL_HOME).replace(str(ROOT), NEUTRAL_CODE)


def _neutralise(database: sqlite3.Connection, home: Path) -> None:
    database.create_function("neutral", 1, lambda text: _neutral(text, home) if isinstance(text, str) else text)
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            found = f'"{column}" LIKE ? OR "{column}" LIKE ?'
            database.execute(
                f'UPDATE {table} SET "{column}" = neutral("{column}") WHERE {found}', (f"%{home}%", f"%{ROOT}%")
            )
    database.commit()


def _command(*arguments: str, home: Path, until: Callable[[Mapping[Path, str]], bool] | None = None) -> None:
    """Run the command; stop it as Ctrl-C does once its logs are as ``until`` says and a running trial saved a state."""
    environment = {**os.environ, "TRACKER_HOME": str(home), "LOGNAME": "recorder", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "tracker.cli.main", *arguments], env=environment, cwd=ROOT)
    while process.poll() is None:
        time.sleep(0.02)
        logs = {path: path.read_text() for path in home.glob("studies/recorded/trials/[0-9]*/*.jsonl")}
        saved = any('"saved"' in log and '"ended"' not in log for log in logs.values())
        if until is not None and saved and until(logs):
            process.send_signal(signal.SIGINT)
            until = None
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")


def _checkpoints(logs: Mapping[Path, str]) -> int:
    return sum(log.count('"checkpoint"') for log in logs.values())


def _some_second_attempt_ended(logs: Mapping[Path, str]) -> bool:
    return any(path.stem == "2" and '"ended"' in log for path, log in logs.items())


if __name__ == "__main__":
    make(sys.argv[1])
