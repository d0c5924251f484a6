"""Ctrl-C, pressed in the middle of a study that runs in this process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def once(happened, act=press_ctrl_c):
    """Do ``act`` once ``happened()`` is true; never after this context."""
    over = threading.Event()

    def watch():
        while not over.wait(0.05):
            if happened():
                act()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ctrl_c_after(home, epochs):
    """Press it when the first trial of the study in ``home`` has reported so often; never after this context."""
    logs = Path(home)
    return once(
        lambda: any(log.read_text().count('"checkpoint"') >= epochs for log in logs.glob("studies/*/trials/0/1.jsonl"))
    )


def training_started(home, runs):
    """Whether one of the runs whose folders match has got as far as that."""
    return any('"ready"' in log.read_text() for log in Path(home).glob(f"studies/*/trials/{runs}/*.jsonl"))
