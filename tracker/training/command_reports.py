"""Turns what a command reports, by JSON lines or as it is picked up, into reports of its Run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.errors import TrainingFailedError
from tracker.training.pickup import PickedUp, Pickup
from tracker.training.run import Run

_QUOTED_CHARACTERS = 200
_LAST_TRIES, _RETRY_SECONDS = 2, 0.5


class ReportLines:
    """A file that a command appends lines to: each call gives what came since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.write_bytes(b"")
        self._read = 0

    def new(self, *, last: bool = False) -> list[bytes]:
        """The whole lines that are new; with ``last``, one that no newline ends is taken for whole too.

        Raises TrainingFailedError(``bad_report``) where the file has become shorter or has gone.
        """
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(self._read)
                text = file.read()
        except OSError as error:
            raise TrainingFailedError("bad_report", f"TRACKER_REPORT cannot be read: {error.strerror}") from None
        if size < self._read:
            raise TrainingFailedError("bad_report", "TRACKER_REPORT was cut short; open it to append, not to write")
        whole = text if last else text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [line for line in whole.splitlines() if line.strip()]


class CommandReports:
    """Turns what a command says into reports, and keeps the trial resumable once the command has saved a state.

    A JSON line with an ``epoch`` is a checkpoint, one without it is what ``Run.conclude`` takes. Lines are preferred:
    from the first line with an epoch on, nothing else is picked up. ``state`` is where the command keeps its
    state, ``epoch`` the last one that an earlier attempt reported, -1 for none: those up to it are known already.
    """

    def __init__(self, run: Run, lines: ReportLines, pickup: Pickup | None, state: Path, epoch: int = -1) -> None:
        self._run = run
        self._lines = lines
        self._pickup = pickup
        self._state = state
        self._known_epoch = epoch
        self._reached: dict[str, int] | None = None

    def take_in(self, *, last: bool = False, whole: bool = False) -> None:
        """Report what is new. ``last`` is for when the command has ended, ``whole`` for when it ended well.

        Raises TrainingFailedError as Run.report does, with the line that is wrong, and Paused where the attempt is to
        pause here and the command has saved its state.
        """
        before = self._reached
        for line in self._lines.new(last=whole):
            self._take_line(line)
        if self._pickup is not None:
            found = _looked(self._pickup, last=last, pausing=self._run.pause_asked)
            self._run.reached((each.epoch, each.metrics, each.time_ms / 1000) for each in found)
            if found:
                self._known_epoch, self._reached = found[-1].epoch, {"epoch": found[-1].epoch, "step": found[-1].step}
        if self._reached is not before:
            self.offer_state()

    def offer_state(self) -> None:
        """Offer a state to resume from, where the command has saved one."""
        if self._reached is not None and self._state.exists():
            self._run.save(self._reached)

    def check(self) -> None:
        """Raises TrainingFailedError(``no_report``) where nothing was reported, with where that was looked for."""
        if self._run.reported:
            return
        reported = "the command ended without a report"
        if self._run.place.report_table is None:
            reported += ": no JSON line with an epoch is in the file of TRACKER_REPORT"
        if self._pickup is not None:
            reported += f"{': ' if self._run.place.report_table else ', and '}{self._pickup.missing}"
        raise TrainingFailedError("no_report", reported)

    def _take_line(self, line: bytes) -> None:
        try:
            reported = _parsed(line)
            if "epoch" not in reported:
                self._run.conclude(**reported)
                return
            epoch = reported.pop("epoch")
            self._pickup = None
            if isinstance(epoch, int | float) and 0 <= epoch <= self._known_epoch:
                return
            self._run.report(epoch, **reported)
            self._reached = {"epoch": int(epoch), "step": -1}
        except TrainingFailedError as error:
            if error.reason != "bad_report":
                raise
            quoted = line[:_QUOTED_CHARACTERS].decode(errors="replace")
            raise TrainingFailedError("bad_report", f"{error}, in the line {quoted}") from None


def _looked(pickup: Pickup, *, last: bool, pausing: bool) -> list[PickedUp]:
    """The result of a look; the last one is retried, because there is no later one."""
    found = pickup.look(last=last, pausing=pausing)
    for _ in range(_LAST_TRIES if last else 0):
        if not pickup.problem:
            break
        time.sleep(_RETRY_SECONDS)
        found = pickup.look(last=True)
    return found


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        reported = json.loads(line)
    except ValueError:
        reported = None
    if not isinstance(reported, Mapping):
        raise TrainingFailedError("bad_report", "what was reported is not a JSON object")
    return dict(reported)
