"""The log that W&B keeps of a run on disk (``wandb/run-…/run-ID.wandb``, ``wandb/offline-run-…``), read without W&B.

A file has the mark ``:W&B``, three more bytes, and records in the framing of LevelDB's logs: blocks of 32 KiB, in them
pieces of records, each after its checksum (4 bytes), length (2) and kind (whole, first, middle or last). A record is a
message ``wandb_internal.Record`` (wandb/proto/wandb_internal.proto), of which what is needed here is declared below.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from tracker.errors import RequestError
from tracker.imports.wandb_run import WandbRun, columns_of, flat_settings, run_state
from tracker.records import TrialState

_MARK, _FIRST_RECORD = b":W&B", 7
_BLOCK_BYTES = 32 * 1024
_PIECE = struct.Struct("<IHB")
_WHOLE, _LAST = 1, 4


def read_wandb_log(path: Path) -> WandbRun | None:
    """The run of a log; of one that is still written to, what is whole; None where it has not started.

    Raises RequestError for what is no log.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"'{path}' cannot be read: {error.strerror}") from None
    if not content.startswith(_MARK):
        raise RequestError(f"'{path}' is no log of a W&B run")
    rows: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    run, exit_code, gpus = None, None, 0
    try:
        for data in _records(content):
            record = _Record.FromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                rows.append(_items(record.history.item))
                rows[-1].setdefault("_step", record.history.step.num)
            elif kind == "run":
                run = record.run
                config.update(_items(run.config.update))
            elif kind == "config":
                config.update(_items(record.config.update))
            elif kind == "exit":
                exit_code = record.exit.exit_code
            elif kind == "environment":
                gpus = max(gpus, record.environment.gpu_count)
    except (DecodeError, ValueError):
        raise RequestError(f"'{path}' is damaged: it cannot be read as the log of a W&B run") from None
    if run is None or not run.run_id:
        return None
    state = run_state("running")
    if exit_code is not None:
        state = run_state("finished") if exit_code == 0 else (TrialState.FAILED, "failed", f"exit code {exit_code}")
    return WandbRun(
        id=run.run_id,
        name=run.display_name or run.run_id,
        history=columns_of(rows),
        settings=flat_settings(config),
        state=state,
        started_at=run.start_time.seconds + run.start_time.nanos / 1e9 or float("nan"),
        accelerators=gpus,
    )


def _records(content: bytes) -> Iterator[bytes]:
    at, record = _FIRST_RECORD, b""
    while at + _PIECE.size <= len(content):
        left = _BLOCK_BYTES - at % _BLOCK_BYTES
        if left < _PIECE.size:
            at += left
            continue
        _, length, kind = _PIECE.unpack_from(content, at)
        at += _PIECE.size
        if at + length > len(content) or not kind:
            return
        record += content[at : at + length]
        at += length
        if kind in (_WHOLE, _LAST):
            yield record
            record = b""


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items if item.value_json}


_TEXT, _INTEGER, _MESSAGE = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_MESSAGE,
)
_FIELDS: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "Item": {"key": (1, _TEXT, False), "nested_key": (2, _TEXT, True), "value_json": (16, _TEXT, False)},
    "Step": {"num": (1, _INTEGER, False)},
    "History": {"item": (1, "Item", True), "step": (2, "Step", False)},
    "Config": {"update": (1, "Item", True)},
    "Time": {"seconds": (1, _INTEGER, False), "nanos": (2, _INTEGER, False)},
    "Run": {
        "run_id": (1, _TEXT, False),
        "config": (4, "Config", False),
        "display_name": (8, _TEXT, False),
        "start_time": (17, "Time", False),
    },
    "Exit": {"exit_code": (1, _INTEGER, False)},
    "Environment": {"gpu_count": (19, _INTEGER, False)},
    "Record": {
        "history": (2, "History", False),
        "config": (5, "Config", False),
        "run": (17, "Run", False),
        "exit": (18, "Exit", False),
        "environment": (26, "Environment", False),
    },
}
"""Of each message the fields that are read: number, type, whether it is repeated."""


def _message() -> Any:
    file = FileDescriptorProto(name="wandb_log.proto", package="wandb_log", syntax="proto3")
    for name, fields in _FIELDS.items():
        message: DescriptorProto = file.message_type.add(name=name)
        if name == "Record":
            message.oneof_decl.add(name="record_type")
        for field, (number, kind, repeated) in fields.items():
            added = message.field.add(name=field, number=number)
            added.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            added.type = _MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                added.type_name = f".wandb_log.{kind}"
            if name == "Record":
                added.oneof_index = 0
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("wandb_log.Record"))


_Record = _message()
