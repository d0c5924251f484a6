"""Real Ray clusters for tests: with a token, and one that is open."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from experiments.benchmarks import ray_cluster
from experiments.benchmarks.ray_cluster import free_port as free_port


class RayCluster(ray_cluster.RayCluster):
    """One whose nodes can be announced to go."""

    def drain(self, node_id: str, seconds: int) -> None:
        """Announce that a node goes after so long, as a spot market does; this process is connected to the cluster."""
        from ray._raylet import GcsClient
        from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

        deadline_ms = int((time.time() + seconds) * 1000)
        accepted, why_not = GcsClient(address=self.address).drain_node(
            node_id, DRAIN_NODE_REASON_PREEMPTION, "spot", deadline_ms
        )
        assert accepted, why_not


@contextlib.contextmanager
def ray_clusters() -> Iterator[tuple[RayCluster, RayCluster]]:
    """A cluster with a token, and one that is open, while the context is. Skips the test where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed: there is no cluster to test with")
    with ThreadPoolExecutor() as side_by_side, contextlib.ExitStack() as stack:
        starting = [side_by_side.submit(RayCluster, token=token) for token in (True, False)]
        for each in starting:
            each.add_done_callback(lambda done: done.exception() or stack.callback(done.result().stop))
        yield starting[0].result(), starting[1].result()
