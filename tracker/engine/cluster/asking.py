"""One question to many hosts at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tracker.engine.cluster.fleet import Answer, Fleet, HostLostError


def ask_all(fleet: Fleet, node_ids: Iterable[str], seconds: float, *question: Any) -> Iterator[tuple[str, Any]]:
    """The answers of hosts to a question, a method and its arguments, each with its machine's id, as they come.

    HostLostError or ConnectionError stands for the answer of a host that gives none; one that has said nothing after so
    many seconds is left out. Raises what the method raised.
    """
    asked = {fleet.ask(node_id, *question): node_id for node_id in node_ids}
    waiting: set[Answer] = set(asked)
    until = fleet.now() + seconds
    while waiting and (left := until - fleet.now()) > 0:
        for answer in fleet.wait(waiting, left):
            waiting.discard(answer)
            try:
                said = fleet.take(answer)
            except (HostLostError, ConnectionError) as error:
                said = error
            yield asked[answer], said
