"""How the processes that train one model together find each other: on one machine, or on several."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed

from tracker.training.span import Span

PATIENCE = timedelta(hours=24)
"""How long a process waits for another: an evaluation by process 0 takes as long as it takes."""
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""The environment variables of the network interface that gloo and nccl use; a machine's own are kept."""
_ANY_PORT = 9


def meet_here(rank: int, processes: int, device: torch.device, meeting: Path) -> None:
    """Have all processes find each other through a file that none of them has made yet, on this machine alone."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    _meet(rank, processes, device, torch.distributed.FileStore(str(meeting.resolve()), processes))  # type: ignore[attr-defined]


def meet_across(rank: int, processes: int, device: torch.device, span: Span, listening: socket.socket | None) -> None:
    """Have all processes find each other on several machines, where process 0 listens already, on ``listening``."""
    if (interface := _interface_to(span.address)) is not None:
        for name in _INTERFACES:
            os.environ.setdefault(name, interface)
    store = torch.distributed.TCPStore(  # type: ignore[attr-defined]
        span.address,
        span.store,
        processes,
        is_master=rank == 0,
        timeout=PATIENCE,
        wait_for_workers=False,
        master_listen_fd=listening.detach() if listening is not None else None,
    )
    _meet(rank, processes, device, store)


def _meet(rank: int, processes: int, device: torch.device, store: Any) -> None:
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=processes, timeout=PATIENCE
    )


def _interface_to(address: str) -> str | None:
    """The network interface that reaches an address, its own where that is this machine's; None where none does."""
    with contextlib.suppress(OSError):
        family, kind, _, _, place = socket.getaddrinfo(address, _ANY_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as nothing_is_sent:
            nothing_is_sent.connect(place)
            own = nothing_is_sent.getsockname()[0]
        for name, addresses in psutil.net_if_addrs().items():
            if any(each.address.partition("%")[0] == own for each in addresses):
                return name
    return None
