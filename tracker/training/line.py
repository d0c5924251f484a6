"""The connection from each further machine of an attempt to its first: lines of JSON, a few in its life.

A machine says who it is, and in the end how its part ended. Where the connection ends without that, the part is gone;
where the first machine's end of it does, the attempt is over.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from io import BufferedIOBase
from typing import Any

from tracker.records import TrialState
from tracker.training.ending import Ending
from tracker.training.span import Span

_CONNECT_SECONDS = 20.0
_MOST_BYTES = 2**16
_KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""A machine that vanished without closing its connection is noticed after 11 s."""


def listening(address: str) -> socket.socket:
    """A socket that listens on a free port of this machine, at ``address`` alone where that is its own.

    Raises OSError.
    """
    family, kind, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind)
    try:
        made.bind(place)
    except OSError:  # others reach this machine by an address that it does not have itself
        made.bind(("", 0))
    made.listen()
    return made


class Line:
    """A further machine's end of the connection. Raises OSError where the first machine cannot be reached."""

    def __init__(self, span: Span) -> None:
        self.socket = socket.create_connection((span.address, span.line), _CONNECT_SECONDS)
        self.socket.settimeout(None)
        keep_alive(self.socket)
        self._file = self.socket.makefile("rwb")
        write(self._file, {"part": span.part, "key": span.key})

    def say(self, ending: Ending | None, wait_seconds: float) -> None:
        """Say how the part failed, None where it ended well, and wait until that is heard, or so long.

        Raises OSError.
        """
        write(self._file, {"ending": None if ending is None else asdict(ending)})
        self.socket.settimeout(wait_seconds)
        read(self._file)


def keep_alive(connection: socket.socket) -> None:
    """Have the system look whether the other end of a connection is still there."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        for name, value in _KEEP_ALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def read(file: BufferedIOBase) -> Mapping[str, Any] | None:
    """The next thing that is said; None where nothing more comes, or what comes makes no sense."""
    try:
        said = json.loads(file.readline(_MOST_BYTES))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def write(file: BufferedIOBase, said: Mapping[str, Any]) -> None:
    """Say something. Raises OSError."""
    file.write(json.dumps(said).encode() + b"\n")
    file.flush()


def ending_in(said: Mapping[str, Any]) -> Ending | None:
    """The ending of a part, as it was said."""
    ending = said.get("ending")
    return None if ending is None else Ending(TrialState(ending["state"]), ending["reason"], ending["message"])
