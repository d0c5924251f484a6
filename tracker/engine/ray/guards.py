"""What is checked before Ray is given an address, and what is kept from the user's terminal. It imports no Ray."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import ClusterError, RequestError

_REACH_SECONDS = 3.0
_SHOWN = 200


def reach(place: str, default_port: int | None, address: str) -> str:
    """``host:port`` of a place that accepts connections.

    Raises RequestError where ``place`` is not one, and ClusterError, which names ``address``, where nothing answers.
    """
    host, separator, port = place.rpartition(":")
    if not separator and default_port is not None:
        host, port = place, str(default_port)
    if not host or not port.isdecimal():
        raise RequestError(f"'{address}' is no address of a Ray cluster: auto, host:port, ray://host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClusterError(f"no Ray cluster at '{address}': {reason}") from error
    return f"{host}:{port}"


def refuses(host: str, port: int) -> bool:
    """Whether a machine is there and nothing listens at this port of it; a machine that is silent may live."""
    try:
        socket.create_connection((host, port), timeout=_REACH_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def in_a_line(error: BaseException) -> str:
    """What an error says, in one line that is not endless."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@contextlib.contextmanager
def silent_standard_error() -> Iterator[None]:
    """Nothing is written to standard error meanwhile, not by C++ either: a message of ours says what was wrong."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
