"""What a running study looks like: nothing cut at any width, and lines only for what a person wants to know."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.command import ROOT
from tracker.cli.display import Picture, PlainLines, summary
from tracker.pricing.money_unit import MoneyUnit
from tracker.records import Direction, QualityMetric, TrialState
from tracker.runner.progress import EndedAttempt, Progress, RunningAttempt

STATES = {TrialState.RUNNING: 2, TrialState.PAUSED: 4, TrialState.COMPLETED: 5, TrialState.FAILED: 1}
RUNNING = tuple(RunningAttempt(label, 7, 0.8125, 0.00125) for label in ("#3", "logistic regression"))
PROGRESS = Progress(
    study="docstrings 🦊",
    quality=QualityMetric("validation_accuracy", Direction.MAXIMIZE),
    spend_usd=0.0123,
    budget_usd=0.05,
    trials=STATES,
    trials_budget=20,
    best_quality=0.912,
    best_price_usd=0.0014,
    best_label="#4",
    running=RUNNING,
    seconds_left=305.0,
    unit=MoneyUnit(prefix="m"),
)


def pictured(progress, width, height=24):
    """The lines of a terminal of this size."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height)
    console.print(Picture(progress))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 130, 200])
def test_at_every_width_nothing_is_cut_and_what_matters_comes_first(width):
    lines = pictured(PROGRESS, width)
    assert max(map(len, lines)) <= width
    shown = " ".join(" ".join(lines).replace("·", " ").split())
    figures = (
        "best validation_accuracy 0.9120 for 1.40 m$ (#4) about 5 min 5 s left 12.3 m$ of 50.0 m$ spent"
        " 12 of 20 trials: 2 running, 4 paused, 5 completed, 1 failed"
    )
    assert shown.startswith(figures)
    for cell in ("#3", "logistic", "regressio", "0.8125", "1.25", "m$", "epoch", "price"):
        assert cell in shown.removeprefix(figures)
    assert "…" not in shown


def test_many_attempts_leave_the_figures_on_the_screen():
    many = replace(PROGRESS, running=tuple(RunningAttempt(f"#{number}", 1, 0.5, 0.1) for number in range(64)))
    lines = pictured(many, 80, height=20)
    assert len(lines) < 20
    assert lines[0].startswith("best validation_accuracy")
    listed = sum(line.startswith("#") for line in lines)
    assert lines[-1].split() == ["and", str(64 - listed), "more"]


def test_a_study_that_has_reached_nothing_yet_is_shown_too():
    fresh = Progress("s", QualityMetric("f1", Direction.MAXIMIZE))
    assert [line.strip() for line in pictured(fresh, 80)] == ["$0 spent · 0 trials"]
    assert summary(fresh) == "s: $0 spent · 0 trials"


class Log:
    """A study's plain lines, with a clock of the test's own."""

    def __init__(self):
        self.now = 0.0
        self._console = Console(file=io.StringIO(), width=80)
        self.lines = PlainLines(self._console, clock=lambda: self.now)

    @property
    def messages(self):
        return self._console.file.getvalue().splitlines()


def test_lines_are_for_failures_with_their_reason_references_and_a_new_best():
    log = Log()
    worse = replace(PROGRESS, best_quality=0.5, best_label="#1")
    for attempt, progress in [
        (EndedAttempt("logistic regression", TrialState.COMPLETED, 0.7, 0.001, ""), replace(worse, best_quality=None)),
        (EndedAttempt("#1", TrialState.PAUSED, 0.5, 0.002, ""), worse),
        (EndedAttempt("#2", TrialState.FAILED, None, 0.003, "ValueError: no such file"), worse),
        (EndedAttempt("#3", TrialState.PAUSED, 0.4, 0.002, ""), worse),
        (EndedAttempt("#1", TrialState.COMPLETED, 0.5, 0.002, ""), worse),
        (EndedAttempt("#4", TrialState.COMPLETED, 0.912, 0.0014, ""), PROGRESS),
        (EndedAttempt("#5", TrialState.KILLED, 0.3, 0.001, "killed by SIGKILL"), PROGRESS),
    ]:
        log.lines.ended(attempt)
        log.lines.show(progress)
    assert log.messages == [
        "logistic regression completed, reached 0.7000, $0.001",
        "new best validation_accuracy 0.5000 for 1.40 m$ (#1)",
        "#2 failed, no checkpoint, 3.00 m$: ValueError: no such file",
        "new best validation_accuracy 0.9120 for 1.40 m$ (#4)",
        "#5 killed, reached 0.3000, 1.00 m$: killed by SIGKILL",
    ]


def test_a_log_tells_how_the_study_stands_where_that_changed_and_ever_more_rarely():
    log = Log()
    for second in range(36_000):
        log.now = float(second)
        log.lines.show(replace(PROGRESS, spend_usd=0.01 * (second // 10)))
    assert 40 < len(log.messages) < 300
    assert log.messages[0] == (
        "docstrings 🦊: best validation_accuracy 0.9120 for 1.40 m$ (#4) · about 5 min 5 s left ·"
        " 10.0 m$ of 50.0 m$ spent · 12 of 20 trials: 2 running, 4 paused, 5 completed, 1 failed"
    )
    log.now += 10_000
    log.lines.show(PROGRESS)
    reported = len(log.messages)
    log.now += 10_000
    log.lines.show(PROGRESS)
    assert len(log.messages) == reported, "nothing has changed"


STUDY = """
import time
from tests.cli.test_display import PROGRESS
from tracker.cli.display import observer
with observer() as shown:
    shown.show(PROGRESS)
    time.sleep(1.5)
"""


@pytest.mark.parametrize("columns", [40, 100])
def test_a_real_terminal_gets_the_figures_live_and_a_summary_when_the_study_ends(columns):
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", STUDY], stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    seen, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline and select.select([ours], [], [], 120)[0]:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", seen.decode())
    live, _, ended = plain.rpartition("docstrings 🦊: ")
    assert "about 5 min 5 s left" in live
    assert "logistic" in live
    assert " ".join(ended.split()).startswith("best validation_accuracy 0.9120 for 1.40 m$ (#4)")
    assert "1 failed" in ended
    assert "left" not in ended
