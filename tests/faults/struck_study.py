"""A study under strikes: its commands are struck, it is resumed until it is done, and audited."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.moments import Moment
from tests.faults.results import Struck, StudyResult
from tests.faults.stores import Store
from tests.faults.victims import MARK, Strike, marked
from tracker import audit_study, open_study
from tracker.runner.audit.finding import Audit
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.study.toml_text import to_toml

ROOT = Path(__file__).parents[2]
TRIALS, WORKERS = 8, 2
NAME = "struck"
_PATIENCE_SECONDS = 300.0
_ORPHAN_SECONDS = 20.0


class StruckStudy:
    """A study whose home is in a ``place`` of its own; ``result`` receives its outcome, ``say`` a line for a strike."""

    def __init__(
        self,
        result: StudyResult,
        place: Path,
        store: Store,
        random: Random,
        temporary: Path,
        say: Callable[[str], None],
    ) -> None:
        self._result = result
        self._temporary = temporary
        self._say = say
        self._home = place / "home"
        self._store = store
        self._random = random
        self._mark = f"{os.getpid()}-{result.study}-{time.monotonic_ns()}"
        self._file = place / "study.toml"
        self._output = place / "output.log"
        self._started = time.monotonic()
        self._file.write_text(to_toml(_study(result.strategy, random)), encoding="utf-8")

    def run(self, strikes: int) -> None:
        """Strike so often, then let the study and its server be, and audit it."""
        while strikes > 0:
            process = self._start()
            struck = self._strike(process, strikes)
            strikes -= struck
            code = self._ended(process)
            if code not in (0, 1) and not struck:
                self._problem(f"a command that nobody struck ended with {code}: {self._last_words()}")
            self._no_orphans()
            if not struck and (code == 0 or not self._store.stay):  # it was done before the moment came
                break
            self._look()
            self._mend()
        if self._store.stay:
            self._store.stay()
        if code := self._ended(self._start()):
            self._problem(f"the last command ended with {code}: {self._last_words()}")
            if not self._exists:
                return
        self._no_orphans()
        self._audit_whole()
        self._no_secrets()

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """The exit status of a command, which is killed where it does not end."""
        try:
            return process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._problem(f"a command did not end within {_PATIENCE_SECONDS:g} s: {self._last_words()}")
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    @property
    def _exists(self) -> bool:
        return StudyFolder(Home(self._home).study(NAME)).is_there

    def _start(self) -> subprocess.Popen[bytes]:
        """Resume the study, or run it where the last strike came before it was there: its name is free then."""
        what = ["resume", NAME] if self._exists else ["run", str(self._file)]
        command = [
            sys.executable,
            "-m",
            "tracker.cli.main",
            *what,
            "--home",
            str(self._home),
            "--workers",
            str(WORKERS),
        ]
        self._result.commands += 1
        with self._output.open("ab") as output:
            output.write(f"$ tracker {' '.join(what)}\n".encode())
            output.flush()
            environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: self._mark}
            # Cores are reserved in the temporary folder: a study that runs on this machine is not waited for.
            environment["TMPDIR"] = str(self._temporary)
            environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each of many processes would compile everything again
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def _strike(self, process: subprocess.Popen[bytes], most: int) -> int:
        """Strike until the coordinator ends or no strike is left; how often."""
        struck = 0

        def over() -> bool:
            return process.poll() is not None

        while struck < most:
            moment = Moment.drawn(self._random)
            strike = Strike.drawn(self._random, self._store.disk, self._store.clock)
            if not moment.wait(self._home, over):
                return struck
            if not strike.carry_out(process, self._mark, self._random, self._store.disk, self._store.clock):
                continue
            struck += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0 if strike.leaves_the_coordinator else 60.0)
            self._result.strikes.append(Struck(self._result.study, moment.words, strike.words, over()))
            self._say(f"  {moment.words}: {strike.words}{'' if over() else ' (the coordinator lives)'}")
            if over():
                return struck
        return struck

    def _look(self) -> None:
        """An audit in between must work, whatever it finds; one in three mends it, and must leave nothing."""
        if not self._exists:
            return
        writable = not self._store.stay and (self._store.disk is None or not self._store.disk.is_read_only)
        repair = writable and self._random.random() < 1 / 3
        try:
            found = self._audit(repair=repair)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            if not self._store.stay:  # it may be away
                self._problem(f"the audit{' with --repair' * repair} raised {type(error).__name__}: {error}")
            return
        self._result.audits += 1
        if repair and found.findings:
            self._problem("; ".join(["--repair left", *(finding.words for finding in found.findings)]))

    def _audit(self, *, repair: bool = False) -> Audit:
        return self._store.carry_out(_audit, self._home, repair)

    def _mend(self) -> None:
        """A disk that is read-only refuses the study in a sentence, and is mended."""
        if self._store.disk is None or not self._store.disk.is_read_only:
            return
        if self._exists and (code := self._ended(self._start())) not in (1, 2):
            self._problem(f"a study on a read-only disk ended with {code}: {self._last_words()}")
        if "Traceback" in self._output.read_text(errors="replace"):
            self._problem(f"a traceback: {self._last_words()}")
        self._no_orphans()
        self._store.disk.mend()

    def _audit_whole(self) -> None:
        """All books agree, and say what the study was to do."""
        found = self._audit()
        self._result.audits += 1
        self._result.attempts, self._result.price_usd = found.attempts, found.price_usd
        for finding in found.findings:
            self._problem(finding.words)
        state, trials, wall_seconds = self._store.carry_out(_read, self._home)
        elapsed_seconds = time.monotonic() - self._started
        if not 0 < wall_seconds < WORKERS * elapsed_seconds:
            self._problem(f"{wall_seconds:.3f} s are billed of {WORKERS} workers in {elapsed_seconds:.3f} s")
        if state != "completed":
            self._problem(f"the study is {state}")
        if len(trials) != len(set(trials)) or len(trials) > TRIALS:
            self._problem(f"trials lost or doubled: {sorted(trials)}")

    def _no_secrets(self) -> None:
        """No file of the home, and nothing that a command printed, holds a password."""
        for path in [self._output, *(each for each in self._home.rglob("*") if each.is_file())]:
            text = path.read_bytes().decode(errors="replace")
            if any(secret in text for secret in self._store.secrets):
                self._problem(f"a password is in '{path}'")

    def _no_orphans(self) -> None:
        """Nobody outlives the coordinator for long."""
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while left := marked(self._mark):
            if time.monotonic() > deadline:
                for each in left:
                    with contextlib.suppress(Exception):
                        self._problem(f"an orphan: {each.pid} {' '.join(each.cmdline())[:120]}")
                        each.kill()
                return
            time.sleep(0.05)

    def _problem(self, words: str) -> None:
        self._result.problems.append(words)
        self._say(f"  PROBLEM: {words}")

    def _last_words(self) -> str:
        return " | ".join(self._output.read_text(errors="replace").splitlines()[-4:])


def _audit(home: Path, repair: bool) -> Audit:
    return audit_study(NAME, home=home, repair=repair)


def _read(home: Path) -> tuple[str, list[int], float]:
    """A study's state, the numbers of its trials, and the seconds that all of its runs are billed for."""
    table = open_study(NAME, home=home).table()
    return table.state, table.runs.query("role == 'trial'")["trial"].tolist(), float(table.runs["wall_seconds"].sum())


def _study(strategy: str, random: Random) -> dict[str, Any]:
    """A study of small trainings that save their state after each epoch."""
    space: dict[str, Any] = {"width": [4, 8, 16], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    if strategy == "grid":
        space["learning_rate"] = [0.01, 0.02, 0.1]
    epochs, epoch_seconds = random.choice((6, 12, 20)), random.choice((0.02, 0.1, 0.3))
    return {
        "name": NAME,
        "workload": "tests.support.quick:quick",
        "strategy": strategy,
        "quality": {"metric": "accuracy"},
        "budget": {"trials": TRIALS},
        "pricing": {"sku_cpu": "aws/m7i.xlarge"},
        "settings": {"threads": 1, "precision": "fp32", "epochs": epochs, "epoch_seconds": epoch_seconds},
        "space": space,
    }
