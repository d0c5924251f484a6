"""A real Ray cluster of several nodes on this machine, each made by the command `ray start`, with a token."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
_RAY = (sys.executable, "-c", "from ray.scripts.scripts import main; main()")
_SMALL = ("--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=80000000", "--disable-usage-stats")


@dataclass
class RayNode:
    """What `ray start --block` runs on this machine as one node."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End all of it at once, as a power cut does."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def hang(self) -> None:
        """Stop all of it: it is there, and does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again after it hung."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            everyone = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
            for each in everyone:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(number)


class RayCluster:
    """A head without cores, and the nodes that were added; with ``token`` False it is open to everyone.

    ``environment`` is what a driver needs to reach it, ``address`` and ``client_address`` are where.
    """

    def __init__(self, *, token: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path is 107 bytes at most
        self.nodes: list[RayNode] = []
        tokens = self.folder / "token"
        tokens.write_text(secrets.token_hex(16))
        self.environment = (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tokens)} if token else {"RAY_AUTH_MODE": "disabled"}
        )
        port, client_port = free_port(), free_port()
        self.head = self._start(
            *("--head", f"--port={port}", f"--ray-client-server-port={client_port}", "--num-cpus=0"),
            "--include-dashboard=false",
        )
        self._wait_for(self.head)
        self.address = (self.folder / "0" / "ray_current_cluster").read_text().strip()
        self.client_address = f"ray://{self.address.rpartition(':')[0]}:{client_port}"

    def add(self, *labels: Mapping[str, str], cores: int = 1) -> list[RayNode]:
        """Start a node for each set of labels, side by side, and wait until they are there."""
        added = [
            self._start(
                *(f"--address={self.address}", f"--num-cpus={cores}"),
                "--labels=" + ",".join(f"{name}={value}" for name, value in each.items()),
            )
            for each in labels
        ]
        for node in added:
            self._wait_for(node)
        return added

    def stop(self) -> None:
        """End every node, the head last, and remove what they left."""
        for node in reversed(self.nodes):
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *arguments: str) -> RayNode:
        own = self.folder / str(len(self.nodes))  # nodes that start at once in one folder take the same sockets
        own.mkdir()
        log = own / "start.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*_RAY, "start", *arguments, *_SMALL, f"--temp-dir={own}", "--block"],
                env=self._environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.nodes.append(RayNode(process, log))
        return self.nodes[-1]

    def _wait_for(self, node: RayNode) -> None:
        until = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in node.log.read_text():
            if node.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"`ray start` did not start:\n{node.log.read_text()[-3000:]}")
            time.sleep(0.1)

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        steady = {"RAY_memory_monitor_refresh_ms": "0", "GRPC_ENABLE_FORK_SUPPORT": "0"}
        return {**own, **self.environment, **steady, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
