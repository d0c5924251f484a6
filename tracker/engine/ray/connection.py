"""Connecting this process to a Ray cluster, once it is clear that it will go well.

Ray itself tries for minutes where nothing answers, and then ends the process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import ray
from ray import exceptions
from ray._common.usage import usage_lib
from ray._private import worker
from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import compute_version_info
from ray._raylet import AuthenticationTokenLoader, Config, GcsClient

from tracker.engine.ray.guards import in_a_line, reach
from tracker.engine.ray.words import differ, versions_in
from tracker.errors import ClusterError, RequestError

_REACH_SECONDS = 3
_ANSWER_SECONDS = 5
_ENDED_BY_RAY_SECONDS = "604800"  # Ray ends a process that has not reached the head for so long, by default 60 s
_CLIENT = "ray://"
_CLIENT_PORT = 10001
_CLIENT_TRIES = 3  # the head's server for clients sometimes dies while it starts: ray-project/ray#63202
_TOKEN = "a token in ~/.ray/auth_token, or in the file that RAY_AUTH_TOKEN_PATH names"


def connect(address: str, namespace: str, allow_open: bool) -> bool:
    """Connect this process; whether it is outside of the cluster, and Ray's client carries everything.

    Raises RequestError for a malformed address and an open cluster, ClusterError where there is none to be used.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    from_outside = address.startswith(_CLIENT)
    place = address.removeprefix(_CLIENT) if from_outside else _head_of(address)
    place = reach(place, _CLIENT_PORT if from_outside else None, address)
    accepts = _client_accepts if from_outside else _head_accepts
    with _settings(AUTH_MODE="disabled"):
        is_open = accepts(place)
    if is_open and not allow_open:
        raise RequestError(
            f"the Ray cluster at '{address}' is open: whoever reaches it runs code there. "
            "Start it with RAY_AUTH_MODE=token, or give --allow-open-cluster where nobody else reaches it"
        )
    if not is_open:
        with _settings(AUTH_MODE="token"):
            if not _has_token():
                raise ClusterError(f"the Ray cluster at '{address}' asks for {_TOKEN}, and there is none")
            if not accepts(place):
                raise ClusterError(f"the Ray cluster at '{address}' asks for another token; it needs {_TOKEN}")
        os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", _ENDED_BY_RAY_SECONDS)
    Config.initialize("")
    for tries_left in reversed(range(_CLIENT_TRIES if from_outside else 1)):
        try:
            _initialise(address, namespace)
            break
        except Exception as error:
            if (versions := versions_in(error)) is not None:
                raise ClusterError(differ(address, *versions)) from error
            if not tries_left:
                raise ClusterError(f"the Ray cluster at '{address}' cannot be used: {in_a_line(error)}") from error
    return from_outside


def _initialise(address: str, namespace: str) -> None:
    ended_by = signal.getsignal(signal.SIGTERM)
    worker.print_to_stdstream = _print_nothing
    logging.getLogger("ray.util.client.logsclient").disabled = True  # it has a level of its own
    try:
        ray.init(address, namespace=namespace, log_to_driver=False, logging_level=logging.CRITICAL)
    finally:
        if threading.current_thread() is threading.main_thread() and ended_by is not None:
            signal.signal(signal.SIGTERM, ended_by)  # Ray's own ends the process, whatever it is doing


def _print_nothing(*_: Any, **__: Any) -> None:
    """Ray prints every worker and node that it loses on standard output, whatever ``log_to_driver`` is."""


def _has_token() -> bool:
    tokens = AuthenticationTokenLoader.instance()
    tokens.reset_cache()
    try:
        return bool(tokens.has_token())
    except exceptions.AuthenticationError:  # a file that cannot be read, or is empty
        return False


def _head_of(address: str) -> str:
    try:
        place = canonicalize_bootstrap_address(address)
    except ConnectionError as error:
        raise ClusterError("no Ray cluster runs on this machine: `ray start` makes it a node of one") from error
    except (ValueError, OSError) as error:
        raise RequestError(f"'{address}' is no address of a Ray cluster: auto, host:port, ray://host:port") from error
    if place is None:
        raise RequestError(f"'{address}' is no address of a Ray cluster: auto, host:port, ray://host:port")
    return str(place)


def _head_accepts(place: str) -> bool:
    """Whether a head answers, with the token that is set. Raises ClusterError for none, or another version."""
    try:
        there = usage_lib.get_cluster_metadata(GcsClient(address=place)) or {}
    except exceptions.AuthenticationError:
        return False
    except exceptions.RpcError as error:
        raise ClusterError(f"what answers at '{place}' is not the head of a Ray cluster") from error
    ray_here, python_here, *_ = compute_version_info()
    versions = there.get("ray_version", ray_here), there.get("python_version", python_here)
    if versions != (ray_here, python_here):
        raise ClusterError(differ(place, versions, (ray_here, python_here)))
    return True


def _client_accepts(place: str) -> bool:
    """The same of the server for Ray's clients; it compares versions itself, later."""
    try:
        import grpc
        from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc
    except ImportError as error:
        raise RequestError("ray:// needs grpcio on both sides: pip install grpcio") from error
    question = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
    token = list(get_auth_headers_if_auth_enabled({}).items())
    with grpc.insecure_channel(place) as channel:
        try:
            server = ray_client_pb2_grpc.RayletDriverStub(channel)
            server.ClusterInfo(question, timeout=_ANSWER_SECONDS, metadata=token)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise ClusterError(f"what answers at '{place}' is not a Ray cluster's server for clients") from error
    return True


@contextlib.contextmanager
def _settings(**settings: Any) -> Iterator[None]:
    """Ray's own settings for a while, with short ones for a head that does not answer."""
    seconds = {"gcs_rpc_server_connect_timeout_s": _REACH_SECONDS, "py_gcs_connect_timeout_s": _REACH_SECONDS}
    Config.initialize(json.dumps({**seconds, **settings}))
    try:
        yield
    finally:
        Config.initialize("")
