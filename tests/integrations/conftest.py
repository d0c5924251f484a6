"""Runs for trainings that a library carries out, and no network for any of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.runs import assembled_run
from tracker.records import DataCard, Direction, QualityMetric
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Run

Events = list[tuple[str, Any]]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that calls home, for a newer version or to count its users, fails its test."""

    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError(f"a test asked for the network: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., tuple[Run, Events]]:
    """Makes a run, seeded as a worker seeds it, with the list that its events go to."""
    torch.set_num_threads(1)

    def make(seed: int = 3, precision: str = "fp32", **arguments: Any) -> tuple[Run, Events]:
        events: Events = []
        torch.manual_seed(seed)
        defaults: dict[str, Any] = {
            "settings": {},
            "data": {},
            "data_card": DataCard("", "", {}),
            "device": torch.device("cpu"),
            "cache": tmp_path / "cache",
            "artifacts": tmp_path / "artifacts",
            "quality": QualityMetric("accuracy", Direction.MAXIMIZE),
            "meter": Meter(asked_steady=time.monotonic(), cores=1),
            "write": lambda event, payload: events.append((event, payload)),
        }
        return assembled_run(seed=seed, precision=PRECISIONS[precision], **{**defaults, **arguments}), events

    return make
