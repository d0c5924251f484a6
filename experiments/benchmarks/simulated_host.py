"""A host whose trainings are simulated: it writes what real workers write, at the times of a clock that it is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from experiments.benchmarks.simulated_training import Training, file_of, state
from tracker.engine.cluster.messages import Found, Key, Lines, News, Running, What, Wish
from tracker.engine.cluster.parcels import PIECE_BYTES, File, TornError
from tracker.engine.reservations import Reservation
from tracker.errors import WorkFailedError
from tracker.records import PhaseSeconds, TrialState, Usage
from tracker.training.request import AttemptRequest

HEARTBEAT_SECONDS = 2.0
At = Callable[[float, Callable[[], None]], None]
"""Calls a function after so many seconds."""


class SimulatedHost:
    """``at`` calls a function after so many seconds of ``now``; its own clock is ``skew_seconds`` ahead of it.

    A training waits for none of its parts on other machines, and does not notice where one is gone.
    What trainings do is what the methods below ``course`` say; it has ``heartbeat_seconds``, and the clock's zero is at
    ``zero_time``, in seconds since 1970. ``speaks`` is called when it has something to say at once.
    """

    heartbeat_seconds = HEARTBEAT_SECONDS
    zero_time = 1.7e9

    def __init__(
        self,
        now: Callable[[], float],
        at: At,
        cores: int,
        skew_seconds: float = 0.0,
        epochs: int = 10,
        epoch_seconds: float = 5.0,
        speaks: Callable[[], None] = lambda: None,
    ) -> None:
        self._now, self._at, self._skew, self._speaks = now, at, skew_seconds, speaks
        self._epochs, self._epoch_seconds = epochs, epoch_seconds
        self._free = list(range(cores))
        self._seats: dict[str, Reservation] = {}
        self._last: dict[tuple[str, str], int] = {}
        self.alive = True
        self.trainings: dict[Key, Training] = {}
        self.ever: list[Training] = []
        self.assistants: dict[Key, Reservation] = {}
        self.states: dict[tuple[str, str], dict[str, bytes]] = {}
        self._arriving: dict[tuple[Key, str], bytes] = {}

    def course(self, request: AttemptRequest) -> tuple[int, float]:
        """How many epochs a training has, and the seconds of each."""
        del request
        return self._epochs, self._epoch_seconds

    def metrics(self, request: AttemptRequest, epoch: int) -> Mapping[str, float]:
        """What a training reports after an epoch."""
        del request
        return {"accuracy": epoch / 100}

    def state(self, epoch: int) -> bytes:
        """What a trial is resumed from after an epoch."""
        return state(epoch)

    def take(
        self, token: str, cores: int, accelerators: int, hold_seconds: float, memory_bytes: int = 0
    ) -> Reservation | None:
        """As Host.take."""
        del accelerators
        if token not in self._seats:
            if cores > len(self._free):
                return None
            self._seats[token] = Reservation(tuple(self._free.pop() for _ in range(cores)), memory_bytes=memory_bytes)
            self._at(hold_seconds, lambda: self.give_back(token))
        return self._seats[token]

    def give_back(self, token: str) -> None:
        """As Host.give_back."""
        if token in self._seats:
            self._free += self._seats.pop(token).cores

    def start(self, key: Key, request: AttemptRequest, head: bytes, token: str, resumes: bool) -> None:
        """As Host.start."""
        if key in self.trainings or key.attempt <= self._last.get((key.study, key.folder), 0):
            return
        if token not in self._seats:
            raise WorkFailedError("its cores were given to another: it came too late")
        content = self.states.setdefault((key.study, key.folder), {})
        if not resumes:
            content.clear()
        epoch = int(content["state.pt"].split(maxsplit=2)[1]) if content else 0
        seconds = self.course(request)[1]
        training = Training(key, request, self._seats.pop(token), self._now(), head, epoch, epoch or None, seconds)
        self.trainings[key] = training
        self.ever.append(training)
        self._write(training, "started", pid=1)
        if request.span is not None:
            self._write(training, "meeting", line=1, store=2)
        if epoch:
            self._write(training, "restored", epoch=epoch)
        self._write(training, "ready", startup_seconds=0.1)
        self._at(seconds, lambda: self._train(training))
        self._at(self.heartbeat_seconds, lambda: self._beat(training))

    def assist(self, key: Key, request: AttemptRequest, token: str, resumes: bool) -> None:
        """As Host.assist."""
        if key in self.assistants or key.attempt <= self._last.get((key.study, key.folder), 0):
            return
        if token not in self._seats:
            raise WorkFailedError("its cores were given to another: it came too late")
        if not resumes:
            self.states.pop((key.study, key.folder), None)
        assert request.span is not None and (request.span.line, request.span.store) == (1, 2)
        assert request.cores == self._seats[token].cores
        self.assistants[key] = self._seats.pop(token)

    def end_assistant(self, key: Key) -> None:
        """It ends, whatever it had to do."""
        if key in self.assistants:
            self._free += self.assistants.pop(key).cores
            self.states.pop((key.study, key.folder), None)

    def signal(self, key: Key, wish: Wish, reason: str) -> None:
        """As Host.signal."""
        training = self.trainings.get(key)
        if training is None or training.ended_at is not None:
            return
        if wish == "pause_at_save":
            training.pausing = True
        elif wish == "kill":
            self._end(training, TrialState.KILLED, reason or "killed", "the process was killed by SIGKILL")
        else:
            self._write(training, "stop_asked", reason=reason)
            pauses = wish == "pause" and training.saved is not None
            self._end(training, TrialState.PAUSED if pauses else TrialState.STOPPED, reason, "before its last epoch")

    def fence(self, key: Key) -> None:
        """As Host.fence."""
        trial = key.study, key.folder
        self._last[trial] = max(key.attempt, self._last.get(trial, 0))
        self.signal(key, "kill", "")
        self.end_assistant(key)

    def has_news(self, study: str, known: Mapping[Key, int | None]) -> bool:
        """Whether there is something to say at once to who knows so much."""
        offsets = ((each, known.get(each.key, 0)) for each in self.trainings.values() if each.key.study == study)
        return any(
            offset is not None and (each.ended_at is not None or each.known_at > offset) for each, offset in offsets
        )

    def news(self, study: str, known: Mapping[Key, int | None]) -> News:
        """What Host.news says once it is time to say something."""
        news = News(self._now() + self._skew, assisting=tuple(key for key in self.assistants if key.study == study))
        for key, each in self.trainings.items():
            offset = known.get(key, 0)
            if key.study != study or offset is None:
                continue
            if each.log[offset:]:
                news.lines[key] = Lines(offset, each.log[offset:])
            news.wall_seconds[key] = self.seconds(each)
            if each.ended_at is not None:
                news.ended[key] = each.record
        return news

    def found(self, study: str) -> tuple[Found, ...]:
        """As Host.found."""
        mine = [each for each in self.trainings.values() if each.key.study == study]
        return tuple(
            Found(each.key, each.request, None if each.ended_at is None else len(each.log), self.seconds(each))
            for each in mine
        )

    def running(self) -> tuple[Running, ...]:
        """As Host.running."""
        alive = [each for each in self.trainings.values() if each.ended_at is None]
        return tuple(Running(each.key, len(each.reservation.cores), 0, self.seconds(each)) for each in alive)

    def prepare(self, key: Key) -> tuple[File, ...]:
        """As Host.prepare."""
        for each in list(self.trainings.values()):
            if each.key.folder == key.folder and each.key != key:
                self.signal(each.key, "kill", "")
        for other in list(self.assistants):
            if other.folder == key.folder and other != key:
                self.end_assistant(other)
        return tuple(file_of(path, content) for path, content in self.states.get((key.study, key.folder), {}).items())

    def arrive(self, key: Key, path: str, offset: int, data: bytes) -> None:
        """As Host.arrive."""
        self._arriving[key, path] = self._arriving.get((key, path), b"")[:offset] + data

    def arrived(self, key: Key, files: Sequence[File]) -> None:
        """As Host.arrived."""
        if self.prepare(key) == tuple(files):
            return
        content = {file.path: self._arriving.pop((key, file.path), b"") for file in files}
        if any(file_of(file.path, content[file.path]) != file for file in files):
            raise TornError("it did not arrive as it left")
        self.states[key.study, key.folder] = content

    def leave(self, key: Key, name: str, what: What) -> tuple[File, ...]:
        """As Host.leave."""
        del what
        training = self._known(key)
        training.kept[name] = dict(self.states.get((key.study, key.folder), {}))
        return tuple(file_of(path, content) for path, content in training.kept[name].items())

    def piece(self, key: Key, name: str, path: str, offset: int) -> bytes:
        """As Host.piece."""
        return self._known(key).kept[name][path][offset : offset + PIECE_BYTES]

    def _known(self, key: Key) -> Training:
        if key not in self.trainings:
            raise WorkFailedError("it is not here any more")
        return self.trainings[key]

    def release(self, key: Key, keep_state: bool) -> None:
        """As Host.release."""
        self.fence(key)
        if (training := self.trainings.get(key)) is not None and training.ended_at is not None:
            del self.trainings[key]
            training.kept.clear()
            if not keep_state:
                self.states.pop((key.study, key.folder), None)

    @property
    def free_cores(self) -> int:
        """How many cores nobody has."""
        return len(self._free)

    def seconds(self, training: Training) -> float:
        """How long an attempt has really run."""
        return (self._now() if training.ended_at is None else training.ended_at) - training.began

    def die(self) -> None:
        """The machine is gone, and all that ran on it."""
        self.alive = False
        for training in self.ever:
            training.ended_at = self._now() if training.ended_at is None else training.ended_at
        self.assistants.clear()

    def _usage(self, training: Training) -> dict[str, Any]:
        return asdict(Usage(self.seconds(training), 0.0, 1))

    def _write(self, training: Training, event: str, **fields: Any) -> None:
        steady = self._now() + self._skew
        stamp = {"event": event, "time": self.zero_time + steady, "steady": steady}
        training.log += json.dumps({**stamp, **fields}).encode() + b"\n"
        if event != "heartbeat":
            training.known_at = len(training.log)
            self._speaks()

    def _beat(self, training: Training) -> None:
        if training.ended_at is None:
            self._write(training, "heartbeat", usage=self._usage(training))
            self._at(self.heartbeat_seconds, lambda: self._beat(training))

    def _train(self, training: Training) -> None:
        if training.ended_at is not None:
            return
        training.epoch += 1
        metrics = self.metrics(training.request, training.epoch)
        self._write(training, "checkpoint", epoch=training.epoch, metrics=metrics, usage=self._usage(training))
        self.states[training.key.study, training.key.folder] = {"state.pt": self.state(training.epoch)}
        training.saved = training.epoch
        self._write(training, "saved", epoch=training.epoch)
        if training.epoch >= self.course(training.request)[0]:
            self.states.pop((training.key.study, training.key.folder))
            self._end(training, TrialState.COMPLETED, "", "")
        elif training.pausing:
            self._end(training, TrialState.PAUSED, "paused", f"paused after epoch {training.epoch}")
        else:
            self._at(training.epoch_seconds, lambda: self._train(training))

    def _end(self, training: Training, ended_as: TrialState, reason: str, message: str) -> None:
        training.ended_at = self._now()
        phases = asdict(PhaseSeconds(0.1, self.seconds(training), 0.0))
        outcome = {"state": ended_as, "reason": reason, "message": message, "phases": phases, "summary": {}}
        self._write(training, "ended", usage=self._usage(training), **outcome)
        self._free += training.reservation.cores
