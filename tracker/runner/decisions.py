"""The search's decisions with the numbers of that moment: a file with one JSON object per line."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tracker.errors import StoreError
from tracker.runner.job import Job
from tracker.search.steps import Step

FILE_NAME = "decisions.jsonl"


class Decisions:
    """The decisions about a study's trials, in order.

    Each has ``time`` (seconds since 1970), ``trial``, ``action`` (begin, continue, pause, resume, move, stop, end),
    ``why`` in words, and ``numbers``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, trial: int, action: str, why: str, numbers: Mapping[str, Any]) -> None:
        """Append a decision. A full disk costs the explanation, not the study."""
        decision = {"time": time.time(), "trial": trial, "action": action, "why": why, "numbers": _plain(numbers)}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(decision, ensure_ascii=False) + "\n")
        except OSError:
            return

    def of(self, trial: int) -> list[dict[str, Any]]:
        """The decisions about one trial. Raises StoreError where the file cannot be read."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"decisions '{self._path}' cannot be read: {error.strerror}") from None
        decisions = []
        for line in lines:
            try:
                decision = json.loads(line)
            except ValueError:  # torn by a power cut
                continue
            if isinstance(decision, dict) and decision.get("trial") == trial:
                decisions.append(decision)
        return decisions

    def latest_steps(self) -> dict[int, dict[str, Any]]:
        """The numbers of each trial's latest step, by its number; none where the file cannot be read."""
        found = {}
        with contextlib.suppress(OSError):
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # torn by a power cut
                    decision = json.loads(line)
                    if decision["action"] in ("begin", "resume", "continue"):
                        found[int(decision["trial"])] = dict(decision["numbers"])
        return found


class DecisionColumns:
    """All decisions of a study as columns; each call reads only what was appended since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._rows: list[tuple[float, int, str, float]] = []

    def latest(self) -> pd.DataFrame | None:
        """time (seconds since 1970), trial, action, and price_usd (the trial's cost by then; NaN where not recorded).
        In order; None where none were kept. Raises StoreError where the file cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._read_bytes:  # another file
                    self._read_bytes, self._rows = 0, []
                file.seek(self._read_bytes)
                new = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"decisions '{self._path}' cannot be read: {error.strerror}") from None
        whole = new[: new.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        self._rows += filter(None, map(_row, whole.splitlines()))
        return pd.DataFrame(self._rows, columns=["time", "trial", "action", "price_usd"])


def steps_of(running: Sequence[Job], decisions: Decisions) -> dict[int, Step]:
    """The steps of trials that run although their coordinator is gone, by their numbers."""
    numbers = decisions.latest_steps() if running else {}
    steps = {}
    for job in running:
        if job.trial is not None:
            decided = numbers.get(job.trial, {})
            expected_usd = decided.get("expected_usd") or 0.0
            steps[job.trial] = Step(job.trial, job.settings, decided.get("until_usd"), expected_usd)
    return steps


def _row(line: bytes) -> tuple[float, int, str, float] | None:
    try:
        decision = json.loads(line)
        price_usd = decision["numbers"].get("price_usd")
        return (
            float(decision["time"]),
            int(decision["trial"]),
            str(decision["action"]),
            math.nan if price_usd is None else float(price_usd),
        )
    except (ValueError, KeyError, TypeError, AttributeError):  # torn by a power cut
        return None


def _plain(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers as JSON allows them: infinity and NaN become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in numbers.items()
    }
