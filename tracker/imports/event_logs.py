"""A folder of TensorBoard logs, read whole: what each folder with event files in it logged, and since when."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Value
from numpy.typing import NDArray

from tracker.errors import RequestError, StoreError
from tracker.records import SettingValue
from tracker.training.tensorboard_log import EventFile, HParams, Scalar, event_files

_HOST = re.compile(r"tfevents\.\d+\.(?P<host>.+?)(?:\.\d+\.\d+)?(?:\.v2)?$")


class Scalars(NamedTuple):
    """Scalars as columns, arrays of shape [values]: a table for each of 10,000 folders would take most of the time.

    A timestamp is in seconds since 1970, NaN where there is none.
    """

    tags: NDArray[np.object_]
    steps: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass
class FolderLog:
    """The event files of one folder, whose path is relative to the folder of all logs.

    ``started_at`` is when the first event was written (seconds since 1970), NaN where there is none. ``settings`` are
    what TensorBoard's hyperparameters say, ``host`` is the machine that its file is named after. ``version`` changes
    when a file does. ``cut`` are the files that end within a record, ``damaged`` those in which something else follows:
    both are read up to there.
    """

    path: PurePosixPath
    scalars: Scalars
    started_at: float
    settings: dict[str, SettingValue]
    host: str
    version: str
    cut: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    tags: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tags = set(self.scalars.tags.tolist())


def read_event_logs(folder: Path) -> list[FolderLog]:
    """What is logged in a folder and those below it, a FolderLog each.

    Raises RequestError where there are no event files, and for one that is none; StoreError where one cannot be read.
    """
    if not folder.is_dir():
        raise RequestError(f"there is no folder '{folder}'")
    files = event_files(folder)
    if not files:
        raise RequestError(f"there is no event file of TensorBoard's (*.tfevents.*) in '{folder}' or below it")
    return [_read(folder, parent, list(own)) for parent, own in itertools.groupby(files, key=lambda path: path.parent)]


def _read(folder: Path, parent: Path, paths: list[Path]) -> FolderLog:
    files, scalars, cut, damaged = [_WholeFile(path) for path in paths], list[Scalar](), list[str](), list[str]()
    stats = [path.stat() for path in paths]
    for file, stat in zip(files, stats, strict=True):
        name = file.path.relative_to(folder).as_posix()
        try:
            scalars += file.new()
            scalars += file.new()  # where it is damaged, the first call gave what is before that
            if file.read_bytes < stat.st_size:
                cut.append(name)
        except StoreError as error:
            if not file.read_bytes:
                raise RequestError(str(error)) from None
            damaged.append(name)
    host = _HOST.search(paths[-1].name)
    return FolderLog(
        path=PurePosixPath(parent.relative_to(folder).as_posix()),
        scalars=_columns(scalars),
        started_at=min((each.started_at for each in files if each.started_at), default=math.nan),
        settings={name: value for each in files for name, value in each.settings.items()},
        host=host["host"] if host else "",
        version=f"{len(paths)} {sum(each.st_size for each in stats)} {max(each.st_mtime_ns for each in stats)}",
        cut=cut,
        damaged=damaged,
    )


def _columns(scalars: list[Scalar]) -> Scalars:
    tags, steps, times, values = zip(*scalars, strict=True) if scalars else ((), (), (), ())
    timestamps = np.array(times, dtype=np.float64)
    return Scalars(
        tags=np.array(tags, dtype=object),
        steps=np.array(steps, dtype=np.int64),
        timestamps=np.where(timestamps > 0, timestamps, math.nan),
        values=np.array(values, dtype=np.float64),
    )


class _WholeFile(EventFile):
    """An event file that says too when its first event was written, and the hyperparameters of its run."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.started_at = 0.0
        self.settings: dict[str, SettingValue] = {}

    def scalars(self, event: Any) -> Iterator[Scalar]:
        self.started_at = self.started_at or event.wall_time
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                self.settings |= _settings(value.metadata.plugin_data.content)
        return super().scalars(event)


def _settings(content: bytes) -> dict[str, SettingValue]:
    try:
        found = HParams.FromString(content).session_start_info.hparams
        values = {each.key: Value.FromString(each.value) for each in found}
    except DecodeError:
        return {}
    kinds = {name: value.WhichOneof("kind") for name, value in values.items()}
    return {name: _setting(getattr(values[name], kind)) for name, kind in kinds.items() if kind in _SIMPLE}


_SIMPLE = ("number_value", "string_value", "bool_value")


def _setting(value: bool | float | str) -> SettingValue:
    """A hyperparameter: all numbers are floating-point numbers there, whole ones too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
