"""How the time of every machine divides that a study has had, kept in its folder across coordinators."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tracker.engine.cluster.node_time import NodeTime, kept_and_lost_seconds
from tracker.engine.node import Node
from tracker.errors import PriceBookError, StoreError
from tracker.pricing.price_point import PricePoint, price_point_from_row
from tracker.records import AttemptRecord
from tracker.study import formats

FILE_NAME = "nodes.json"
_SECONDS = ("total", "provisioning", "trained", "lost", "late", "copying")
_OF_NODE = [field.name for field in fields(Node) if field.name != "draining_seconds"]
Rate = Callable[[Node], PricePoint | None]
"""What a whole machine is billed as; None where nobody knows."""


class NodeTimes:
    """The machines that a study has met, those that are gone among them, in ``folder``; None to keep them in memory."""

    def __init__(self, rate: Rate, folder: Path | None = None) -> None:
        self._rate = rate
        self._path = folder / FILE_NAME if folder else None
        self._times = {time.node.node_id: time for time in read_node_times(folder)} if folder else {}
        self._fixed: dict[str, Mapping[str, Any]] = {}
        self._left_at = {node_id: time.clock for node_id, time in self._times.items()}
        for time in self:
            time.clock = None

    def __iter__(self) -> Iterator[NodeTime]:
        return iter(self._times.values())

    def of(self, node: Node) -> NodeTime:
        """That of a machine, a new one where the study has not met it."""
        if node.node_id not in self._times:
            self._times[node.node_id] = NodeTime(node, self._rate(node))
        return self._times[node.node_id]

    def resume(self, node: Node) -> None:
        """The study's attempts ran on there since its last coordinator saved these: that time counts."""
        self.of(node).clock = self._left_at.get(node.node_id)

    def recount(self, attempts: Iterable[tuple[Mapping[str, Any], AttemptRecord]]) -> None:
        """Count again what attempts took: ``attempts`` are all that have ended, each with its first event."""
        trained = attempts_seconds(attempts, {time.node.node_id: time.node for time in self})
        for time in self:
            time.trained_seconds, time.lost_seconds = trained.get(time.node.node_id, (0.0, 0.0))

    def save(self) -> None:
        """Keep them. A disk that takes no more costs what it could not take."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                formats.NODES.write(self._path, {"nodes": [self._row(time) for time in list(self)]})

    def _row(self, time: NodeTime) -> dict[str, Any]:
        node_id = time.node.node_id
        if node_id not in self._fixed:
            self._fixed[node_id] = _fixed(time)
        changing = {f"{name}_seconds": getattr(time, f"{name}_seconds") for name in _SECONDS}
        return {**self._fixed[node_id], **changing, "clock": time.clock}


def recount(folder: Path, ended: Iterable[tuple[Mapping[str, Any], AttemptRecord]]) -> None:
    """As NodeTimes.recount, and keep it. Raises StoreError."""
    times = NodeTimes(lambda _: None, folder)
    if list(times):
        times.recount(ended)
        times.save()


def attempts_seconds(
    attempts: Iterable[tuple[Mapping[str, Any], AttemptRecord]], nodes: Mapping[str, Node]
) -> dict[str, tuple[float, float]]:
    """The seconds of whole machines that attempts were billed for, by node: kept, and lost with their machine.

    ``attempts`` are those that have ended, each with its first event; those on machines beside ``nodes`` do not count.
    """
    sums: dict[str, tuple[float, float]] = {}
    for asked, record in attempts:
        parts = nodes_of(asked)
        for node in (nodes[each] for each in parts if each in nodes):
            share = node.share(len(asked["cores"]) // len(parts), len(asked["accelerators"]) // len(parts))
            kept, lost = kept_and_lost_seconds(record)
            before = sums.get(node.node_id, (0.0, 0.0))
            sums[node.node_id] = before[0] + kept * share, before[1] + lost * share
    return sums


def nodes_of(asked: Mapping[str, Any]) -> Sequence[str]:
    """The machines of an attempt, by its first event, each with as much of it; none for the coordinator's own."""
    alone = asked.get("node", "")
    several: Sequence[str] = asked.get("nodes", [alone] if alone else [])
    return several


def read_node_times(folder: Path) -> list[NodeTime]:
    """The machines that a study has had; none where it ran on one machine, or nothing was kept.

    Raises StoreError where the file cannot be read or is of a newer format.
    """
    path = folder / FILE_NAME
    try:
        return [_time(row) for row in formats.NODES.read(path)["nodes"]]
    except FileNotFoundError:
        return []
    except (KeyError, TypeError, ValueError, AttributeError, PriceBookError) as error:
        raise StoreError(f"machines of a study '{path}' cannot be read: {error!r}") from None


def _fixed(time: NodeTime) -> dict[str, Any]:
    """What never changes of a machine's row."""
    return {
        **{name: getattr(time.node, name) for name in _OF_NODE},
        "labels": dict(time.node.labels),
        "price_point": time.point.row if time.point else None,
    }


def _time(row: Mapping[str, Any]) -> NodeTime:
    point = row["price_point"]
    return NodeTime(
        Node(**{name: row[name] for name in _OF_NODE}),
        price_point_from_row(point, row["node_id"]) if point else None,
        **{f"{name}_seconds": float(row[f"{name}_seconds"]) for name in _SECONDS},
        clock=None if row["clock"] is None else float(row["clock"]),
    )
