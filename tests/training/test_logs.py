"""Event files and csv logs are read as they grow, as the libraries that write them leave them."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.util.tensor_util import make_tensor_proto
from torch.utils.tensorboard import SummaryWriter

from tracker.errors import StoreError
from tracker.training.csv_log import CsvLog, csv_logs
from tracker.training.tensorboard_log import EventFile, event_files


def record(event):
    data = event.SerializeToString()
    length = len(data).to_bytes(8, "little")
    return length + masked_crc32c(length).to_bytes(4, "little") + data + masked_crc32c(data).to_bytes(4, "little")


def values(scalars):
    return [(each.tag, each.step, each.value) for each in scalars]


def test_scalars_are_read_as_they_are_written_and_pictures_beside_them_are_not(tmp_path):
    writer = SummaryWriter(tmp_path / "a" / "b")
    writer.add_scalar("loss", 0.9, 1, walltime=1e9)
    writer.add_histogram("weights", torch.randn(100), 1)
    writer.add_image("picture", torch.rand(3, 8, 8), 1)
    writer.add_text("words", "hello", 1)
    writer.flush()
    (path,) = event_files(tmp_path)
    file = EventFile(path)
    assert file.new() == [("loss", 1, 1e9, 0.9)]
    assert file.new() == []
    writer.add_scalar("loss", float("inf"), 2)
    writer.add_scalar("loss", 1e-12)
    writer.close()
    assert values(file.new()) == [("loss", 2, float("inf")), ("loss", 0, 1e-12)]
    assert event_files(path) == [path]
    assert event_files(tmp_path / "none") == []


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64", "float16", "bool", "uint8"])
def test_keras_and_tensorflow_log_scalars_as_tensors(kind, tmp_path):
    path = tmp_path / "events.out.tfevents.1.host.v2"
    logged = torch.tensor(1, dtype=getattr(torch, kind)).numpy()
    tensor = make_tensor_proto(logged)
    plain = make_tensor_proto(0.25, dtype="float32")
    several = make_tensor_proto([1.0, 2.0])
    text = make_tensor_proto(b"hello")
    tensors = {"accuracy": tensor, "plain": plain, "curve": several, "text": text}
    summary = Summary(value=[Summary.Value(tag=tag, tensor=each) for tag, each in tensors.items()])
    path.write_bytes(record(Event(step=3, summary=summary)))
    assert values(EventFile(path).new()) == [("accuracy", 3, 1.0), ("plain", 3, 0.25)]


def test_a_record_that_is_not_whole_yet_is_waited_for(tmp_path):
    path = tmp_path / "tfevents"
    text = b"".join(
        record(Event(step=step, summary=Summary(value=[Summary.Value(tag="x", simple_value=step)]))) for step in (1, 2)
    )
    found = []
    file = EventFile(path)
    for end in range(len(text) + 1):
        path.write_bytes(text[:end])
        found += file.new()
    assert values(found) == [("x", 1, 1.0), ("x", 2, 2.0)]
    path.write_bytes(text[:20])
    with pytest.raises(StoreError, match="became shorter"):
        file.new()


@pytest.mark.parametrize("content", [b"epoch,loss\n1,0.5\n2,0.4\n", bytes(200)])
def test_what_is_no_event_file_is_called_so(content, tmp_path):
    path = tmp_path / "tfevents"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is no event file of TensorBoard's"):
        EventFile(path).new()


def test_of_a_damaged_file_what_is_before_the_damage_is_given_first(tmp_path):
    path = tmp_path / "tfevents"
    path.write_bytes(record(Event(step=1, summary=Summary(value=[Summary.Value(tag="x", simple_value=1)]))) + b"?" * 99)
    file = EventFile(path)
    assert values(file.new()) == [("x", 1, 1.0)]
    with pytest.raises(StoreError, match="is damaged at byte 30"):
        file.new()


def test_a_csv_log_that_is_appended_to_gives_its_new_rows(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch;accuracy;loss\n0;0.5;1e-3\n1;0.6")
    log = CsvLog(path)
    assert log.new() == [{"epoch": "0", "accuracy": "0.5", "loss": "1e-3"}]
    assert log.columns == ("epoch", "accuracy", "loss")
    with path.open("a") as file:
        file.write(";nan\r\n2;0.7;0.1")
    assert log.new() == [{"epoch": "1", "accuracy": "0.6", "loss": "nan"}]
    assert log.new() == []
    assert log.new(last=True) == [{"epoch": "2", "accuracy": "0.7", "loss": "0.1"}]
    assert CsvLog(path, skip_rows=True).new() == []


def test_lightnings_csv_log_is_sparse_and_written_again_where_a_column_is_new(tmp_path):
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    logger.log_metrics({"loss": 0.5}, step=1)
    (path,) = csv_logs(tmp_path)
    assert path.name == "metrics.csv"
    log = CsvLog(path)
    assert log.new() == [{"loss": "0.5", "step": "1"}]
    logger.log_metrics({"loss": 0.4}, step=2)
    assert log.new() == [{"loss": "0.4", "step": "2"}]
    logger.log_metrics({"accuracy": 0.9}, step=2)
    rows = [{"loss": "0.5", "step": "1"}, {"loss": "0.4", "step": "2"}, {"accuracy": "0.9", "step": "2"}]
    assert log.new() == rows


def test_a_csv_log_that_is_none_is_called_so(tmp_path):
    (path := tmp_path / "log.csv").write_bytes(b"PK\0\0\n")
    with pytest.raises(StoreError, match="no csv log"):
        CsvLog(path).new()
    with pytest.raises(StoreError, match="cannot be read"):
        CsvLog(tmp_path / "none.csv").new()
