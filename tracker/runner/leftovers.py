"""What a coordinator that was killed leaves behind: workers that still run, and folders of studies that never started.

A worker ends by itself within seconds of its coordinator. Until then it writes events, so nobody else may end its log.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tracker.runner.study_folder import Attempts, StudyFolder
from tracker.training.events import Event
from tracker.training.process_tree import lives
from tracker.training.stopping import HEARTBEAT_SECONDS, STOP_SECONDS

PATIENCE_SECONDS = HEARTBEAT_SECONDS + STOP_SECONDS + 3.0
"""How long a worker without a coordinator may take to notice, to save its state and to end."""
_CLOCK_SECONDS = 2.0
_STAGING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A living process that works on an attempt of a study: ``attempt`` is its log's path below trials/."""

    process: int
    attempt: str


def workers_of(folder: StudyFolder, attempts: Attempts) -> list[Worker]:
    """The living processes that train for a study, their children included; ``attempts`` are its logs.

    Found by their output, which goes to a file beside the attempt's log (Linux), and by the process ids in the logs.
    """
    found = {worker.process: worker for worker in _by_output(folder)}
    for path, events in attempts:
        if (process := _by_log(events)) is not None:
            found.setdefault(process, Worker(process, f"{path.parent.name}/{path.stem}"))
    return sorted(found.values(), key=lambda worker: worker.process)


def attempts_without_workers(folder: StudyFolder, notify: Callable[[str], None] = lambda _: None) -> Attempts:
    """The study's logs (StudyFolder.attempts) once no worker writes to them; only without a coordinator.

    Workers that do not end by themselves are killed.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        unreadable: list[str] = []
        attempts = folder.attempts(unreadable.append)
        if not (left := workers_of(folder, attempts)):
            break
        while living := [worker.process for worker in left if lives(worker.process)]:
            for process in living if time.monotonic() > deadline else ():
                with contextlib.suppress(psutil.Error):
                    psutil.Process(process).kill()
            time.sleep(0.1)
    for sentence in unreadable:
        notify(sentence)
    return attempts


def stale_stagings(folder: StudyFolder) -> list[StudyFolder]:
    """Folders of studies of this name whose process was killed before the study began."""
    beside = folder.path.parent.glob(f".{folder.path.name}.*")
    staged = [StudyFolder(path) for path in beside if path.suffix[1:].isdigit() and path.is_dir()]
    return [each for each in staged if each.coordinator() is None and not _is_being_made(each)]


def remove_stagings(folder: StudyFolder) -> None:
    """Delete what ``stale_stagings`` finds."""
    for each in stale_stagings(folder):
        shutil.rmtree(each.path, ignore_errors=True)


def _is_being_made(staged: StudyFolder) -> bool:
    """Whether its process may just not have locked it yet."""
    made = staged.path.stat().st_ctime
    return psutil.pid_exists(int(staged.path.suffix[1:])) and time.time() - made < _STAGING_SECONDS


def _by_output(folder: StudyFolder) -> Iterator[Worker]:
    place = f"{folder.trials.resolve()}{os.sep}"
    for process in psutil.pids():
        with contextlib.suppress(OSError):
            output = Path(f"/proc/{process}/fd/1").readlink()
            if str(output).startswith(place):
                yield Worker(process, f"{output.parent.name}/{output.stem}")


def _by_log(events: Sequence[Event]) -> int | None:
    """The process of an attempt without an end that still lives; another process may have its number by now.

    What runs on another machine is its engine's to find.
    """
    if events[0].get("node") or any(event["event"] == "ended" for event in events):
        return None
    started = [event for event in events if event["event"] == "started"]
    with contextlib.suppress(psutil.Error, KeyError):
        process = psutil.Process(int(started[-1]["pid"])) if started else None
        if process is not None and lives(process.pid):
            made = process.create_time()
            if float(events[0]["time"]) - _CLOCK_SECONDS <= made <= float(started[-1]["time"]) + _CLOCK_SECONDS:
                return process.pid
    return None
