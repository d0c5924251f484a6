"""An attempt that a host runs for a coordinator on another machine, and what of its event log that one has."""

from __future__ import annotations

from tracker.engine.cluster.messages import Found, Key, Lines, What
from tracker.engine.cluster.parcels import STATE_NAMES, Leaving
from tracker.engine.local_attempt import LocalAttempt
from tracker.training.events import Event
from tracker.training.request import AttemptRequest
from tracker.training.state import FILE_NAME, discard_state

MOST_BYTES = 2**20
"""The most that is said of one log at once."""


class HostedAttempt:
    """``local`` as its coordinator, who sent ``request``, knows it."""

    def __init__(self, key: Key, request: AttemptRequest, local: LocalAttempt) -> None:
        self.key = key
        self.request = request
        self.local = local
        self.ended = self.orphaned = False
        self._loud_bytes = 0
        self._leaving: dict[str, Leaving] = {}
        local.on_event = self._hear

    def _hear(self, event: Event) -> None:
        """What is more than a heartbeat is said at once."""
        if event["event"] != "heartbeat":
            self._loud_bytes = self.local.read_bytes

    @property
    def wall_seconds(self) -> float:
        """How long it has run, or ran, by this machine's clock."""
        return self.local.record.usage.wall_seconds if self.ended else self.local.wall_seconds

    @property
    def found(self) -> Found:
        """What a coordinator that is new hears of it."""
        return Found(self.key, self.request, self.local.read_bytes if self.ended else None, self.wall_seconds)

    def has_news(self, offset: int | None) -> bool:
        """Whether there is something to say at once to who knows its log until ``offset``, None to the very end."""
        return offset is not None and (self.ended or self._loud_bytes > offset)

    def lines(self, offset: int) -> Lines:
        """The whole lines from ``offset`` on, as far as they fit, or one; none where the disk gives none."""
        try:
            with self.local.request.log_path.open("rb") as file:
                file.seek(offset)
                text = file.read(MOST_BYTES)
                if b"\n" not in text:
                    text += file.readline()
        except OSError:
            text = b""
        return Lines(offset, text[: text.rfind(b"\n") + 1])

    def leave(self, name: str) -> Leaving:
        """What its coordinator gets of its files, under ``name``."""
        return self._leaving.setdefault(name, Leaving(self.local.request.folder, name))

    def names(self, what: What) -> tuple[str, ...]:
        """The names of the files and folders that its coordinator gets."""
        request = self.local.request
        rest = (request.artifacts.name, request.output_path.name)
        match what:
            case "state":
                return (FILE_NAME,)
            case "whole_state":
                return STATE_NAMES
            case "rest":
                return rest
        return (*STATE_NAMES, *rest)

    def forget(self, *, keep_state: bool) -> None:
        """Delete its files; of what the trial can be resumed from, only where it is not kept."""
        request = self.local.request
        for leaving in self._leaving.values():
            leaving.forget()
        request.log_path.unlink(missing_ok=True)
        request.output_path.unlink(missing_ok=True)
        if not keep_state:
            discard_state(request.folder)
