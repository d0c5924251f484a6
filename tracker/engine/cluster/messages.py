"""What a coordinator and the host of a machine say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tracker.records import AttemptRecord
from tracker.training.request import AttemptRequest

Wish = Literal["stop", "pause", "pause_at_save", "kill"]
"""What may be done to an attempt: ask it to stop, to pause at once or at its next save; or kill it."""


What = Literal["all", "state", "whole_state", "rest"]
"""What of an attempt's files: its own state, which is whole while it trains; that and a command's; the rest; or all."""


class Key(NamedTuple):
    """An attempt, to hosts: ``study`` is unlike that of any other coordinator, ``folder`` the name of its trial's."""

    study: str
    folder: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of an attempt's event log, from the byte ``offset`` on."""

    offset: int
    text: bytes


@dataclass(frozen=True, slots=True)
class News:
    """What a host has to say: new lines, how long each attempt has run, and how those ended that have.

    ``clock`` is a reading of the machine's own clock, in seconds; it is never set. ``wall_seconds`` are since the
    attempt came to the machine. An attempt has ended here once all its lines were given. ``assisting`` are the attempts
    whose worker is on another machine, and of which a part runs on this one.
    """

    clock: float
    lines: dict[Key, Lines] = field(default_factory=dict)
    wall_seconds: dict[Key, float] = field(default_factory=dict)
    ended: dict[Key, AttemptRecord] = field(default_factory=dict)
    assisting: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt that runs on a machine, on so many of its cores and GPUs, since ``wall_seconds``."""

    key: Key
    cores: int
    accelerators: int
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Found:
    """An attempt that a host has, whoever asked for it: ``request`` is as it was sent.

    ``log_bytes`` is the length of its log, None while that may grow; ``wall_seconds`` is how long it has run.
    """

    key: Key
    request: AttemptRequest
    log_bytes: int | None
    wall_seconds: float
