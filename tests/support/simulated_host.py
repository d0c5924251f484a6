"""A host whose trainings are simulated: it writes what real workers write, at the times of a virtual clock."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from tracker.engine.cluster.messages import Found, Key, Lines, News, Running
from tracker.engine.cluster.parcels import File, TornError
from tracker.engine.reservations import Reservation
from tracker.errors import WorkFailedError
from tracker.records import AttemptRecord, PhaseSeconds, TrialState, Usage
from tracker.training.event_lines import read_line
from tracker.training.events import follow, new_attempt

HEARTBEAT_SECONDS = 2.0


@dataclass
class Training:
    """An attempt as it really is: ``log`` is all that was ever written, ``seconds`` how long it ran."""

    key: Key
    request: object
    reservation: Reservation
    began: float
    log: bytes
    epoch: int
    saved: int | None
    pausing: bool = False
    ended_at: float | None = None
    known_at: int = 0
    kept: dict[str, bytes] = field(default_factory=dict)

    @property
    def record(self) -> AttemptRecord:
        return follow(new_attempt(self.key.attempt), map(read_line, self.log.splitlines()))


def state(epoch: int) -> bytes:
    """What a trial is resumed from after an epoch."""
    return f"epoch {epoch}\n".encode() * 1000


def file_of(path: str, content: bytes) -> File:
    return File(path, len(content), hashlib.sha256(content).hexdigest())


class SimulatedHost:
    """``at`` calls a function after so many seconds of ``now``; its own clock is ``skew_seconds`` ahead of it.

    A training waits for none of its parts on other machines, and does not notice where one is gone.
    """

    def __init__(self, now, at, cores, skew_seconds, epochs=10, epoch_seconds=5.0):
        self._now, self._at, self._skew = now, at, skew_seconds
        self._epochs, self._epoch_seconds = epochs, epoch_seconds
        self._free = list(range(cores))
        self._seats = {}
        self._last = {}
        self.alive = True
        self.trainings: dict[Key, Training] = {}
        self.ever: list[Training] = []
        self.assistants: dict[Key, Reservation] = {}
        self.states: dict[tuple[str, str], dict[str, bytes]] = {}
        self._arriving = {}

    def take(self, token, cores, accelerators, hold_seconds):
        if token not in self._seats:
            if cores > len(self._free):
                return None
            self._seats[token] = Reservation(tuple(self._free.pop() for _ in range(cores)))
            self._at(hold_seconds, lambda: self.give_back(token))
        return self._seats[token]

    def give_back(self, token):
        if token in self._seats:
            self._free += self._seats.pop(token).cores

    def start(self, key, request, head, token, resumes):
        if key in self.trainings or key.attempt <= self._last.get((key.study, key.folder), 0):
            return
        if token not in self._seats:
            raise WorkFailedError("its cores were given to another: it came too late")
        content = self.states.setdefault((key.study, key.folder), {})
        if not resumes:
            content.clear()
        epoch = int(content["state.pt"].split()[1]) if content else 0
        training = Training(key, request, self._seats.pop(token), self._now(), head, epoch, epoch or None)
        self.trainings[key] = training
        self.ever.append(training)
        self._write(training, "started", pid=1)
        if request.span is not None:
            self._write(training, "meeting", line=1, store=2)
        if epoch:
            self._write(training, "restored", epoch=epoch)
        self._write(training, "ready", startup_seconds=0.1)
        self._at(self._epoch_seconds, lambda: self._train(training))
        self._at(HEARTBEAT_SECONDS, lambda: self._beat(training))

    def assist(self, key, request, token, resumes):
        if key in self.assistants or key.attempt <= self._last.get((key.study, key.folder), 0):
            return
        if token not in self._seats:
            raise WorkFailedError("its cores were given to another: it came too late")
        if not resumes:
            self.states.pop((key.study, key.folder), None)
        assert (request.span.line, request.span.store) == (1, 2)
        assert request.cores == self._seats[token].cores
        self.assistants[key] = self._seats.pop(token)

    def end_assistant(self, key):
        """It ends, whatever it had to do."""
        if key in self.assistants:
            self._free += self.assistants.pop(key).cores
            self.states.pop((key.study, key.folder), None)

    def signal(self, key, wish, reason):
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

    def fence(self, key):
        trial = key.study, key.folder
        self._last[trial] = max(key.attempt, self._last.get(trial, 0))
        self.signal(key, "kill", "")
        self.end_assistant(key)

    def has_news(self, study, known):
        offsets = ((each, known.get(each.key, 0)) for each in self.trainings.values() if each.key.study == study)
        return any(
            offset is not None and (each.ended_at is not None or each.known_at > offset) for each, offset in offsets
        )

    def news(self, study, known):
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

    def found(self, study):
        mine = [each for each in self.trainings.values() if each.key.study == study]
        return tuple(
            Found(each.key, each.request, None if each.ended_at is None else len(each.log), self.seconds(each))
            for each in mine
        )

    def running(self):
        alive = [each for each in self.trainings.values() if each.ended_at is None]
        return tuple(Running(each.key, len(each.reservation.cores), 0, self.seconds(each)) for each in alive)

    def prepare(self, key):
        for each in list(self.trainings.values()):
            if each.key.folder == key.folder and each.key != key:
                self.signal(each.key, "kill", "")
        for other in list(self.assistants):
            if other.folder == key.folder and other != key:
                self.end_assistant(other)
        return tuple(file_of(path, content) for path, content in self.states.get((key.study, key.folder), {}).items())

    def arrive(self, key, path, offset, data):
        self._arriving[key, path] = self._arriving.get((key, path), b"")[:offset] + data

    def arrived(self, key, files):
        if self.prepare(key) == tuple(files):
            return
        content = {file.path: self._arriving.pop((key, file.path), b"") for file in files}
        if any(file_of(file.path, content[file.path]) != file for file in files):
            raise TornError("it did not arrive as it left")
        self.states[key.study, key.folder] = content

    def leave(self, key, name, what):
        training = self._known(key)
        training.kept[name] = dict(self.states.get((key.study, key.folder), {}))
        return tuple(file_of(path, content) for path, content in training.kept[name].items())

    def piece(self, key, name, path, offset):
        return self._known(key).kept[name][path][offset:]

    def _known(self, key):
        if key not in self.trainings:
            raise WorkFailedError("it is not here any more")
        return self.trainings[key]

    def release(self, key, keep_state):
        self.fence(key)
        if (training := self.trainings.get(key)) is not None and training.ended_at is not None:
            del self.trainings[key]
            if not keep_state:
                self.states.pop((key.study, key.folder), None)

    @property
    def free_cores(self):
        return len(self._free)

    def seconds(self, training):
        """How long an attempt has really run."""
        return (self._now() if training.ended_at is None else training.ended_at) - training.began

    def die(self):
        """The machine is gone, and all that ran on it."""
        self.alive = False
        for training in self.ever:
            training.ended_at = self._now() if training.ended_at is None else training.ended_at
        self.assistants.clear()

    def _usage(self, training):
        return asdict(Usage(self.seconds(training), 0.0, 1))

    def _write(self, training, event, **fields):
        stamp = {"event": event, "time": 1.7e9 + self._now() + self._skew, "steady": self._now() + self._skew}
        training.log += json.dumps({**stamp, **fields}).encode() + b"\n"
        if event != "heartbeat":
            training.known_at = len(training.log)

    def _beat(self, training):
        if training.ended_at is None:
            self._write(training, "heartbeat", usage=self._usage(training))
            self._at(HEARTBEAT_SECONDS, lambda: self._beat(training))

    def _train(self, training):
        if training.ended_at is not None:
            return
        training.epoch += 1
        quality = training.epoch / 100
        self._write(
            training, "checkpoint", epoch=training.epoch, metrics={"accuracy": quality}, usage=self._usage(training)
        )
        self.states[training.key.study, training.key.folder] = {"state.pt": state(training.epoch)}
        training.saved = training.epoch
        self._write(training, "saved", epoch=training.epoch)
        if training.epoch >= self._epochs:
            self.states.pop((training.key.study, training.key.folder))
            self._end(training, TrialState.COMPLETED, "", "")
        elif training.pausing:
            self._end(training, TrialState.PAUSED, "paused", f"paused after epoch {training.epoch}")
        else:
            self._at(self._epoch_seconds, lambda: self._train(training))

    def _end(self, training, ended_as, reason, message):
        training.ended_at = self._now()
        phases = asdict(PhaseSeconds(0.1, self.seconds(training), 0.0))
        outcome = {"state": ended_as, "reason": reason, "message": message, "phases": phases, "summary": {}}
        self._write(training, "ended", usage=self._usage(training), **outcome)
        self._free += training.reservation.cores
