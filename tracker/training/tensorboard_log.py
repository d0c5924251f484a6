"""TensorBoard's event files, read as they grow: the scalars of a folder of logs.

An event file is a row of records: the length of the data (8 bytes), a checksum of the length, the data (a message
``tensorboard.Event``), a checksum of the data (tensorflow/core/lib/io/record_writer.h, core/util/event.proto). The
``tensorboard`` package reads them too, but takes 100 µs for a scalar where this takes 10, and a third of a second to be
imported, which every worker would pay for; and whoever reads logs would have to install it. protobuf comes with MLflow.

The checksum of a length is checked, because a wrong length would lead anywhere; that of the data is not: Python takes
seconds for a picture's.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from tracker.errors import StoreError

NAME_PART = "tfevents"
"""What the name of every event file contains; TensorBoard itself goes by that."""
_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4
_MOST_RECORD_BYTES = 2**31  # protobuf's own limit
_REPEATED = FieldDescriptorProto.LABEL_REPEATED
_OPTIONAL = FieldDescriptorProto.LABEL_OPTIONAL


class Scalar(NamedTuple):
    """A value as it was logged: its tag, its step (0 where the script gave none), when in seconds since 1970."""

    tag: str
    step: int
    time: float
    value: float


class EventFile:
    """An event file that may still grow: each call gives the scalars that came since the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    @property
    def read_bytes(self) -> int:
        """How much of it was read, up to the end of a record."""
        return self._read

    def new(self) -> list[Scalar]:
        """The new scalars, in the order of the file; a record that is not whole yet waits for the next call.

        Raises StoreError for what is no event file, a damaged one, and one that cannot be read or became shorter; the
        scalars before that are given first.
        """
        found: list[Scalar] = []
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._read:
                    raise StoreError(f"'{self.path}' became shorter while it was read")
                file.seek(self._read)
                for data in self._records(file, size):
                    found += self.scalars(self._event(data))
        except OSError as error:
            raise StoreError(f"'{self.path}' cannot be read: {error.strerror}") from None
        except StoreError:
            if not found:
                raise
        return found

    def scalars(self, event: Any) -> Iterator[Scalar]:
        """The scalars of an event; whoever wants more of an event overrides it."""
        for value in event.summary.value:
            number = _shortest(value.simple_value) if value.HasField("simple_value") else _number(value.tensor)
            if number is not None:
                yield Scalar(value.tag, event.step, event.wall_time, number)

    def _records(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        while size - self._read >= _HEADER.size:
            header = file.read(_HEADER.size)
            length, checksum = _HEADER.unpack(header)
            if checksum != _masked_crc32c(header[:8]) or length > _MOST_RECORD_BYTES:
                raise self._wrong()
            whole = _HEADER.size + length + _CHECKSUM_BYTES
            if size - self._read < whole:
                return
            data = file.read(length)
            file.seek(_CHECKSUM_BYTES, os.SEEK_CUR)
            yield data
            self._read += whole

    def _event(self, data: bytes) -> Any:
        try:
            return _Event.FromString(data)
        except DecodeError:
            raise self._wrong() from None

    def _wrong(self) -> StoreError:
        if self._read == 0:
            return StoreError(f"'{self.path}' is no event file of TensorBoard's")
        return StoreError(f"event file '{self.path}' is damaged at byte {self._read:,}")


def event_files(folder: Path) -> list[Path]:
    """The event files in a folder and those below it, by their folders, those of one by name, which is by time.

    A path that is an event file itself is the only one; a folder that is not there has none.
    """
    if folder.is_file():
        return [folder] if NAME_PART in folder.name else []
    places = ((parent, name) for parent, _, names in os.walk(folder) for name in names if NAME_PART in name)
    return [Path(parent, name) for parent, name in sorted(places)]


def _shortest(number: float) -> float:
    """The shortest number that 32 bits hold as this one: what was logged as 0.9 is 0.9."""
    return float(str(np.float32(number)))


def _number(tensor: Any) -> float | None:
    """The number that a tensor of one element without dimensions holds; None for what is none.

    How Keras and TensorFlow 2 log scalars.
    """
    if tensor.dtype not in _NUMPY_TYPES or tensor.tensor_shape.dim:
        return None
    kind = _NUMPY_TYPES[tensor.dtype]
    if content := tensor.tensor_content:
        if kind is None:  # bfloat16: the upper half of 32 bits
            return float(np.frombuffer(b"\0\0" + content[:2], "<f4")[0])
        if len(content) < np.dtype(kind).itemsize:
            return None
        number = float(np.frombuffer(content, kind, count=1)[0])
        return _shortest(number) if kind == "<f4" else number
    if tensor.half_val:
        bits = np.array(tensor.half_val[:1], "<u2")
        return float(bits.view("<f2")[0]) if kind else float(np.array([0, bits[0]], "<u2").view("<f4")[0])
    for name in ("float_val", "double_val", "int_val", "int64_val", "bool_val"):
        if values := getattr(tensor, name):
            return _shortest(values[0]) if name == "float_val" else float(values[0])
    return None


_NUMPY_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 14: None, 19: "<f2"}
"""How numpy calls the types of tensors that hold one number (tensorflow/core/framework/types.proto)."""


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _crc32c_table()


@functools.lru_cache(maxsize=4096)  # lengths repeat
def _masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated by 15 bits and shifted, as records have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _message_classes(*names: str) -> list[Any]:
    """The message classes of these names, with the fields that are read; their pool is their own.

    The hyperparameters of a run are a message in the metadata of a summary (tensorboard/plugins/hparams).
    """
    file = FileDescriptorProto(name="tracker_events.proto", package="events")
    for message, fields in {
        "Dim": [("size", 1, "int64", _OPTIONAL)],
        "Shape": [("dim", 2, "Dim", _REPEATED)],
        "Tensor": [
            ("dtype", 1, "int32", _OPTIONAL),
            ("tensor_shape", 2, "Shape", _OPTIONAL),
            ("tensor_content", 4, "bytes", _OPTIONAL),
            ("float_val", 5, "float", _REPEATED),
            ("double_val", 6, "double", _REPEATED),
            ("int_val", 7, "int32", _REPEATED),
            ("int64_val", 10, "int64", _REPEATED),
            ("bool_val", 11, "bool", _REPEATED),
            ("half_val", 13, "int32", _REPEATED),
        ],
        "Value": [
            ("tag", 1, "string", _OPTIONAL),
            ("simple_value", 2, "float", _OPTIONAL),
            ("tensor", 8, "Tensor", _OPTIONAL),
            ("metadata", 9, "Metadata", _OPTIONAL),
        ],
        "Metadata": [("plugin_data", 1, "PluginData", _OPTIONAL)],
        "PluginData": [("plugin_name", 1, "string", _OPTIONAL), ("content", 2, "bytes", _OPTIONAL)],
        "HParams": [("session_start_info", 3, "Session", _OPTIONAL)],
        "Session": [("hparams", 1, "HParam", _REPEATED)],
        "HParam": [("key", 1, "string", _OPTIONAL), ("value", 2, "bytes", _OPTIONAL)],
        "Summary": [("value", 1, "Value", _REPEATED)],
        "Event": [
            ("wall_time", 1, "double", _OPTIONAL),
            ("step", 2, "int64", _OPTIONAL),
            ("summary", 5, "Summary", _OPTIONAL),
        ],
    }.items():
        _add_message(file.message_type.add(name=message), fields)
    pool = DescriptorPool()
    pool.Add(file)
    return [GetMessageClass(pool.FindMessageTypeByName(f"events.{name}")) for name in names]


def _add_message(message: DescriptorProto, fields: list[tuple[str, int, str, Any]]) -> None:
    for name, number, kind, label in fields:
        field = message.field.add(name=name, number=number, label=label)
        if kind[0].isupper():
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".events.{kind}"
        else:
            field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")


_Event, HParams = _message_classes("Event", "HParams")
