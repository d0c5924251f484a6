"""The errands of an attempt's life: a state to the machine that resumes its trial, and the attempt's files back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

from tracker.engine.cluster.attempt import ClusterAttempt
from tracker.engine.cluster.contact import Contact, Late
from tracker.engine.cluster.distant import DistantState, StateAwayError, discard_elsewhere, noted
from tracker.engine.cluster.errands import Errand, Question
from tracker.engine.cluster.fleet import HostLostError
from tracker.engine.cluster.messages import What
from tracker.engine.cluster.parcels import STATE_NAMES, Arriving, listed, piece
from tracker.errors import WorkFailedError
from tracker.training.ending import NODE_REFUSED, STATE_AWAY, ending_of
from tracker.training.state import FILE_NAME

MERGED = ("artifacts",)
"""The folder of what trainings keep, to which each attempt at a trial adds."""
REFUSED_SECONDS = 60.0
"""How long nothing is asked of a machine that could not take an attempt."""
COPY_SHARE = 0.1
"""The share of the time in which the state of an attempt that trains may be on its way."""


class Shipping:
    """``now`` is the fleet's clock, in seconds; ``done`` is called with an attempt of which nothing more comes.

    States go to a folder of their own below the URL ``states``, where there is one: else to the coordinator's disk.
    """

    def __init__(
        self, now: Callable[[], float], done: Callable[[Contact, ClusterAttempt], None], states: str = ""
    ) -> None:
        self._now = now
        self._done = done
        self._states = states.rstrip("/")

    def begin(self, contact: Contact, attempt: ClusterAttempt, head: bytes) -> Errand:
        """Start an attempt where its trial's state is: it is sent where the machine has not the same."""
        began = self._now()
        try:
            resumes = yield from send_state(attempt)
            yield "start", attempt.key, attempt.request, head, attempt.reservation.token, resumes
        except (WorkFailedError, OSError) as error:
            if isinstance(error, StateAwayError):
                attempt.give_up(STATE_AWAY, str(error))
            else:
                contact.full_until = self._now() + REFUSED_SECONDS
                attempt.give_up(NODE_REFUSED, str(error))
            contact.late[attempt.key] = Late.of(attempt)
            with contextlib.suppress(HostLostError):
                yield "fence", attempt.key
            self._done(contact, attempt)
        else:
            if resumes:
                contact.time.copying_seconds += attempt.share * (self._now() - began)
            early, attempt.early = attempt.early or (), None
            for wish, reason in early:
                yield "signal", attempt.key, wish, reason

    def end(self, contact: Contact, attempt: ClusterAttempt) -> Errand:
        """Bring everything that an attempt left."""
        began, for_good = self._now(), ending_of(attempt.record).for_good
        try:
            name = f"{attempt.key.attempt}-end"
            kept = bool(self._states) and not for_good and (yield from self._keep(attempt, name, "whole_state"))
            yield from _bring(attempt, name, "rest" if kept else "all", lambda: True)
            contact.time.copying_seconds += attempt.share * (self._now() - began)
            yield "release", attempt.key, not for_good
        except (HostLostError, WorkFailedError, OSError) as error:
            said = f"the files of {attempt.request.label} could not be brought from {contact.node.address}"
            attempt.note(f"{said}: {error or 'it is lost'}")
        else:
            if not for_good:
                contact.states.add(attempt.key.folder)
        self._done(contact, attempt)

    def copy_state(self, attempt: ClusterAttempt) -> Errand:
        """Bring the state of an attempt that trains on."""
        began, epoch = self._now(), attempt.record.saved_epoch or 0
        with contextlib.suppress(WorkFailedError, OSError):  # the older copy is kept
            name = f"{attempt.key.attempt}-{epoch}"
            if not (self._states and (yield from self._keep(attempt, name, "state"))):
                yield from _bring(attempt, name, "state", lambda: not attempt.closed)
            attempt.kept_epoch = max(epoch, attempt.kept_epoch)
        attempt.copy_again_at = self._now() + (self._now() - began) * (1 / COPY_SHARE - 1)

    def _keep(self, attempt: ClusterAttempt, name: str, what: What) -> Generator[Question, Any, bool]:
        """Have an attempt's state written to the store elsewhere; False where that does not take it."""
        key, folder = attempt.key, attempt.request.folder
        url = f"{self._states}/{key.study}/{key.folder}/{name}"
        try:
            files = yield "keep", key, f"{name}-state", what, url
        except WorkFailedError as error:
            attempt.note(f"the state of {attempt.request.label} goes to the coordinator's disk: {error}")
            return False
        state = DistantState(url, files)
        if what == "state" and attempt.closed:  # a newer one is on its way
            state.remove()
        elif files:
            state.note(folder)
        return bool(files)


def send_state(attempt: ClusterAttempt) -> Generator[Question, Any, bool]:
    """Send what an attempt resumes from to a machine of it; whether there is any.

    Raises TornError, WorkFailedError, OSError.
    """
    key, folder = attempt.key, attempt.request.folder
    if (distant := noted(folder)) is not None:
        if (yield "prepare", key) != distant.files:
            yield "fetch", key, distant.url, distant.files
        return True
    state = listed(folder, STATE_NAMES)
    if state and (yield "prepare", key) != state:
        for file in state:
            for offset in file.offsets:
                yield "arrive", key, file.path, offset, piece(folder, file.path, offset)
        yield "arrived", key, state
    return bool(state)


def _bring(
    attempt: ClusterAttempt, name: str, what: What, wanted: Callable[[], bool]
) -> Generator[Question, Any, None]:
    """Bring an attempt's files, unless they are not ``wanted`` any more once they are here.

    Raises TornError where they did not arrive as they left, OSError where the disk does not take them.
    """
    files = yield "leave", attempt.key, name, what
    if not files:
        return
    arriving = Arriving(attempt.request.folder, name)
    try:
        for file in files:
            for offset in file.offsets:
                arriving.write(file.path, offset, (yield "piece", attempt.key, name, file.path, offset))
        if wanted():
            arriving.finish(files, merged=MERGED)
            if any(file.path == FILE_NAME for file in files):
                discard_elsewhere(attempt.request.folder)
    finally:
        arriving.forget()
