"""A Ray cluster as a fleet. Only this file and ``connection`` import Ray.

Ray decides nothing here. It knows the nodes, keeps one detached actor on each, found again by its name, and carries
questions and answers. Its interfaces for nodes, tokens and draining are not stable: pyproject names the versions.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tracker.engine.cluster.fleet import Answer, HostLostError
from tracker.engine.node import Needs, Node
from tracker.engine.ray.guards import in_a_line, refuses, silent_standard_error
from tracker.engine.ray.host import host_actor
from tracker.engine.ray.words import node_of, request_for
from tracker.errors import ClusterError, RequestError

try:
    import ray
    from ray import exceptions
    from ray._raylet import GcsClient
    from ray.autoscaler.sdk import request_resources
    from ray.core.generated.gcs_pb2 import GcsNodeInfo
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from tracker.engine.ray.connection import connect
except ImportError as error:
    raise RequestError(f"Ray is needed: pip install 'cost-quality-tracker[ray]' ({error})") from error

NAMESPACE = "cost-quality-tracker"
_HEAD_SECONDS = 5
_LOOK_SECONDS = 15
_QUESTIONS_AT_ONCE = 64
_GONE = (
    exceptions.ActorDiedError,
    exceptions.ActorUnschedulableError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
)
_FULL = (exceptions.ObjectStoreFullError, exceptions.OutOfDiskError)
_ENDED = (
    exceptions.RaySystemError,
    exceptions.RpcError,
    exceptions.LocalRayletDiedError,
    exceptions.GetTimeoutError,
    ConnectionError,
)

_Seen = tuple[str, str, dict[str, float], dict[str, str], int | None]
"""Of a node: its id, address, resources and labels, and when it goes, in ms since 1970, if that was said."""


@dataclass(frozen=True, eq=False, slots=True)
class _Asked:
    """An answer that is awaited, and of whom."""

    reference: Any
    node_id: str
    actor: Any


class RayFleet:
    """The nodes of a running Ray cluster; a process has one at a time.

    ``address``: ``auto``, ``host:port`` of the head where this machine is a node of it, or ``ray://host[:port]`` from
    outside. ``make_host``: what each node's host is made with, as ``module:name``, called there without arguments.
    ``allow_open``: use a cluster that asks nobody for a token.

    Raises RequestError for a malformed address and an open cluster; ClusterError where there is no cluster, where it
    runs another version of Ray or Python, and where it does not accept this user's token.
    """

    def __init__(self, address: str, make_host: str, *, allow_open: bool = False, namespace: str = NAMESPACE) -> None:
        self._make_host = make_host
        self._namespace = namespace
        self._actors: dict[str, Any] = {}
        self._gone: set[str] = set()
        self._requested: Any = ([], [])
        with silent_standard_error():
            from_outside = connect(address, namespace, allow_open)
        self._cluster: _Inside | _FromOutside = _FromOutside() if from_outside else _Inside()

    def now(self) -> float:
        """Seconds of a clock that never jumps."""
        return time.monotonic()

    def nodes(self) -> Sequence[Node]:
        """The machines that are alive as far as Ray knows. Raises ClusterError where its head does not answer."""
        with _while_connected():
            return [node for each in self._cluster.look() if (node := node_of(*each)).node_id not in self._gone]

    def ask(self, node_id: str, method: str, *arguments: Any) -> Answer:
        """Call a method of a node's host, which is made with the first question; this does not wait.

        Raises ClusterError where the connection has ended.
        """
        with _while_connected():
            actor = self._actors.get(node_id) or self._find_or_make(node_id)
            return cast(Answer, _Asked(actor.call.remote(method, *arguments), node_id, actor))

    def wait(self, answers: Collection[Answer], timeout_seconds: float) -> set[Answer]:
        """Wait until one of these is there, or so long; those that are there, or will never be.

        Raises ClusterError where the connection has ended.
        """
        awaited = {cast(_Asked, answer).reference: answer for answer in answers}
        if not awaited:
            time.sleep(timeout_seconds)
            return set()
        with _while_connected():
            there, _ = ray.wait(list(awaited), num_returns=1, timeout=timeout_seconds)
            if there and len(awaited) > 1:
                there, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
            return {awaited[reference] for reference in there}

    def take(self, answer: Answer) -> Any:
        """What was answered, which ``wait`` returned.

        Raises HostLostError where the host is gone; ConnectionError where question or answer was lost on the way, and
        the host may live and have heard it; ClusterError where a node has no room for answers or cannot make a host,
        and where the connection has ended; and what the method raised.
        """
        asked = cast(_Asked, answer)
        try:
            with _while_connected():
                return ray.get(asked.reference)
        except exceptions.RayError as error:
            raise self._failure(asked, error) from error

    def want(self, needs: Sequence[Needs]) -> None:
        """Say what would be started if there were room, all of it: Ray's autoscaler adds nodes for it.

        A cluster has one such request: it stays until the next, also after this process has ended.
        """
        request = request_for(self.nodes() if needs else [], needs)
        if request != self._requested:
            with _while_connected():
                self._cluster.request(*request)
            self._requested = request

    def close(self) -> None:
        """Withdraw what is wanted, and leave the cluster; hosts stay."""
        with contextlib.suppress(ClusterError):
            self.want([])
        ray.shutdown()

    def _find_or_make(self, node_id: str) -> Any:
        pinned = NodeAffinitySchedulingStrategy(node_id, soft=False)
        actor = ray.remote(host_actor()).options(
            name=f"{self._make_host}@{node_id}",
            namespace=self._namespace,
            get_if_exists=True,
            lifetime="detached",
            scheduling_strategy=pinned,
            num_cpus=0,
            max_concurrency=_QUESTIONS_AT_ONCE,
        )
        self._actors[node_id] = actor.remote(self._make_host)
        return self._actors[node_id]

    def _failure(self, asked: _Asked, error: Exception) -> Exception:
        """What ``take`` raises for what Ray raises."""
        host = f"the host on node '{asked.node_id}'"
        if isinstance(error, exceptions.RayTaskError):
            error = error.cause or error
        if isinstance(error, ImportError) and error.name == self._make_host:
            return ClusterError(f"{host} cannot be made: {error}; install the same there as here")
        if isinstance(error, _FULL):
            return ClusterError(f"{host} has no room for its answers: its disk or its object store is full")
        if isinstance(error, exceptions.ActorUnavailableError):
            with _while_connected():
                if not self._cluster.is_gone(asked.node_id):
                    return ConnectionError(f"{host} cannot be reached now")
            self._gone.add(asked.node_id)
        elif not isinstance(error, _GONE):
            return error
        if self._actors.get(asked.node_id) is asked.actor:  # not one that was made since
            del self._actors[asked.node_id]
        return HostLostError(f"{host} is gone")


class _Inside:
    """The cluster as a process on one of its nodes sees it, by its head's own records."""

    def __init__(self) -> None:
        self._head = GcsClient(address=ray.get_runtime_context().gcs_address)

    def look(self) -> list[_Seen]:
        """What the head knows of each living node."""
        alive = GcsNodeInfo.GcsNodeState.ALIVE
        nodes = self._head.get_all_node_info(timeout=_HEAD_SECONDS, state_filter=alive)
        going = self._head.get_draining_nodes(timeout=_HEAD_SECONDS)
        return [
            (
                node_id.hex(),
                str(node.node_manager_address),
                dict(node.resources_total),
                dict(node.labels),
                going.get(node_id.hex()),
            )
            for node_id, node in nodes.items()
        ]

    def is_gone(self, node_id: str) -> bool:
        """Whether a node has ended for sure: its port refuses connections, long before the head notices."""
        nodes = self._head.get_all_node_info(timeout=_HEAD_SECONDS, state_filter=GcsNodeInfo.GcsNodeState.ALIVE)
        for each, node in nodes.items():
            if each.hex() == node_id:
                return refuses(str(node.node_manager_address), int(node.node_manager_port))
        return True

    def request(self, bundles: list[dict[str, float]], selectors: list[dict[str, str]]) -> None:
        """Ask the autoscaler for so much in all."""
        request_resources(bundles=bundles, bundle_label_selectors=selectors)


class _FromOutside:
    """The same through Ray's client, which knows less: an actor on the head looks."""

    def __init__(self) -> None:
        on_the_head = {"node:__internal_head__": 0.001}
        self._inside = ray.remote(_Inside).options(num_cpus=0, resources=on_the_head).remote()

    def look(self) -> list[_Seen]:
        """What ``_Inside`` sees."""
        return cast(list[_Seen], ray.get(self._inside.look.remote(), timeout=_LOOK_SECONDS))

    def is_gone(self, node_id: str) -> bool:
        """What ``_Inside`` finds."""
        return bool(ray.get(self._inside.is_gone.remote(node_id), timeout=_LOOK_SECONDS))

    def request(self, bundles: list[dict[str, float]], selectors: list[dict[str, str]]) -> None:
        """What ``_Inside`` asks for."""
        ray.get(self._inside.request.remote(bundles, selectors), timeout=_LOOK_SECONDS)


@contextlib.contextmanager
def _while_connected() -> Iterator[None]:
    """Raises ClusterError for what Ray raises where the connection has ended."""
    try:
        yield
    except exceptions.RayTaskError:
        raise
    except Exception as error:
        if isinstance(error, _ENDED) or type(error) is Exception:  # the latter is what Ray's client raises
            raise ClusterError(f"the Ray cluster does not answer any more: {in_a_line(error)}") from error
        raise
