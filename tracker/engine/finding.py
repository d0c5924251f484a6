"""What hosts have of a study whose coordinator is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from tracker.engine.contact import Contact
from tracker.engine.fleet import Answer, Fleet, HostLostError
from tracker.engine.messages import Found

FIND_SECONDS = 10.0
"""How long a host has to say what it has."""


def find(fleet: Fleet, contacts: Mapping[str, Contact], study: str) -> Iterator[tuple[Contact, Found]]:
    """The attempts of a study, from every machine that answers in time."""
    asked = {fleet.ask(node_id, "found", study): contact for node_id, contact in contacts.items()}
    waiting: set[Answer] = set(asked)
    until = fleet.now() + FIND_SECONDS
    while waiting and (left := until - fleet.now()) > 0:
        for answer in fleet.wait(waiting, left):
            waiting.discard(answer)
            with contextlib.suppress(HostLostError, ConnectionError):
                for found in fleet.take(answer):
                    yield asked[answer], found
