"""A shell command as a workload: a script in any language is searched, measured and priced from outside.

command = "python train.py --lr {learning_rate} --epochs {epochs}"

The names in braces are the knobs. The command learns the rest from its environment and reports by JSON lines, as the
study's [report] table says, or through MLflow; see CommandWorkload.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import string
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracker.databases.sqlite_url import sqlite_url
from tracker.errors import TrainingFailedError, WorkloadError
from tracker.records import DataCard, Direction, Settings
from tracker.study.document import COMMAND_MARK, FOLDER_MARK, command_experiment
from tracker.study.knobs import COMMON_KNOBS, Knob
from tracker.study.spec import ANY_DATA_KEY
from tracker.training.command_process import CommandProcess
from tracker.training.command_reports import CommandReports, ReportLines
from tracker.training.log_sources import CsvSource, TensorboardSource, expanded
from tracker.training.mlflow_sources import TAG, MlflowDatabase, MlflowServer, is_server, lay_out_store
from tracker.training.pickup import Pickup, Source
from tracker.training.printed_source import PrintedLines, PrintedSource
from tracker.training.run import Paused, Run
from tracker.training.state import COMMAND_STATE_NAME
from tracker.training.workload import Progress

POLL_SECONDS = 0.1
STORE_NAME, ARTIFACTS_NAME = "mlflow.db", "mlflow-artifacts"
"""The MLflow database that a command gets in its trial's folder, and where files go that it logs there."""
_PYTHON = "python"
_NOT_PASSED_ON = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
"""Of a run that the tracker itself may have been started in: the command's runs are its own."""

COMMAND_ENVIRONMENT: Mapping[str, str] = {
    "TRACKER_REPORT": 'the file to append JSON lines to, such as {"epoch": 1, "accuracy": 0.9}',
    "TRACKER_STATE": "where to keep what another attempt can resume from; it is there where the trial is resumed",
    "TRACKER_ARTIFACTS": "a folder for files worth keeping",
    "TRACKER_SEED": "the trial's seed",
    "TRACKER_DEVICE": "cpu or cuda",
    "TRACKER_THREADS": "the CPU cores that the trial has",
    "TRACKER_PRECISION": "fp32, tf32, bf16 or fp16",
    "TRACKER_DATA_<KEY>": "the value of each key of the study's [data] table",
    "TRACKER_WORKER": "the mark of all processes of the trial, by which those are found that outlive it",
    "OMP_NUM_THREADS": "the cores that each of the trial's processes has",
    "CUDA_VISIBLE_DEVICES": "the GPUs that are reserved for the trial",
    "PYTHONUNBUFFERED": "1 where the study's `[report]` reads what is printed: each line then has its time",
    "MLFLOW_TRACKING_URI": "where the command's MLflow logs: a database of the trial's own, or the study's server",
    "MLFLOW_EXPERIMENT_NAME": "the experiment that it logs to",
    "MLFLOW_RUN_CONTEXT": "tags by which its runs are recognised",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""The environment variables that a command finds, each with its meaning."""
_OTHER_PYTHON = "{python} in a command is the Python that the tracker runs in"


class CommandWorkload:
    """The workload that a shell command makes.

    It runs by /bin/sh in the folder of the study file. A name in braces is replaced by the knob's value, quoted for
    the shell; {python} is the Python that the tracker runs in, and write a literal brace twice. It finds
    COMMAND_ENVIRONMENT, and reports by JSON lines (CommandReports) or by what is picked up (Pickup): from where the
    study's [report] table says, else from what it logs to MLflow. Raises WorkloadError.
    """

    metrics: Mapping[str, Direction] = {}
    data_options: Mapping[str, str] = {ANY_DATA_KEY: "passed to the command as TRACKER_DATA_<KEY>"}
    baselines: Mapping[str, Callable[[Run], None]] = {}

    def __init__(self, reference: str) -> None:
        command, mark, folder = reference.removeprefix(COMMAND_MARK).rpartition(FOLDER_MARK)
        self.command = command if mark else folder
        self.folder = Path(folder) if mark else Path.cwd()
        if not self.command.strip():
            raise WorkloadError("the command is empty")
        if not self.folder.is_dir():
            raise WorkloadError(f"the command's folder '{self.folder}' does not exist")
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
        earlier = run.restore() or {}
        with _own_folder(run) as folder:
            token, state = uuid.uuid4().hex, folder / COMMAND_STATE_NAME
            report = folder / f"report-{token}"
            environment = _environment(run, token, folder, {"REPORT": str(report), "STATE": str(state)})
            output = run.place.output or folder / f"output-{token}"
            source = self._source(run, token, folder, environment, output, max(0, earlier.get("epoch", 0)))
            known = earlier.get("epoch", -1), earlier.get("step", -1)
            pickup = None if source is None else Pickup(source, run.quality.name, run.note, *known)
            reports = CommandReports(run, ReportLines(report), pickup, state, earlier.get("epoch", -1))
            try:
                self._follow(run, reports, environment, run.place.output if run.place.report_table is None else output)
            finally:
                report.unlink(missing_ok=True)
                if run.place.output is None:
                    output.unlink(missing_ok=True)

    def _follow(self, run: Run, reports: CommandReports, environment: Mapping[str, str], output: Path | None) -> None:
        try:
            with CommandProcess(self.rendered(run), self.folder, environment, output) as process:
                run.ready()
                while not process.has_ended(POLL_SECONDS):
                    reports.take_in()
            run.measured()  # what is read from now on is the tracker's own work
        except BaseException as error:
            if not isinstance(error, Exception):  # asked to stop or to pause: what it said until its end counts
                with contextlib.suppress(TrainingFailedError, Paused):
                    reports.take_in(last=True)
                reports.offer_state()
            raise
        reports.take_in(last=True, whole=process.succeeded)
        process.check("" if self.takes_our_python else _OTHER_PYTHON)
        reports.check()

    def _source(
        self, run: Run, token: str, folder: Path, environment: Mapping[str, str], output: Path, counted: int
    ) -> Source | None:
        """Where what it says is picked up; ``counted`` is the last step that an earlier attempt reported."""
        table, quality = run.place.report_table, run.quality.name
        if table is None:
            if not run.place.tracking_uri:
                return None
            if is_server(run.place.tracking_uri):
                return MlflowServer(run.place.tracking_uri, token, quality)
            return MlflowDatabase(folder / STORE_NAME)
        if table.where == "printed":
            return PrintedSource(PrintedLines(output), table.metrics, table.step, quality, run.note, counted)
        place = expanded(table.place, environment, self.folder)
        if table.where == "csv":
            return CsvSource(place, table.metrics, table.step, quality, run.note, counted)
        return TensorboardSource(place, table.metrics, all_own=place.is_relative_to(folder))

    @property
    def source_files(self) -> tuple[Path, ...]:
        """The files that the command names: its scripts, most of all."""
        words = (self.folder / word for text, _ in _pieces(self.command) for word in text.split())
        return tuple(path for path in words if path.is_file())

    @property
    def takes_our_python(self) -> bool:
        """Whether it runs in the Python that the tracker runs in."""
        return any(name == _PYTHON for _, name in _pieces(self.command))

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
        raise WorkloadError(f"{error}; write a literal brace twice") from None
    quote = ""
    for text, name, detail, conversion in pieces:
        quote = _open_quote(text, quote)
        if name is not None and (detail or conversion or not re.fullmatch(r"[^\W\d][\w-]*", name)):
            given = name + (f"!{conversion}" if conversion else "") + (f":{detail}" if detail else "")
            raise WorkloadError(f"{{{given}}} is not a name in braces; write a literal brace twice")
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


def _environment(run: Run, token: str, folder: Path, places: Mapping[str, str]) -> dict[str, str]:
    threads = int(run.settings["threads"])
    variables = {
        **places,
        "ARTIFACTS": str(run.artifact("any").parent),  # made by being asked for
        "SEED": str(run.seed),
        "DEVICE": run.device.type,
        "THREADS": str(threads),
        "PRECISION": str(run.settings["precision"]),
        **{f"DATA_{re.sub(r'[^0-9A-Z]', '_', key.upper())}": _text(value) for key, value in run.data.items()},
    }
    return {
        **{name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON},
        **{f"TRACKER_{name}": value for name, value in variables.items()},
        "OMP_NUM_THREADS": str(max(1, threads // run.processes)),
        "CUDA_VISIBLE_DEVICES": _visible_gpus(run),
        **({"PYTHONUNBUFFERED": "1"} if run.place.report_table and run.place.report_table.where == "printed" else {}),
        **(_mlflow_environment(run, token, folder) if run.place.tracking_uri else {}),
    }


def _mlflow_environment(run: Run, token: str, folder: Path) -> dict[str, str]:
    """Where the command's MLflow logs: the study's server where it has one, else a database of the trial's own."""
    uri, experiment = run.place.tracking_uri, command_experiment(run.place.study)
    if not is_server(uri):
        store = folder / STORE_NAME
        lay_out_store(store, run.place.command_store, experiment, folder / ARTIFACTS_NAME)
        uri = sqlite_url(store)
    return {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "MLFLOW_RUN_CONTEXT": json.dumps({"tracker.attempt": run.place.label, TAG: token}),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _visible_gpus(run: Run) -> str:
    """The GPUs that the command may see: those reserved for it, none where that is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else []
    return ",".join(names[index] if index < len(names) else str(index) for index in run.accelerators)


@contextlib.contextmanager
def _own_folder(run: Run) -> Iterator[Path]:
    """The trial's folder; one that is deleted afterwards where there is none."""
    if run.folder is not None:
        run.folder.mkdir(parents=True, exist_ok=True)
        yield run.folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="command-") as folder:
        yield Path(folder)
