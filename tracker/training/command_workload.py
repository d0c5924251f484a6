"""A shell command as a workload: a script in any language is searched, measured and priced from outside.

command = "python train.py --lr {learning_rate} --epochs {epochs}"

The names in braces are the knobs. The command learns the rest from its environment and reports by JSON lines or
through MLflow; see CommandWorkload.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import string
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracker.errors import TrainingFailedError, WorkloadError
from tracker.records import DataCard, Direction, Settings
from tracker.study.document import COMMAND_MARK, FOLDER_MARK, command_experiment
from tracker.study.knobs import COMMON_KNOBS, Knob
from tracker.study.spec import ANY_DATA_KEY
from tracker.training.command_process import CommandProcess
from tracker.training.command_reports import CommandReports, ReportLines
from tracker.training.mlflow_pickup import MlflowPickup
from tracker.training.mlflow_sources import TAG, open_source
from tracker.training.run import Run
from tracker.training.state import COMMAND_STATE_NAME
from tracker.training.workload import Progress

POLL_SECONDS = 0.1
_PYTHON = "python"
_NOT_PASSED_ON = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
"""Of a run that the tracker itself may have been started in: the command's runs are its own."""


class CommandWorkload:
    """The workload that a shell command makes.

    It runs by /bin/sh in the folder of the study file. A name in braces is replaced by the knob's value, quoted for
    the shell; {python} is the Python that the tracker runs in, and a brace of the shell's own is written twice. Its
    environment tells it TRACKER_REPORT (the file to append JSON lines to), TRACKER_STATE (where to keep what another
    attempt could go on from: there is something where the trial is resumed), TRACKER_ARTIFACTS (a folder for files
    worth keeping), TRACKER_SEED, TRACKER_DEVICE, TRACKER_THREADS, TRACKER_PRECISION, TRACKER_DATA_<KEY> for each key
    of the study's [data] table, and where MLflow is. It reports by JSON lines (CommandReports), or by what it logs to
    MLflow (MlflowPickup). Raises WorkloadError.
    """

    metrics: Mapping[str, Direction] = {}
    data_options: Mapping[str, str] = {ANY_DATA_KEY: "handed to the command as TRACKER_DATA_<KEY>"}
    baselines: Mapping[str, Callable[[Run], None]] = {}

    def __init__(self, reference: str) -> None:
        command, mark, folder = reference.removeprefix(COMMAND_MARK).rpartition(FOLDER_MARK)
        self.command = command if mark else folder
        self.folder = Path(folder) if mark else Path.cwd()
        if not self.command.strip():
            raise WorkloadError("the command is empty")
        if not self.folder.is_dir():
            raise WorkloadError(f"the command's folder '{self.folder}' is not there")
        names = [name for _, name in _pieces(self.command) if name not in (None, _PYTHON, *COMMON_KNOBS)]
        self.knobs: Mapping[str, Knob] = {str(name): Knob("any", None, "inserted into the command") for name in names}

    def prepare(self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Progress) -> DataCard:
        """Nothing to prepare: the command sees to its own data."""
        del data, settings, cache, progress
        return DataCard("", "", {})

    def train(self, run: Run) -> None:
        """Run the command to its end, reporting what it reports.

        Raises TrainingFailedError: ``command_failed`` where it ends with anything but exit code 0, ``bad_report`` for
        a line that makes no sense, and as Run.report does. Whatever ends this ends all of the command's processes.
        """
        if run.rank:
            return  # the command starts what processes it needs
        going_on = run.restore() or {}
        with _own_folder(run) as folder:
            token, state = uuid.uuid4().hex, folder / COMMAND_STATE_NAME
            report = folder / f"report-{token}"
            pickup = _pickup(run, token, going_on)
            reports = CommandReports(run, ReportLines(report), pickup, state, going_on.get("epoch", 0))
            environment = _environment(run, token, {"REPORT": str(report), "STATE": str(state)})
            try:
                self._follow(run, reports, self.rendered(run), environment)
            except Exception:
                _remove(state)  # as the tracker's own state: only what was interrupted is gone on with
                raise
            finally:
                _remove(report)
            _remove(state)

    def _follow(self, run: Run, reports: CommandReports, command: str, environment: Mapping[str, str]) -> None:
        try:
            with CommandProcess(command, self.folder, environment, run.output) as process:
                run.ready()
                while not process.has_ended(POLL_SECONDS):
                    reports.take_in()
        except BaseException as error:
            if not isinstance(error, Exception):  # asked to stop or to pause: what it said until its end counts
                with contextlib.suppress(TrainingFailedError):
                    reports.take_in()
                reports.offer_state()
            raise
        reports.take_in(last=True, whole=process.succeeded)
        process.check()
        reports.check()

    def rendered(self, run: Run) -> str:
        """The command with a run's settings in it."""
        values = {**run.settings, "seed": run.seed, _PYTHON: sys.executable}
        return "".join(
            text + ("" if name is None else shlex.quote(_text(values[name]))) for text, name in _pieces(self.command)
        )


def _pieces(command: str) -> Iterator[tuple[str, str | None]]:
    """A command as pieces of text, each with the name in braces after it; None at the end. Raises WorkloadError."""
    try:
        pieces = list(string.Formatter().parse(command))
    except ValueError as error:
        raise WorkloadError(f"{error}; a brace of the shell's own is written twice") from None
    quote = ""
    for text, name, detail, conversion in pieces:
        quote = _open_quote(text, quote)
        if name is not None and (detail or conversion or not re.fullmatch(r"[^\W\d][\w-]*", name)):
            given = name + (f"!{conversion}" if conversion else "") + (f":{detail}" if detail else "")
            raise WorkloadError(f"{{{given}}} is not a name in braces; a brace of the shell's own is written twice")
        if name is not None and text.endswith("$"):
            raise WorkloadError(f"${{{name}}} is a variable of the shell's: write ${{{{{name}}}}}, or no $ before it")
        if name is not None and quote:
            raise WorkloadError(f"{{{name}}} is inside quotes ({quote}); leave them out: a value is quoted by itself")
        yield text, name


def _open_quote(text: str, quote: str) -> str:
    """The quote that is open after a piece of a command, where ``quote`` is open before it; "" for none."""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return quote


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, default=str) if isinstance(value, Mapping | list) else str(value)


def _pickup(run: Run, token: str, going_on: Mapping[str, int]) -> MlflowPickup | None:
    source = open_source(run.tracking_uri, token, run.quality.name)
    if source is None:
        return None
    return MlflowPickup(source, run.quality.name, going_on.get("epoch", 0), going_on.get("step", 0))


def _environment(run: Run, token: str, places: Mapping[str, str]) -> dict[str, str]:
    threads = int(run.settings["threads"])
    told = {
        **places,
        "ARTIFACTS": str(run.artifact("any").parent),  # made by being asked for
        "SEED": str(run.seed),
        "DEVICE": run.device.type,
        "THREADS": str(threads),
        "PRECISION": str(run.settings["precision"]),
        **{f"DATA_{re.sub(r'[^0-9A-Z]', '_', key.upper())}": _text(value) for key, value in run.data.items()},
    }
    context = {"tracker.attempt": run.label, TAG: token}
    mlflow = {
        "MLFLOW_TRACKING_URI": _absolute(run.tracking_uri),
        "MLFLOW_EXPERIMENT_NAME": command_experiment(run.study),
        "MLFLOW_RUN_CONTEXT": json.dumps(context),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return {
        **{name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON},
        **{f"TRACKER_{name}": value for name, value in told.items()},
        "OMP_NUM_THREADS": str(max(1, threads // run.processes)),
        "CUDA_VISIBLE_DEVICES": _visible_gpus(run),
        **(mlflow if run.tracking_uri else {}),
    }


def _visible_gpus(run: Run) -> str:
    """The GPUs that the command may see: those reserved for it, none where that is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else []
    return ",".join(names[index] if index < len(names) else str(index) for index in run.accelerators)


def _absolute(tracking_uri: str) -> str:
    """A store's address that means the same in the command's folder."""
    scheme, mark, path = tracking_uri.partition("sqlite:///")
    return tracking_uri if not mark or scheme or path.startswith("/") else f"{mark}{Path(path).resolve()}"


@contextlib.contextmanager
def _own_folder(run: Run) -> Iterator[Path]:
    """The trial's folder; one that is deleted afterwards where there is none."""
    if run.folder is not None:
        run.folder.mkdir(parents=True, exist_ok=True)
        yield run.folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="command-") as folder:
        yield Path(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
